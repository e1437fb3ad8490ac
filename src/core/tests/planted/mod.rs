//! Made-up requests with a cause that is known, or with none: 17 attributes (two of them ids), a fifth treated, users of
//! unequal activity, errors that differ 80-fold by endpoint. Countries lie in regions but for one user in ten, and wholly
//! in continents, which makes a continent hard to tell from its greatest country.

mod random;

use flagscope_core::correlate::Value;
use flagscope_core::correlate::answer::{Answer, answer, named};
use flagscope_core::correlate::attribute::Known;
use flagscope_core::correlate::candidate::Predicate;
use flagscope_core::correlate::gather::Gather;
use flagscope_core::correlate::search::Search;
use flagscope_core::correlate::store::Row;
use flagscope_core::correlate::strata::Stages;
use flagscope_core::telemetry::Scalar;
pub use random::Random;

pub const MEMORY: usize = 32 << 20;

/// Attributes with few values, and how many each has. The last one, `zone`, is the data centre under another name.
pub const NAMES: [&str; 15] = [
    "endpoint",
    "region",
    "datacentre",
    "country",
    "continent",
    "app_version",
    "os",
    "device",
    "browser",
    "plan",
    "tenant",
    "items",
    "method",
    "flag:dark",
    "zone",
];
pub const ENDPOINT: usize = 0;
pub const REGION: usize = 1;
pub const DATACENTRE: usize = 2;
pub const COUNTRY: usize = 3;
pub const VERSION: usize = 5;

#[derive(Debug, Clone)]
pub struct Request {
    pub user: u64,
    pub treated: bool,
    /// Its place in time.
    pub at: i64,
    pub codes: [u64; NAMES.len()],
    pub payload: f64,
    /// Chance of an error without any harm.
    pub rate: f64,
    pub seconds: f64,
    pub event: bool,
}

/// Values of attributes that rows must have.
pub type Cause = Vec<(usize, u64)>;

impl Request {
    pub fn has(&self, cause: &Cause) -> bool {
        cause.iter().all(|(attribute, code)| self.codes[*attribute] == *code)
    }
}

/// How a data set is drawn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kind {
    pub rows: usize,
    /// Users fail in series: their rates are about gamma of shape 0.1.
    pub clusters: bool,
    /// Version 3 is mostly in region 1.
    pub confounded: bool,
    /// Is there an attribute `zone`.
    pub alias: bool,
}

fn person(user: u64, seed: u64, kind: &Kind) -> ([u64; NAMES.len()], f64, bool) {
    let mut random = Random(Random(seed).next() ^ user.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut codes = [0; NAMES.len()];
    let treated = random.share() < 0.2;
    codes[COUNTRY] = random.pick(30, 1.6);
    codes[REGION] = if random.share() < 0.1 { random.below(6) } else { codes[COUNTRY] % 6 };
    codes[4] = codes[COUNTRY] / 5;
    codes[VERSION] = random.pick(8, 1.5);
    let of_rest = [(6, 4, 1.5), (7, 57, 2.5), (8, 6, 1.8), (9, 3, 1.5), (10, 125, 3.0), (13, 2, 1.0)];
    of_rest.into_iter().for_each(|(at, n, skew)| codes[at] = random.pick(n, skew));
    if kind.confounded && codes[REGION] == 1 && random.share() < 0.75 {
        codes[VERSION] = 3;
    } else if kind.confounded && codes[VERSION] == 3 && random.share() < 0.9 {
        codes[VERSION] = 0;
    }
    let rate = if kind.clusters { -11.0 * random.share().ln() * random.share().powi(10) } else { 1.0 };
    (codes, rate, treated)
}

/// Requests without harm.
pub fn requests(kind: &Kind, seed: u64) -> Vec<Request> {
    let mut random = Random(seed);
    let users = kind.rows as f64 / 15.0;
    (0..kind.rows)
        .map(|i| {
            let user = (users * random.share().powi(2)) as u64;
            let (mut codes, rate, treated) = person(user, seed, kind);
            codes[ENDPOINT] = random.pick(20, 1.8);
            codes[DATACENTRE] = 2 * codes[REGION] + random.below(2);
            codes[14] = codes[DATACENTRE];
            codes[11] = random.below(8);
            codes[12] = random.pick(3, 1.5);
            let payload = (1e5 * random.share().powi(2)).floor();
            // Two endpoints beside each other in traffic need not be so in errors.
            let rate = rate * 0.04 / 80.0_f64.powf((codes[ENDPOINT] * 7 % 20) as f64 / 19.0);
            let seconds = 0.02 * (1.0 + codes[ENDPOINT] as f64) * (0.6 * random.normal()).exp();
            let event = random.share() < rate;
            Request { user, treated, at: i as i64, codes, payload, rate, seconds, event }
        })
        .collect()
}

/// One of the causes that have a share of the rows between two bounds; None where there is none.
pub fn cause(
    rows: &[Request],
    attributes: &[&[usize]],
    (low, high): (f64, f64),
    random: &mut Random,
) -> Option<Cause> {
    let mut found: Vec<Cause> = Vec::new();
    for of in attributes {
        let mut counts: std::collections::BTreeMap<Vec<u64>, usize> = Default::default();
        rows.iter().for_each(|r| *counts.entry(of.iter().map(|a| r.codes[*a]).collect()).or_default() += 1);
        let fits = |n: usize| (low..=high).contains(&(n as f64 / rows.len() as f64));
        let causes = counts.into_iter().filter(|(_, n)| fits(*n));
        found.extend(causes.map(|(codes, _)| of.iter().copied().zip(codes).collect()));
    }
    if found.is_empty() { None } else { Some(found.swap_remove(random.below(found.len() as u64) as usize)) }
}

/// Adds about so many events to rows of the treatment.
pub fn harm(rows: &mut [Request], is_hurt: impl Fn(&Request) -> bool, extra: f64, random: &mut Random) {
    let n = rows.iter().filter(|r| r.treated && is_hurt(r)).count() as f64;
    for row in rows.iter_mut().filter(|r| r.treated && is_hurt(r)) {
        row.event |= random.share() < extra / n;
    }
}

/// The answer to rows.
pub fn ask(rows: &[Request], kind: &Kind, stages: &Stages) -> (Gather, Answer) {
    let mut gather = Gather::new(MEMORY);
    let names = &NAMES[..if kind.alias { NAMES.len() } else { NAMES.len() - 1 }];
    for row in rows {
        let subject = Random(row.user).next();
        let of = Row { subject, treated: row.treated, event: row.event, stratum: stages.of(row.at), witness: 0 };
        if !gather.count(&of) {
            continue;
        }
        for (name, code) in names.iter().zip(row.codes) {
            gather.value(name, Value::Text(&code.to_string()));
        }
        gather.value("payload", Value::Number(row.payload));
        gather.value("request_id", Value::Text(&format!("{:016x}", Random(row.at as u64).next())));
        gather.value("account", Value::Text(&format!("acc{}", row.user)));
        gather.keep(of, None);
    }
    gather.finish();
    let found = answer(&mut gather, &Search::default());
    (gather, found)
}

/// Is a row one of a predicate.
pub fn matches(gather: &Gather, predicate: &Predicate, row: &Request) -> bool {
    named(gather, predicate).iter().all(|(name, known, _)| match known {
        Known::Range(from, below) => (*from..*below).contains(&row.payload),
        Known::Value(Scalar::Text(text)) => {
            NAMES.iter().position(|n| n == name).is_some_and(|at| row.codes[at].to_string() == *text)
        }
        _ => false,
    })
}

/// Has a predicate the rows that are hurt, to 90 %.
pub fn is_right(
    gather: &Gather,
    predicate: &Predicate,
    rows: &[Request],
    is_hurt: impl Fn(&Request) -> bool,
) -> bool {
    let [mut both, mut any] = [0, 0];
    for row in rows {
        let (a, b) = (is_hurt(row), matches(gather, predicate, row));
        both += usize::from(a && b);
        any += usize::from(a || b);
    }
    both > 0 && both as f64 >= 0.9 * any as f64
}
