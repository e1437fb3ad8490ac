//! Log lines of 25 templates in bursts of retries: how often a planted template comes first, how often any is named where
//! none is planted, and are lines grouped rightly; in short here, `SETS=30 cargo test -p flagscope-core --release --test
//! correlate_logs -- --ignored --nocapture` prints the table (tests/simulate/README.md).

#[path = "planted/random.rs"]
mod random;

use std::collections::BTreeMap;

use flagscope_core::correlate::counts::Counts;
use flagscope_core::correlate::lines::{Line, Lines, Told};
use flagscope_core::correlate::mask;
use flagscope_core::correlate::store::{Row, Store};
use flagscope_core::correlate::strata::Weights;
use random::Random;

const ALPHA: f64 = 0.05;

/// What an application writes; each of `{n}` a number, `{w}` one of 30 names, `{ip}`, `{x}` (hex), `{u}` (a uuid).
const TEMPLATES: [&str; 26] = [
    "connection to {ip}:5432 established after {n} ms",
    "connection to {ip}:5432 refused after {n} ms",
    "connection to {ip}:5432 closed after {n} ms",
    "slow query ({n} ms): SELECT * FROM orders WHERE id = {n}",
    "cache miss for key cart:{n}",
    "gc pause {n}ms heap {n}MiB",
    "GET /api/v2/orders/{n} 200 {n}ms",
    "feature store refreshed {n} rows in {n}s",
    "error: card refused by issuer code={n}",
    "retrying call to inventory-service attempt {n} of 5",
    "warning: deprecated endpoint called by tenant {w}",
    "user {w} logged in from {ip}",
    "user {w} logged out",
    "rate limit {n} exceeded for tenant {w}",
    "upload {w}-{n}.png {n}kB stored",
    "config reloaded from \"/etc/shop/{w}.yaml\"",
    "order {u} paid in {n} ms",
    "order {u} cancelled by customer",
    "session {x} expired after {n} minutes",
    "job nightly-report finished in {n} s",
    "mail to {w}@example.com queued",
    "stock of article {n} is low: {n} left",
    "worker {n} picked up task {x}",
    "price of article {n} changed to {n}.99 EUR",
    "timeout after {n} ms calling payment-gateway",
    // Of the treatment alone, where one is planted.
    "NullPointerException in CheckoutService.total for cart {n}",
];
const NEW: usize = 25;

fn line(template: usize, random: &mut Random) -> String {
    let mut text = TEMPLATES[template].to_owned();
    for (place, length) in [("{n}", 0), ("{w}", 0), ("{ip}", 0), ("{x}", 12), ("{u}", 32)] {
        while text.contains(place) {
            let value = match place {
                "{n}" => random.below(5_000).to_string(),
                "{w}" => {
                    let (a, b) = (random.below(5), random.below(6));
                    format!(
                        "{}{}",
                        ["an", "be", "jo", "ti", "ul"][a as usize],
                        ["na", "rt", "di", "la", "mo", "ke"][b as usize]
                    )
                }
                "{ip}" => format!("10.{}.{}.{}", random.below(256), random.below(256), random.below(256)),
                _ => {
                    let hex = format!("{:016x}{:016x}", random.next(), random.next() | 0xa1);
                    if length == 12 {
                        format!("a{}7", &hex[..10])
                    } else {
                        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
                    }
                }
            };
            text = text.replacen(place, &value, 1);
        }
    }
    text
}

/// What is planted.
#[derive(Clone, Copy, PartialEq)]
enum Planted {
    Nothing,
    /// About ten lines that only the treatment writes.
    New,
    /// A template of 1 to 3 % of the requests, 2.5 times as often.
    More(usize),
    /// A template of 1 to 3 % of the requests, always written three times.
    Longer(usize),
}

/// A data set: what was told, what was planted, and the share of lines that are in the right group.
struct Outcome {
    told: Vec<Told>,
    groups: f64,
}

/// Lines at a time in the mean: every fourth is written three times, as by retries.
const LINES: f64 = 1.5;

/// Every template 0.3 to 10 times in a hundred requests.
fn outcome(requests: usize, planted: Planted, seed: u64) -> Outcome {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let (mut store, mut lines, mut all) = (Store::new(0, 200_000), Lines::default(), Counts::default());
    let mut truths: BTreeMap<String, BTreeMap<usize, u64>> = BTreeMap::new();
    for at in 0..requests {
        let user = random.below(requests as u64 / 8);
        let mut of_user = Random(user.wrapping_mul(0x9e37_79b9) ^ seed << 32);
        let unit = of_user.next();
        let treated = of_user.share() < 0.2;
        store.push(Row { subject: unit, treated, event: false, stratum: 0, witness: 0 }, &[]);
        all.add(treated, false, 1.0);
        for template in 0..=NEW {
            let mut rate = 0.003 * 33.0_f64.powf((template * 7 % 25) as f64 / 24.0);
            if template == NEW {
                rate = if planted == Planted::New && treated { 10.0 / (0.2 * requests as f64) } else { 0.0 };
            } else if planted == Planted::More(template) && treated {
                rate *= 2.5;
            }
            if random.share() >= rate / LINES {
                continue;
            }
            let is_longer = planted == Planted::Longer(template) && treated;
            for _ in 0..if random.share() < 0.25 || is_longer { 3 } else { 1 } {
                let body = line(template, &mut random);
                *truths.entry(mask::template(&body)).or_default().entry(template).or_default() += 1;
                lines.add(Line {
                    body: &body,
                    treated,
                    stratum: 0,
                    unit,
                    is_named: true,
                    at: at as i64,
                    severity: None,
                    trace: None,
                });
            }
        }
    }
    store.sort();
    let told = lines.judge(&all, &store, &Weights::default());
    let groups = rightly_grouped(&told, &truths);
    Outcome { told, groups }
}

/// The share of lines whose template is mostly of their kind, and the one that most lines of their kind have.
fn rightly_grouped(told: &[Told], truths: &BTreeMap<String, BTreeMap<usize, u64>>) -> f64 {
    let mut table: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for (group, of_group) in told.iter().enumerate() {
        for (truth, n) in of_group.template.members.iter().filter_map(|member| truths.get(member)).flatten() {
            *table.entry((group, *truth)).or_default() += n;
        }
    }
    let most =
        |is_it: &dyn Fn(&(usize, usize)) -> bool| table.iter().filter(|(k, _)| is_it(k)).map(|(_, n)| *n).max();
    let is_right = |(group, truth): &(usize, usize), n: u64| {
        most(&|(g, _)| g == group) == Some(n) && most(&|(_, t)| t == truth) == Some(n)
    };
    let right: u64 = table.iter().filter(|(key, n)| is_right(key, **n)).map(|(_, n)| *n).sum();
    right as f64 / table.values().sum::<u64>() as f64
}

/// Templates that are named, the first first, as `correlate()` names them.
fn named(told: &[Told]) -> Vec<&Told> {
    let is_named = |t: &&Told| t.judged.excess > 0.0 && t.judged.ln_p_adjusted <= ALPHA.ln();
    told.iter().filter(is_named).collect()
}

/// How many of so many sets are right: the planted template first, or silence.
fn right(sets: u64, requests: usize, kind: &str, first_seed: u64) -> (usize, f64) {
    let mut groups = 0.0;
    let mut right = 0;
    for seed in first_seed..first_seed + sets {
        let rare: Vec<usize> = (0..NEW).filter(|template| (8..=16).contains(&(template * 7 % 25))).collect();
        let planted = match kind {
            "new" => Planted::New,
            "more" => Planted::More(rare[(seed % rare.len() as u64) as usize]),
            "longer" => Planted::Longer(rare[(seed % rare.len() as u64) as usize]),
            _ => Planted::Nothing,
        };
        let found = outcome(requests, planted, seed);
        groups += found.groups / sets as f64;
        let first = named(&found.told).first().map(|t| t.template.members.clone());
        right += usize::from(match planted {
            Planted::Nothing => first.is_none(),
            Planted::New | Planted::More(_) | Planted::Longer(_) => {
                let template =
                    if let Planted::More(template) | Planted::Longer(template) = planted { template } else { NEW };
                let example = mask::template(&line(template, &mut Random(1)));
                first.is_some_and(|members| members.iter().any(|m| mask_of_one(m, &example)))
            }
        });
    }
    (right, groups)
}

/// Have two masked lines the same first and last words, as lines of one template have (names in the middle differ).
fn mask_of_one(one: &str, other: &str) -> bool {
    let [a, b]: [Vec<&str>; 2] = [one, other].map(|text| text.split(' ').collect());
    let different = a.iter().zip(&b).filter(|(a, b)| a != b).count();
    a.len() == b.len()
        && different <= 1
        && !["refused", "established", "closed"].iter().any(|w| a.contains(w) != b.contains(w))
}

fn of_environment(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

#[test]
#[ignore = "a table for people"]
fn the_whole_table() {
    let (sets, seed) = (of_environment("SETS", 30) as u64, of_environment("SEED", 1) as u64);
    let kinds = ["new", "more", "longer", "null"];
    for (kind, requests) in [6_000, 20_000].into_iter().flat_map(|requests| kinds.map(|kind| (kind, requests))) {
        let (right, groups) = right(sets, requests, kind, seed);
        println!(
            "{kind:6} {requests:6} requests: right {:5.1} %, lines in the right group {groups:.4}",
            100.0 * right as f64 / sets as f64
        );
    }
}

/// The design's prototype found 93 % of templates 2.5 times as often, of 20,000 requests, and nothing in null data.
#[test]
fn a_planted_template_comes_first() {
    let (n, groups) = right(8, 6_000, "null", 100);
    assert!(n >= 7 && groups > 0.99, "{n} of 8 are silent, {groups} in the right group");
    let (n, _) = right(8, 6_000, "new", 200);
    assert!(n >= 5, "{n} of 8 name the new template");
}
