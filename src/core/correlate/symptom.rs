//! What a failure looks like: results of a request, such as a status or an error type, and log lines.
//!
//! What is here: counts of such a result in both arms, against all requests of the arm, and which of several stand out.
//! What is not: segments (`search`), which are known before the request and have a denominator of their own.

use super::chance::ln_p_symptom;

/// Values of an attribute with fewer rows are not asked whether they are results.
const FEW: f64 = 20.0;
/// Standard errors from which an arm's share of a value cannot be chance.
const FAR: f64 = 6.0;
/// Share of a value's rows with the event, from which it is the event under another name.
const ALWAYS: f64 = 0.98;
/// Share of rows without the event that have an attribute, below which it is a result of the event.
const HARDLY_EVER: f64 = 0.01;

/// A result: its events, that is requests or lines that have it, of both arms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Symptom {
    /// In the treatment.
    pub e_t: f64,
    /// In the control.
    pub e_c: f64,
    /// How far they come in series of the same subject; 1 or more.
    pub dispersion: f64,
}

/// A symptom with its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Its place in the list that was given.
    pub place: usize,
    /// Events of the treatment beyond the control's by requests.
    pub excess: f64,
    /// log p alone.
    pub ln_p: f64,
    /// log p after Holm's correction over all that were given, at most 0.
    pub ln_p_adjusted: f64,
}

impl Symptom {
    /// Events of the treatment beyond what the control's would be with as many requests.
    pub fn excess(&self, requests_t: f64, requests_c: f64) -> f64 {
        self.e_t - self.e_c * requests_t / requests_c
    }

    /// log p of at least so many events of the treatment, by requests.
    pub fn ln_p(&self, requests_t: f64, requests_c: f64) -> f64 {
        ln_p_symptom(self.e_t, self.e_c, requests_t, requests_c, self.dispersion)
    }
}

/// All symptoms with their numbers, by excess.
pub fn judge(symptoms: &[Symptom], requests_t: f64, requests_c: f64) -> Vec<Judged> {
    corrected(symptoms.iter().map(|s| (s.excess(requests_t, requests_c), s.ln_p(requests_t, requests_c))))
}

/// Results whose excess and log p are known, after Holm's correction over all of them, by excess.
pub fn corrected(excess_and_ln_p: impl Iterator<Item = (f64, f64)>) -> Vec<Judged> {
    let mut judged: Vec<Judged> = excess_and_ln_p
        .enumerate()
        .map(|(place, (excess, ln_p))| Judged { place, excess, ln_p, ln_p_adjusted: 0.0 })
        .collect();
    judged.sort_by(|a, b| a.ln_p.total_cmp(&b.ln_p));
    let tests = judged.len();
    let mut worst = f64::NEG_INFINITY;
    for (rank, judged) in judged.iter_mut().enumerate() {
        worst = worst.max(judged.ln_p + ((tests - rank) as f64).ln()).min(0.0);
        judged.ln_p_adjusted = worst;
    }
    judged.sort_by(|a, b| b.excess.total_cmp(&a.excess).then(a.place.cmp(&b.place)));
    judged
}

/// What is known of a value when it is asked whether it is a result of the request.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Occurrence {
    /// Its rows in the treatment.
    pub n_t: f64,
    /// Its rows in the control.
    pub n_c: f64,
    /// Its rows with the event, in both arms.
    pub events: f64,
    /// Those of the treatment.
    pub events_t: f64,
    /// Its rows with the event as they are, control first; all others are weighted where a ramp has stages.
    pub requests: [f64; 2],
    /// Sum over subjects of the square of its rows.
    pub squares: f64,
}

/// Does a value come with an arm: its share of the treatment departs from the arm's share of all rows further than the
/// choice of whole subjects explains. Another flag with the same split is such a value.
pub fn comes_with_arm(value: &Occurrence, share_t: f64) -> bool {
    let n = value.n_t + value.n_c;
    let error = (share_t * (1.0 - share_t) * value.squares).sqrt();
    error > 0.0 && (value.n_t - n * share_t).abs() > FAR * error
}

/// Is a value the event under another name: nearly all of its rows have the event.
pub fn is_the_event(value: &Occurrence) -> bool {
    let n = value.n_t + value.n_c;
    n >= FEW && value.events >= ALWAYS * n
}

/// Is an attribute one that only failing requests have: `present` of the `without` rows that have no event have it.
pub fn is_of_failures(present: f64, without: f64) -> bool {
    without > 0.0 && present < HARDLY_EVER * without
}
