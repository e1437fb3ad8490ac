//! Findings as rows: a sentence for each, its numbers, and the query that computes them anew.
//!
//! What is here: what `correlate()` and the table `correlation` show of telemetry, as JSON with the columns of SQL's type
//! `finding`. What is not: other metrics and changes, which are found in SQL.

use serde_json::{Map as Object, Value, json};

use super::answer::{Answer, Shown, Sign, named};
use super::attribute::Known;
use super::candidate::{EVENTS, Predicate};
use super::compare::{Compared, Failing, Why};
use super::gather::Gather;
use super::lines::Told;
use super::operation::Operations;
use super::search::Explanation;
use super::share::share_interval;
use super::versions::Appeared;
use super::words;

/// Lines that are shown of one kind.
const SHOWN: usize = 5;
/// An operation that adds less than this share of what a request takes longer is not shown.
const LEAST_SHARE: f64 = 0.05;
/// Characters of a log line that are shown.
const LINE: usize = 160;

/// What the query of a finding is asked with.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The flag.
    pub flag: String,
    /// The metric's name.
    pub metric: String,
    /// The environment's key.
    pub environment: String,
    /// Beginning and end of the range, as SQL writes them.
    pub range: [String; 2],
    /// Treatment and control.
    pub arms: [String; 2],
}

/// A literal of SQL, read the same under every setting.
pub fn literal(text: &str) -> String {
    if text.contains('\\') {
        return format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    }
    format!("'{}'", text.replace('\'', "''"))
}

impl Asked {
    /// A call of a function of a flag, with a first argument of its own and some at the end.
    fn call(&self, function: &str, first: &str, last: &str) -> String {
        let [since, until] = self.range.each_ref().map(|time| literal(time));
        let [treatment, control] = self.arms.each_ref().map(|arm| literal(arm));
        let (flag, metric, environment) = (literal(&self.flag), literal(&self.metric), literal(&self.environment));
        format!(
            "SELECT * FROM flagscope.{function}({flag}, {first}metric => {metric}, environment => {environment}, \
             since => {since}, until => {until}, treatment => {treatment}, control => {control}{last})"
        )
    }
}

/// A row of one kind with a sentence.
fn row(kind: &str, finding: String) -> Object<String, Value> {
    let mut row = Object::new();
    row.insert("kind".to_owned(), json!(kind));
    row.insert("finding".to_owned(), json!(finding));
    row
}

fn with(mut row: Object<String, Value>, columns: Value) -> Value {
    if let Value::Object(columns) = columns {
        row.extend(columns);
    }
    Value::Object(row)
}

/// A row that tells what was left out, or that nothing was found.
pub fn note(text: impl Into<String>) -> Value {
    Value::Object(row("note", text.into()))
}

fn share(e: f64, n: f64) -> String {
    if n > 0.0 { words::percent(e / n) } else { "no data".to_owned() }
}

fn who(shown: &Shown) -> Value {
    let mut examples: Vec<String> = shown.most.iter().map(|(subject, n)| format!("{subject}: {n} events")).collect();
    examples.extend(
        shown.control.iter().filter_map(|w| w.trace).map(|t| format!("control without the event: trace {t}")),
    );
    let traces: Vec<String> = shown.examples.iter().filter_map(|w| w.trace).map(|t| t.to_string()).collect();
    json!({"subjects": shown.subjects, "examples": examples, "traces": traces})
}

fn one_subject(shown: &Shown) -> Option<String> {
    let (name, n) = shown.most.first().filter(|_| shown.is_one_subject)?;
    Some(format!(", but {n} of its events are of one subject: {name}"))
}

/// A segment that explains harm; `earlier` ones had left with their rows.
pub fn segment(gathered: &Gather, e: &Explanation, shown: &Shown, earlier: &[Explanation], asked: &Asked) -> Value {
    let words_of = |p: &Predicate| words::segment(&named(gathered, p));
    let json_of = |p: &Predicate| words::predicate(&named(gathered, p));
    let mut finding = words_of(&e.predicate);
    finding.extend(one_subject(shown));
    let without: Vec<Value> = earlier.iter().map(|e| json_of(&e.predicate)).collect();
    let mut last = format!(", tests => {}", e.tests);
    if !without.is_empty() {
        last.push_str(&format!(", without => {}", literal(&Value::Array(without).to_string())));
    }
    let predicate = json_of(&e.predicate);
    let first = format!("{}, ", literal(&predicate.to_string()));
    let columns = json!({
        "share": e.share, "p_value": (e.ln_p + (e.tests as f64).ln()).exp().min(1.0),
        "treatment": share(e.counts.e_t, e.counts.n_t), "control": share(e.counts.e_c, e.counts.n_c),
        "n_treatment": e.rows.n_t, "events_treatment": e.rows.e_t,
        "n_control": e.rows.n_c, "events_control": e.rows.e_c,
        "same_as": e.same_as.iter().map(words_of).collect::<Vec<_>>(),
        "goes_with": e.goes_with.iter().map(words_of).collect::<Vec<_>>(),
        "predicate": predicate, "recompute": asked.call("weigh_segment", &first, &last),
    });
    let mut found = with(row("segment", finding), columns);
    if let (Value::Object(found), Value::Object(who)) = (&mut found, who(shown)) {
        found.extend(who);
    }
    found
}

/// A result of requests that stands out, or a flag that comes with its arm.
pub fn sign(gathered: &Gather, sign: &Sign, tried: usize, asked: &Asked) -> Value {
    let parts = named(gathered, &Predicate(vec![sign.value]));
    let is_flag = parts.first().is_some_and(|(name, _, _)| name.starts_with("flag:"));
    let what = words::segment(&parts);
    let [e_c, e_t] = sign.requests;
    let (kind, finding) = match (is_flag, e_c == 0.0) {
        (true, _) => (
            "flag",
            format!("{what} comes with the treatment: the two cannot be told apart").replacen("flag:", "flag ", 1),
        ),
        (false, true) => ("symptom", format!("{what} (only in the treatment)")),
        (false, false) => ("symptom", what),
    };
    let (all, tested) = (gathered.all, gathered.tested);
    let predicate = words::predicate(&parts);
    let first = format!("{}, ", literal(&predicate.to_string()));
    let total = tested.excess();
    let columns = json!({
        "share": (total > 0.0).then(|| sign.judged.excess / total), "p_value": sign.judged.ln_p_adjusted.exp(),
        "treatment": share(sign.symptom.e_t, tested.n_t), "control": share(sign.symptom.e_c, tested.n_c),
        "n_treatment": all.n_t, "events_treatment": e_t, "n_control": all.n_c, "events_control": e_c,
        "predicate": predicate, "recompute": asked.call("weigh_symptom", &first, &format!(", tests => {tried}")),
    });
    let mut found = with(row(kind, finding), columns);
    if let (Value::Object(found), Value::Object(who)) = (&mut found, who(&sign.shown)) {
        found.extend(who);
    }
    found
}

/// A segment's share of the harm with its interval: "35 %, 12 to 61 %".
fn share_of(e: &Explanation) -> String {
    let percent = |share: f64| format!("{:.0}", 100.0 * share.clamp(-9.99, 9.99));
    let of = |share| format!("{} %", percent(share));
    match share_interval(e.counts, e.all, e.dispersion) {
        Some([lower, upper]) => format!("{}, {} to {}", of(e.share), percent(lower), of(upper)),
        None => format!("{}, not known: the whole harm is hardly above 0", of(e.share)),
    }
}

/// What an answer says of segments and symptoms.
pub fn answer(gathered: &Gather, answer: &Answer, asked: &Asked) -> Vec<Value> {
    let found = &answer.found;
    let mut rows: Vec<Value> = (found.explanations.iter().zip(&answer.shown).enumerate())
        .map(|(at, (e, shown))| segment(gathered, e, shown, &found.explanations[..at], asked))
        .collect();
    rows.extend(answer.signs.iter().take(SHOWN).map(|s| sign(gathered, s, answer.signs_tried, asked)));
    if found.explanations.is_empty() && !found.is_cut {
        let part = |e: &Explanation| format!("{} ({})", words::segment(&named(gathered, &e.predicate)), share_of(e));
        let largest: Vec<String> = answer.largest.iter().map(part).collect();
        let shares = if largest.is_empty() {
            String::new()
        } else {
            format!("; the largest shares (intervals of 95 %), which may be chance: {}", largest.join(", "))
        };
        rows.push(note(format!("nothing concentrates this harm: it is in no segment more than in others{shares}")));
    }
    rows
}

/// Operations that take longer, and those in which failures begin.
pub fn spans(
    compared: &[Compared],
    failing: &[Failing],
    requests: [usize; 2],
    alpha: f64,
    operations: &Operations,
    asked: &Asked,
) -> Vec<Value> {
    let recompute = || asked.call("compare_spans", "", "");
    let is_worse = |c: &&Compared| {
        c.why != Why::NotWorse && c.p_value.is_some_and(|p| p <= alpha) && c.share.is_some_and(|s| s >= LEAST_SHARE)
    };
    let slow = compared.iter().filter(is_worse).take(SHOWN).map(|c| {
        let what = operations.words(c.operation as u32);
        let how = match c.why {
            Why::Repeated | Why::MoreCalls => {
                format!("{:.1} calls a request instead of {:.1}", c.calls[1], c.calls[0])
            }
            Why::New => "the control does not call it".to_owned(),
            _ => "takes longer".to_owned(),
        };
        let seconds = c.seconds.map(|s| format!("{s:.3} s a request"));
        let columns = json!({
            "share": c.share, "p_value": c.p_value, "treatment": seconds[1], "control": seconds[0],
            "n_treatment": requests[1], "n_control": requests[0], "recompute": recompute(),
        });
        with(row("span", format!("{what}, {how}")), columns)
    });
    let [n_c, n_t] = requests.map(|n| n as f64);
    let begins =
        |f: &&Failing| f.requests[1] >= EVENTS && f.judged.excess > 0.0 && f.judged.ln_p_adjusted <= alpha.ln();
    let fails = failing.iter().filter(begins).take(SHOWN).map(|f| {
        let [e_c, e_t] = f.requests;
        let columns = json!({
            "p_value": f.judged.ln_p_adjusted.exp(), "treatment": share(e_t, n_t), "control": share(e_c, n_c),
            "n_treatment": n_t, "events_treatment": e_t, "n_control": n_c, "events_control": e_c,
            "recompute": recompute(),
        });
        with(row("span", format!("failures begin in {}", operations.words(f.operation as u32))), columns)
    });
    slow.chain(fails).collect()
}

/// Log templates that the treatment writes more often.
pub fn lines(told: &[Told], requests: (f64, f64), excess: f64, alpha: f64, asked: &Asked) -> Vec<Value> {
    let stands_out = |t: &&Told| {
        t.template.entry.lines[1] as f64 >= EVENTS && t.judged.excess > 0.0 && t.judged.ln_p_adjusted <= alpha.ln()
    };
    told.iter()
        .filter(stands_out)
        .take(SHOWN)
        .map(|t| {
            let text: String = t.template.text.chars().take(LINE).collect();
            let [e_c, e_t] = t.template.entry.lines.map(|n| n as f64);
            let per =
                |e: f64, n: f64| if n > 0.0 { format!("{:.3} a request", e / n) } else { "no request".to_owned() };
            let columns = json!({
                "share": (excess > 0.0).then(|| t.judged.excess / excess), "p_value": t.judged.ln_p_adjusted.exp(),
                "treatment": per(e_t, requests.0), "control": per(e_c, requests.1),
                "n_treatment": requests.0, "events_treatment": e_t, "n_control": requests.1, "events_control": e_c,
                "subjects": t.subjects, "traces": t.trace.map(|t| vec![t.to_string()]).unwrap_or_default(),
                "examples": [t.template.entry.example], "recompute": asked.call("compare_patterns", "", ""),
            });
            with(row("log", format!("{text} ({})", if t.is_new() { "new" } else { "more" })), columns)
        })
        .collect()
}

/// Versions that appeared, with the time in microseconds since 2000: SQL makes changes of them.
pub fn versions(appeared: &[Appeared], asked: &Asked) -> Vec<Value> {
    let row_of = |a: &Appeared| {
        let mut predicate = json!({"attributes": {a.name.clone(): a.value}});
        if let (Some(service), Value::Object(predicate)) = (&a.service, &mut predicate) {
            predicate.insert("service".to_owned(), json!(service));
        }
        let first = format!("{}, ", literal(&predicate.to_string()));
        let columns = json!({
            "at": a.at, "n_treatment": a.rows[1], "n_control": a.rows[0], "predicate": predicate,
            "recompute": asked.call("weigh_segment", &first, ""),
        });
        with(row("version", a.words()), columns)
    };
    appeared.iter().take(SHOWN).map(row_of).collect()
}

/// What has to be said where rows name no subject.
pub fn without_subject(gathered: &Gather) -> Option<Value> {
    let rows = gathered.all.n_t + gathered.all.n_c;
    let without = rows - gathered.with_subject as f64;
    (without > 0.0).then(|| {
        note(format!(
            "{without} of {rows} rows carry no subject: a series of one user's errors cannot be told there; a trace, else a \
             row, stands for a user"
        ))
    })
}

/// Attributes that were left out, by reason.
pub fn left_out(left: &[(String, &'static str)]) -> Vec<Value> {
    let mut by_reason: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    left.iter().for_each(|(name, reason)| by_reason.entry(reason).or_default().push(name));
    let told = |(reason, names): (&str, Vec<&str>)| {
        let more = names.len().saturating_sub(SHOWN);
        let mut list = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
        if more > 0 {
            list.push_str(&format!(" and {more} more"));
        }
        note(format!("left out: {list}, since {reason}"))
    };
    by_reason.into_iter().map(told).collect()
}

/// Does an attribute have any value of its own: else nobody asked for has it.
pub fn is_known(gathered: &Gather, name: &str) -> bool {
    gathered.attributes.iter().any(|a| a.name == name && !matches!(a.known(2), Known::Other))
}
