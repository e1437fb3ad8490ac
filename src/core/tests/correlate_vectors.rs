//! Why a rollout does harm, against the answers of an independent reference implementation in Python
//! (tests/data/correlate/README.md has formats and tolerances).

use std::collections::{BTreeMap, HashMap};
use std::fs;

use flagscope_core::correlate::candidate::{Predicate, Value as Attribute};
use flagscope_core::correlate::chance::{ln_p_absolute, ln_p_relative};
use flagscope_core::correlate::counts::{Counts, Dispersion, Split};
use flagscope_core::correlate::gain::{common_ratio, gain};
use flagscope_core::correlate::latency::{FEW, LEVELS, choose, quantile, z};
use flagscope_core::correlate::mask;
use flagscope_core::correlate::path::{Span, path};
use flagscope_core::correlate::patterns::Patterns;
use flagscope_core::correlate::search::{Explanation, Search, search};
use flagscope_core::correlate::store::{CLASS_ROWS, Row, Store};
use flagscope_core::correlate::symptom::{Symptom, judge};
use serde_json::Value;

fn text(name: &str) -> String {
    let path = format!("{}/../../tests/data/correlate/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|problem| panic!("{path}: {problem}"))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).expect("a JSON document")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[track_caller]
fn close(got: f64, want: f64, relative: f64, what: &str) {
    assert!((got - want).abs() <= relative * want.abs().max(1e-300), "{what}: {got}, not {want}");
}

/// 1e-6 relative where p > 1e-12, ln p 1e-4 relative below; 0 is a p that underflowed.
#[track_caller]
fn close_p(ln_p: f64, want: f64, what: &str) {
    if want == 0.0 {
        assert!(ln_p < -700.0, "{what}: {ln_p}");
    } else if want > 1e-12 {
        close(ln_p.exp(), want, 1e-6, what);
    } else {
        close(ln_p, want.ln(), 1e-4, what);
    }
}

#[test]
fn formulas_agree_with_the_reference() {
    let mut compared = 0;
    for (at, v) in json("formulas.json").as_array().expect("tables").iter().enumerate() {
        let counts = |names: [&str; 4]| {
            let [n_t, e_t, n_c, e_c] = names.map(|name| number(&v[name]));
            Counts::new(n_t, e_t, n_c, e_c)
        };
        let split = Split::new(counts(["n_t", "e_t", "n_c", "e_c"]), counts(["N_t", "E_t", "N_c", "E_c"]));
        let dispersion = Dispersion { inside: number(&v["d_in"]), outside: number(&v["d_out"]) };
        let theta = number(&v["theta"]);
        if (1e-5..1e5).contains(&theta) {
            close(common_ratio(&split), theta, 1e-8, &format!("theta of table {at}"));
            let want = number(&v["gain"]);
            assert!(
                (gain(&split) - want).abs() <= 1e-8 * want.max(1e-6),
                "gain of table {at}: {} {want}",
                gain(&split)
            );
            compared += 1;
        }
        close_p(ln_p_relative(&split, dispersion), number(&v["p_relative"]), &format!("p_relative of table {at}"));
        let p = ln_p_absolute(&split, dispersion, f64::INFINITY);
        close_p(p, number(&v["p_absolute"]), &format!("p_absolute of table {at}"));
    }
    assert!(compared > 100, "{compared} tables have a ratio");
}

/// A file of rows: names of its attributes, and the store. Codes begin at 2, after "none" and "other".
fn rows(name: &str, event: impl Fn(&str) -> bool, first: usize) -> (Vec<String>, Store) {
    let file = text(&format!("{name}.csv"));
    let mut lines = file.lines();
    let names: Vec<String> = lines.next().expect("a header").split(',').skip(first).map(str::to_owned).collect();
    let kept: Vec<usize> = (0..names.len()).filter(|i| names[*i] != "request_id").collect();
    let mut store = Store::new(kept.len(), CLASS_ROWS);
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let subject = cells[0].parse().expect("a subject");
        let codes: Vec<u16> = kept.iter().map(|i| cells[first + i].parse::<u16>().expect("a code") + 2).collect();
        store.push(Row { subject, treated: cells[1] == "1", event: event(cells[2]), stratum: 0, witness: 0 }, &codes);
    }
    store.sort();
    (kept.into_iter().map(|i| names[i].clone()).collect(), store)
}

fn predicate(value: &Value, names: &[String]) -> Predicate {
    let part = |pair: &Value| -> Attribute {
        let attribute = names.iter().position(|n| pair[0].as_str() == Some(n)).expect("an attribute");
        (attribute, pair[1].as_u64().expect("a code") as u16 + 2)
    };
    let mut parts: Vec<Attribute> = value.as_array().expect("predicates").iter().map(part).collect();
    parts.sort_unstable();
    Predicate(parts)
}

#[track_caller]
fn same_explanation(got: &Explanation, want: &Value, names: &[String], what: &str) {
    assert_eq!(got.predicate, predicate(&want["predicates"], names), "{what}");
    let counts = ["n_t", "e_t", "n_c", "e_c"].map(|n| number(&want[n]));
    assert_eq!(got.counts, Counts::new(counts[0], counts[1], counts[2], counts[3]), "{what}");
    close(got.share, number(&want["share"]), 1e-6, what);
    close(got.gain, number(&want["gain"]), 1e-6, what);
    close(got.dispersion.inside, number(&want["d_in"]), 1e-6, what);
    close(got.dispersion.outside, number(&want["d_out"]), 1e-6, what);
    // The reference multiplies by the number of candidates that it tried, which depends on the outcome; ours does not.
    let ln_p = (number(&want["p_adjusted"]) / number(&want["tests"])).ln();
    close(got.ln_p, ln_p, 1e-3, what);
    let aliases: Vec<Predicate> =
        want["aliases"].as_array().expect("aliases").iter().map(|alias| predicate(alias, names)).collect();
    assert_eq!(got.same_as, aliases, "{what}");
}

#[test]
fn segments_agree_with_the_reference() {
    let kinds = ["single", "pair", "confounded", "alias", "uniform_mult", "null_cl", "two", "lowbase"];
    for (at, kind) in kinds.iter().enumerate() {
        let name = format!("segments_{at}_{kind}");
        let want = json(&format!("{name}.json"));
        let (names, store) = rows(&name, |cell| cell == "1", 3);
        let found = search(&store, &Search::default());
        close(found.all.excess(), number(&want["excess_total"]), 1e-9, &name);
        close(found.control_dispersion, number(&want["control_dispersion"]), 1e-6, &name);
        let explanations = want["explanations"].as_array().expect("explanations");
        assert_eq!(found.explanations.len(), explanations.len(), "{name}: {:?}", found.explanations);
        for (got, want) in found.explanations.iter().zip(explanations) {
            same_explanation(got, want, &names, &name);
        }
    }
}

#[test]
fn symptoms_agree_with_the_reference() {
    for (at, v) in json("symptoms.json").as_array().expect("tables").iter().enumerate() {
        let [e_t, e_c, n_t, n_c, dispersion] = ["e_t", "e_c", "N_t", "N_c", "d"].map(|name| number(&v[name]));
        let got = judge(&[Symptom { e_t, e_c, dispersion }], n_t, n_c)[0];
        let what = format!("symptom {at}");
        assert!((got.excess - number(&v["excess"])).abs() <= 1e-9 * got.excess.abs().max(1.0), "{what}");
        close_p(got.ln_p, number(&v["p"]), &what);
        let significant = got.ln_p + number(&v["tests"]).ln() <= 0.05_f64.ln();
        assert_eq!(significant, v["significant"] == true, "{what}");
    }
}

#[test]
fn masks_agree_with_the_reference() {
    for v in json("mask.json").as_array().expect("lines") {
        let [line, masked] = ["line", "masked"].map(|name| v[name].as_str().expect("a text"));
        assert_eq!(mask::template(line), masked, "{line}");
    }
}

#[test]
fn critical_paths_agree_with_the_reference() {
    for (at, v) in json("traces.json").as_array().expect("traces").iter().enumerate() {
        let mut operations: Vec<String> = Vec::new();
        let mut spans = Vec::new();
        for span in v["spans"].as_array().expect("spans") {
            let name = span["op"].as_str().expect("an operation");
            let operation = operations.iter().position(|o| o == name).unwrap_or_else(|| {
                operations.push(name.to_owned());
                operations.len() - 1
            });
            let [id, parent] = ["id", "parent"].map(|name| span[name].as_u64().expect("an id"));
            let [start, end] = ["start", "end"].map(|name| number(&span[name]));
            spans.push(Span { id, parent, operation, start, end, is_error: span["error"] == true });
        }
        let root = spans.iter().position(|span| span.parent == 0).expect("a root");
        let got = path(&spans, root).expect("few spans");
        let want = v["path"].as_object().expect("operations");
        assert_eq!(got.work.len(), want.len(), "trace {at}");
        for (operation, work) in &got.work {
            let reference = &want[&operations[*operation]];
            let seconds = number(&reference[0]);
            assert!((work.seconds - seconds).abs() < 1e-9, "trace {at}: {} {seconds}", work.seconds);
            assert_eq!(work.calls, reference[1].as_u64().expect("calls"), "trace {at}");
        }
        let total: f64 = got.work.values().map(|work| work.seconds).sum();
        assert!((total - (spans[root].end - spans[root].start)).abs() < 1e-9, "trace {at}: {total}");
        let mut origins: Vec<&str> = got.origins.iter().map(|operation| operations[*operation].as_str()).collect();
        origins.sort_unstable();
        let want: Vec<&str> = v["origins"].as_array().expect("origins").iter().filter_map(Value::as_str).collect();
        assert_eq!(origins, want, "trace {at}");
    }
}

/// Every operation's values of the control, sorted; operations with few rows are one.
fn thresholds(cells: &[Vec<f64>], level: f64) -> HashMap<i64, f64> {
    let mut control: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for row in cells.iter().filter(|row| row[1] == 0.0) {
        control.entry(row[3] as i64).or_default().push(row[2]);
    }
    let few: Vec<i64> = control.iter().filter(|(_, v)| v.len() < FEW).map(|(k, _)| *k).collect();
    let pooled: Vec<f64> = few.iter().filter_map(|k| control.remove(k)).flatten().collect();
    control.insert(-1, pooled);
    let sorted = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        quantile(&values, level)
    };
    control.into_iter().filter_map(|(k, v)| Some((k, sorted(v)?))).collect()
}

#[test]
fn latency_agrees_with_the_reference() {
    for kind in ["single", "uniform"] {
        let name = format!("latency_{kind}");
        let want = json(&format!("{name}.json"));
        let file = text(&format!("{name}.csv"));
        let cells: Vec<Vec<f64>> = file
            .lines()
            .skip(1)
            .map(|line| line.split(',').map(|c| c.parse().expect("a number")).collect())
            .collect();
        let exceeds = |level: f64| -> Vec<bool> {
            let thresholds = thresholds(&cells, level);
            let limit = |row: &Vec<f64>| thresholds.get(&(row[3] as i64)).or(thresholds.get(&-1)).copied();
            cells.iter().map(|row| limit(row).is_some_and(|limit| row[2] > limit)).collect()
        };
        let mut levels = Vec::new();
        for (level, z_want) in LEVELS.iter().zip(want["z_all"].as_array().expect("four z")) {
            let mut counts = Counts::default();
            exceeds(*level).iter().zip(&cells).for_each(|(event, row)| counts.add(row[1] == 1.0, *event, 1.0));
            close(z(&counts), number(z_want), 1e-6, &name);
            levels.push(counts);
        }
        let level = LEVELS[choose(&levels).expect("levels")];
        assert_eq!(level, number(&want["level"]), "{name}");
        let events = exceeds(level);
        let event = |_: &str| false;
        let (names, _) = rows(&name, event, 3);
        let mut store = Store::new(names.len(), CLASS_ROWS);
        for (row, event) in cells.iter().zip(&events) {
            let codes: Vec<u16> = row[3..].iter().map(|code| *code as u16 + 2).collect();
            store.push(
                Row { subject: row[0] as u64, treated: row[1] == 1.0, event: *event, stratum: 0, witness: 0 },
                &codes,
            );
        }
        store.sort();
        let found = search(&store, &Search::default());
        let explanations = want["explanations"].as_array().expect("explanations");
        assert_eq!(found.explanations.len(), explanations.len(), "{name}: {:?}", found.explanations);
        for (got, want) in found.explanations.iter().zip(explanations) {
            assert_eq!(got.predicate, predicate(&want["predicates"], &names), "{name}");
            let counts = ["n_t", "e_t", "n_c", "e_c"].map(|n| number(&want[n]));
            assert_eq!(got.counts, Counts::new(counts[0], counts[1], counts[2], counts[3]), "{name}");
            close(got.share, number(&want["share"]), 1e-6, &name);
        }
    }
}

#[test]
fn log_templates_agree_with_the_reference() {
    for kind in ["new", "more", "null"] {
        let name = format!("logs_{kind}");
        let want = json(&format!("{name}.json"));
        let file = text(&format!("{name}.csv"));
        let lines: Vec<Vec<&str>> = file.lines().skip(1).map(|line| line.splitn(4, ',').collect()).collect();
        let body = |line: &[&str]| line[3].trim_matches('"').replace("\"\"", "\"");
        let mut patterns = Patterns::default();
        for line in &lines {
            patterns.add(&mask::template(&body(line)), &body(line), line[1] == "1", (0, 0));
        }
        let templates = patterns.templates();
        let group: HashMap<&str, usize> = templates
            .iter()
            .enumerate()
            .flat_map(|(at, template)| template.members.iter().map(move |member| (member.as_str(), at)))
            .collect();
        let mut truth: BTreeMap<&str, usize> = BTreeMap::new();
        for line in &lines {
            let at = group[mask::template(&body(line)).as_str()];
            assert_eq!(*truth.entry(line[2]).or_insert(at), at, "{name}: {} {}", line[2], templates[at].text);
        }
        assert_eq!(truth.len(), templates.len(), "{name}");
        let requests: HashMap<&str, f64> = want["requests_by_subject"]
            .as_object()
            .expect("subjects")
            .iter()
            .map(|(k, v)| (k.as_str(), number(v)))
            .collect();
        let arm: HashMap<&str, &str> = lines.iter().map(|line| (line[0], line[1])).collect();
        // Of either arm by user, the greater: retries come in bursts.
        let dispersion = |at: usize| {
            let mut by_subject: HashMap<&str, f64> = HashMap::new();
            let of = |line: &&Vec<&str>| group[mask::template(&body(line)).as_str()] == at;
            lines.iter().filter(of).for_each(|line| *by_subject.entry(line[0]).or_default() += 1.0);
            let of_arm = |treated: &str| {
                let users: Vec<(f64, f64)> = requests
                    .iter()
                    .filter(|(subject, _)| arm.get(*subject) == Some(&treated))
                    .map(|(subject, n)| (*n, by_subject.get(subject).copied().unwrap_or(0.0)))
                    .collect();
                let (n, e) = users.iter().fold((0.0, 0.0), |sum, user| (sum.0 + user.0, sum.1 + user.1));
                let squares: f64 = users.iter().map(|(n_u, e_u)| (e_u - e / n * n_u).powi(2)).sum();
                if e > 0.0 { squares / e } else { 0.0 }
            };
            of_arm("0").max(of_arm("1")).max(1.0)
        };
        let symptoms: Vec<Symptom> = templates
            .iter()
            .enumerate()
            .map(|(at, t)| Symptom {
                e_t: t.entry.lines[1] as f64,
                e_c: t.entry.lines[0] as f64,
                dispersion: dispersion(at),
            })
            .collect();
        let [n_t, n_c] = ["treatment", "control"].map(|arm| number(&want["requests"][arm]));
        let judged = judge(&symptoms, n_t, n_c);
        let found: Vec<_> =
            judged.iter().filter(|j| symptoms[j.place].e_t >= 5.0 && j.ln_p_adjusted <= 0.05_f64.ln()).collect();
        let ranked = want["ranked"].as_array().expect("a ranking");
        assert_eq!(found.len(), ranked.len(), "{name}: {found:?}");
        for (got, want) in found.iter().zip(ranked) {
            let template = &templates[got.place];
            assert_eq!(template.text, want["template"].as_str().expect("a template"), "{name}");
            let counts = ["lines_treatment", "lines_control"].map(|field| want[field].as_u64().expect("a count"));
            assert_eq!(template.entry.lines, [counts[1], counts[0]], "{name}");
            close(got.ln_p_adjusted, number(&want["p_adjusted"]).ln(), 1e-3, &name);
        }
    }
}
