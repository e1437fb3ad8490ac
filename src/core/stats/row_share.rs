//! Rows by arm against the share that was served (README.md, section 8): a treatment whose processes die, or of which only
//! what survives is recorded, sends too few rows. Needs no exposures.
//!
//! What is here: the evidence of strata in order of time, the noise that is measured on them, and when it is over. What is
//! not: which rows are counted, and when a stratum is complete.
//!
//! Rows are no units: how active the users of an arm are moves its rows, for as long as the rollout lasts. So two nulls are
//! tested, each an interval of odds, with half of the stake each: what was *served*, where the number of users is known, by
//! what their activity explains; and what the arms sent *before* under the same share. A margin lies around both, since a
//! treatment may need more requests or fewer. Beyond it the evidence of test S is divided by how much more the share of the
//! rows moves than that of independent ones.

use super::dependence::lopsided;
use super::mixture::log_sum_exp;
use super::process::{begin_copy, with_reserve};
use super::share::{GRID, increment};
use crate::{Error, Kind, Result};

/// Points of the grid, for what was served and for what was before.
const POINTS: usize = 28;
/// The past under a share is known after so long, in microseconds.
const KNOWN_AFTER: i64 = 300_000_000;
/// Of the past its mean share counts, with so many standard errors to either side.
const ERRORS: f64 = 3.0;
/// Scales on which the noise is measured: 1, 2, 4 ... strata.
const SCALES: usize = 7;
/// A measure counts as much as this many pairs of the next smaller scale, and at the smallest as the first guess.
const PRIOR: f64 = 4.0;
const FIRST_GUESS: f64 = 3.0;
/// One pair counts for at most so many times what is usual: a change of the share is one pair at each scale, and no noise.
const MOST: f64 = 6.0;
/// A copy of the evidence begins this often, in microseconds: what died after hours of health is found all the same.
const COPY_AFTER: i64 = 60_000_000;
/// Length of the stored form.
const STORED: usize = 2 + 3 * POINTS + 4 * SCALES + 1 + 3 + 5;

/// Rows of one span of time and one share.
#[derive(Debug, Clone, Copy)]
pub struct Stratum {
    /// Its time in microseconds.
    pub at: i64,
    /// The share of the treatment that was asked for.
    pub nominal: f64,
    /// The least and the greatest share that a client may still have served, the nominal one included.
    pub older: [f64; 2],
    /// Is it of the time after a change in which clients may serve an older share.
    pub settling: bool,
    /// Rows of the treatment and of the control.
    pub n: [u64; 2],
}

/// By what rows are judged.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The chance that a healthy rollout is ever found to have a mismatch.
    pub alpha: f64,
    /// The odds of the treatment's rows may be by this part more or less than those that were served.
    pub margin: f64,
    /// As how many equally active users the rows come from; `None`: they cannot be told apart.
    pub users: Option<f64>,
}

/// What a stratum changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing is new.
    None,
    /// A mismatch, or a new one.
    Mismatch,
    /// The mismatch is over.
    Over,
}

/// Two neighbouring blocks of strata are compared at each scale: the first one waits for the second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Scale {
    pairs: f64,
    squares: f64,
    /// Rows of the treatment beyond the nominal ones, and their variance if they were independent.
    waits: [f64; 2],
}

/// What the arms sent before under the same share.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Past {
    nominal: f64,
    since: i64,
    /// Rows of treatment and control.
    n: [f64; 2],
    /// Variance of the treatment's, were they independent.
    varies: f64,
}

impl Default for Past {
    fn default() -> Self {
        Self { nominal: 0.0, since: i64::MAX, n: [0.0; 2], varies: 0.0 }
    }
}

/// The evidence of one rollout's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct RowShare {
    sums: [f64; POINTS],
    copies: f64,
    /// When the last copy began.
    copied_at: Option<i64>,
    scales: [Scale; SCALES],
    /// Log weights of the grid as a mismatch left them, and the plain sums since.
    mismatch: Option<[f64; POINTS]>,
    since: [f64; POINTS],
    /// Rows of the treatment and of the control, and how many of the treatment were asked for, since nothing spoke for a
    /// mismatch: what one is found by.
    found_by: [f64; 3],
    past: Past,
}

impl Default for RowShare {
    fn default() -> Self {
        Self {
            sums: [0.0; POINTS],
            copies: 0.0,
            copied_at: None,
            scales: Default::default(),
            mismatch: None,
            since: [0.0; POINTS],
            found_by: [0.0; 3],
            past: Past::default(),
        }
    }
}

impl RowShare {
    /// Adds a stratum and looks.
    ///
    /// # Errors
    /// As [`increment`].
    pub fn add(&mut self, stratum: &Stratum, terms: &Terms) -> Result<Finding> {
        if self.log_e() <= 0.0 {
            self.found_by = [0.0; 3];
        }
        let n = stratum.n.map(|n| n as f64);
        let more = [n[0], n[1], (n[0] + n[1]) * stratum.nominal];
        self.found_by.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        let noise = self.noise();
        if self.copied_at.is_some_and(|at| stratum.at.saturating_sub(at) >= COPY_AFTER) {
            begin_copy(&mut self.sums, self.copies);
            self.copies += 1.0;
            self.copied_at = Some(stratum.at);
        }
        self.copied_at = self.copied_at.or(Some(stratum.at));
        let [t, c] = stratum.n;
        let nulls = [served(stratum.nominal, terms), self.before(stratum, terms, noise)];
        for (i, null) in nulls.into_iter().enumerate() {
            let Some([least, greatest]) = null else { continue };
            let (low, high) = (within(least, t, c)?, within(greatest, t, c)?);
            for (j, d) in GRID.iter().enumerate() {
                let null = if *d > 0.0 { &high } else { &low };
                let Some(added) = null else { continue };
                // A unit's rows move the share further up than down where few are served: the sum is not normal.
                let rare = (*d > 0.0) == (stratum.nominal < 0.5);
                let few = if rare { lopsided(stratum.nominal) } else { 1.0 };
                let (added, k) = (added[j] / (1.0 + (noise - 1.0) * few), i * GRID.len() + j);
                self.sums[k] += if stratum.explains(*d) { 0.0 } else { added };
                self.since[k] += if stratum.settling { 0.0 } else { added };
            }
        }
        self.remember(stratum);
        self.measure(stratum);
        Ok(self.look(terms.alpha))
    }

    /// The log e-value now.
    pub fn log_e(&self) -> f64 {
        let points = (POINTS as f64).ln();
        with_reserve(log_sum_exp(self.sums.iter().map(|sum| sum - points)), self.copies)
    }

    /// Log weights of the grid as a mismatch left them; `None`: there is none.
    pub fn mismatch(&self) -> Option<[f64; 28]> {
        self.mismatch
    }

    /// What a mismatch is found by: rows of the treatment and of the control, and how many of the treatment were asked for.
    pub fn found_by(&self) -> [f64; 3] {
        self.found_by
    }

    fn look(&mut self, alpha: f64) -> Finding {
        // Half of alpha is for what the users' activity explains.
        let line = -(alpha / 2.0).ln();
        let points = (POINTS as f64).ln();
        let begin_anew = |own: &mut Self| {
            (own.sums, own.since) = ([0.0; POINTS], [0.0; POINTS]);
            (own.copies, own.copied_at) = (0.0, None);
        };
        if self.log_e() >= line {
            let log_e = log_sum_exp(self.sums.iter().map(|sum| sum - points));
            self.mismatch = Some(self.sums.map(|sum| sum - points - log_e));
            begin_anew(self);
            return Finding::Mismatch;
        }
        let Some(weights) = &self.mismatch else { return Finding::None };
        if log_sum_exp(weights.iter().zip(&self.since).map(|(w, sum)| w + sum)) <= -line {
            (self.mismatch, self.past) = (None, Past::default());
            begin_anew(self);
            return Finding::Over;
        }
        Finding::None
    }

    /// The least and the greatest share that are no mismatch by what was before, or served; `None` while that is too short.
    fn before(&self, stratum: &Stratum, terms: &Terms, noise: f64) -> Option<[f64; 2]> {
        let past = &self.past;
        let known = past.nominal == stratum.nominal && stratum.at.saturating_sub(past.since) >= KNOWN_AFTER;
        if !known || past.varies <= 0.0 {
            return None;
        }
        // Rows beyond those expected, over their variance: how far the logarithm of the odds is off.
        let off = (past.n[0] + 0.5).ln() - (past.n[1] + 0.5).ln() - (stratum.nominal / (1.0 - stratum.nominal)).ln();
        let error = ERRORS * (noise / past.varies).sqrt();
        let margin = terms.margin.max(0.0).ln_1p();
        let [least, greatest] = [(off - error).min(0.0) - margin, (off + error).max(0.0) + margin];
        Some([moved(stratum.nominal, least), moved(stratum.nominal, greatest)])
    }

    /// Adds a stratum to what was before. What goes on since a mismatch is no past to go by.
    fn remember(&mut self, stratum: &Stratum) {
        if self.mismatch.is_some() {
            return;
        }
        if stratum.settling || stratum.nominal != self.past.nominal {
            self.past = Past { nominal: stratum.nominal, since: stratum.at, ..Past::default() };
        }
        if !stratum.settling {
            let n = stratum.n.map(|n| n as f64);
            self.past.n = [self.past.n[0] + n[0], self.past.n[1] + n[1]];
            self.past.varies += (n[0] + n[1]) * stratum.nominal * (1.0 - stratum.nominal);
        }
    }

    /// How many times more the share of the rows moves than that of independent rows, at the scale where it is most: from
    /// strata before the next one alone, leaning to more.
    pub fn noise(&self) -> f64 {
        let mut usual = FIRST_GUESS;
        self.scales.iter().fold(1.0_f64, |most, scale| {
            usual = scale.usual(usual);
            most.max(usual * (1.0 + (2.0 / (PRIOR + scale.pairs)).sqrt()))
        })
    }

    /// Neighbours differ by noise alone, whatever the share is: what goes on is no noise, and a change is one pair. While
    /// clients learn of a change the share moves by itself: that is none either.
    fn measure(&mut self, stratum: &Stratum) {
        if stratum.settling {
            self.scales.iter_mut().for_each(|scale| scale.waits = [0.0; 2]);
            return;
        }
        let [t, c] = stratum.n.map(|n| n as f64);
        let mut block = [t - (t + c) * stratum.nominal, (t + c) * stratum.nominal * (1.0 - stratum.nominal)];
        if block[1] <= 0.0 {
            return;
        }
        let mut usual = FIRST_GUESS;
        for scale in &mut self.scales {
            usual = scale.usual(usual);
            let first = std::mem::replace(&mut scale.waits, block);
            if first[1] <= 0.0 {
                return;
            }
            let differ = first[0] / first[1] - block[0] / block[1];
            scale.squares += (differ * differ / (1.0 / first[1] + 1.0 / block[1])).min(MOST * usual);
            scale.pairs += 1.0;
            scale.waits = [0.0; 2];
            block = [first[0] + block[0], first[1] + block[1]];
        }
    }

    /// The stored form: numbers in one fixed order.
    pub fn stored(&self) -> Vec<f64> {
        let mut all = vec![self.copies, self.copied_at.map_or(f64::NAN, |at| at as f64)];
        all.extend(self.sums.iter().chain(&self.since));
        all.push(f64::from(u8::from(self.mismatch.is_some())));
        all.extend(self.mismatch.unwrap_or_default());
        all.extend(self.scales.iter().flat_map(|s| [s.pairs, s.squares, s.waits[0], s.waits[1]]));
        all.extend(self.found_by);
        let past = &self.past;
        all.extend([past.nominal, past.since as f64, past.n[0], past.n[1], past.varies]);
        all
    }

    /// Reads the stored form; nothing stored is nothing seen.
    ///
    /// # Errors
    /// [`Kind::Corrupted`] when it is damaged.
    pub fn read(stored: &[f64]) -> Result<Self> {
        if stored.is_empty() {
            return Ok(Self::default());
        }
        let damaged = stored.iter().enumerate().any(|(i, x)| i != 1 && !x.is_finite());
        if stored.len() != STORED || damaged {
            let message = format!("the stored evidence of rows by arm is damaged: {} numbers", stored.len());
            return Err(Error::new(Kind::Corrupted, message)
                .hint("Delete the rollout's row of _flagscope.row_share to begin anew."));
        }
        let points = |from: usize| std::array::from_fn(|j| stored[from + j]);
        let last = 3 + 3 * POINTS;
        Ok(Self {
            copies: stored[0].max(0.0),
            copied_at: stored[1].is_finite().then_some(stored[1] as i64),
            sums: points(2),
            since: points(2 + POINTS),
            mismatch: (stored[2 + 2 * POINTS] > 0.0).then(|| points(3 + 2 * POINTS)),
            scales: std::array::from_fn(|i| {
                let s = &stored[last + 4 * i..last + 4 * i + 4];
                Scale { pairs: s[0].max(0.0), squares: s[1].max(0.0), waits: [s[2], s[3]] }
            }),
            found_by: std::array::from_fn(|i| stored[STORED - 8 + i]),
            past: Past {
                nominal: stored[STORED - 5],
                since: stored[STORED - 4] as i64,
                n: [stored[STORED - 3], stored[STORED - 2]],
                varies: stored[STORED - 1],
            },
        })
    }
}

impl Scale {
    /// The mean square, where what is usual at the next smaller scale is believed at first.
    fn usual(&self, smaller: f64) -> f64 {
        (PRIOR * smaller + self.squares) / (PRIOR + self.pairs)
    }
}

impl Stratum {
    /// Could clients with an older share cause a deviation in this direction.
    fn explains(&self, d: f64) -> bool {
        self.settling && if d > 0.0 { self.older[1] > self.nominal } else { self.older[0] < self.nominal }
    }
}

/// The increments against a share; `None` where no share is beyond it.
fn within(share: f64, t: u64, c: u64) -> Result<Option<Vec<f64>>> {
    if share > 1e-9 && share < 1.0 - 1e-9 { increment(share, t, c).map(Some) } else { Ok(None) }
}

/// A share whose odds are moved by a logarithm.
fn moved(share: f64, by: f64) -> f64 {
    let odds = share / (1.0 - share) * by.exp();
    if odds.is_finite() { odds / (1.0 + odds) } else { 1.0 }
}

/// The least and the greatest share of the rows that are no mismatch by what was served; `None`: how few users they come from
/// is not known.
fn served(nominal: f64, terms: &Terms) -> Option<[f64; 2]> {
    let margin = terms.margin.max(0.0).ln_1p();
    let spread = (4.0 / terms.alpha).ln() / terms.users?.max(1.0);
    Some([moved(explained(nominal, spread, 0.0), -margin), moved(explained(nominal, spread, 1.0), margin)])
}

/// The share towards an end that is as far from the nominal one as chance explains: the divergence of two coins, by which
/// Chernoff bounds the tails of a binomial law.
fn explained(nominal: f64, spread: f64, end: f64) -> f64 {
    let part = |q: f64, p: f64| if q > 0.0 { q * (q / p).ln() } else { 0.0 };
    let divergence = |q: f64| part(q, nominal) + part(1.0 - q, 1.0 - nominal);
    if divergence(end) <= spread {
        return end;
    }
    let (mut near, mut far) = (nominal, end);
    for _ in 0..60 {
        let middle = f64::midpoint(near, far);
        if divergence(middle) <= spread { near = middle } else { far = middle }
    }
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { alpha: 0.01, margin: 0.3, users: Some(200.0) };

    fn stratum(second: i64, n: [u64; 2]) -> Stratum {
        Stratum { at: second * 1_000_000, nominal: 0.5, older: [0.5, 0.5], settling: false, n }
    }

    #[test]
    fn what_is_tolerated_by_hand() {
        // 200 users: ln(400) / 200 = 0.02996 is the divergence of 0.3788 from one half; odds 0.6098 / 1.3 = 0.4691.
        let [least, greatest] = served(0.5, &TERMS).unwrap();
        assert!((least - 0.3193).abs() < 1e-3 && (least + greatest - 1.0).abs() < 1e-9, "{least}");
        // Of a hundred users one has the treatment: that there is none is no wonder.
        assert!(served(0.01, &Terms { users: Some(100.0), ..TERMS }).unwrap()[0] < 1e-12);
        assert!(served(0.5, &Terms { users: None, ..TERMS }).is_none());
        // Five minutes of 60 to 40 rows: odds 1.5, and three times sqrt(noise / 750) to either side.
        let mut rows = RowShare::default();
        for i in 0..30 {
            rows.add(&stratum(10 * i, [60, 40]), &TERMS).unwrap();
            assert!(rows.before(&stratum(299, [0, 0]), &TERMS, 1.0).is_none());
        }
        let [least, greatest] = rows.before(&stratum(300, [0, 0]), &TERMS, 3.0).unwrap();
        let odds = |share: f64| (share / (1.0 - share)).ln();
        assert!((odds(least) + 1.3_f64.ln()).abs() < 1e-12);
        let by_hand = (1800.5_f64 / 1200.5).ln() + 3.0 * (3.0 / 750.0_f64).sqrt() + 1.3_f64.ln();
        assert!((odds(greatest) - by_hand).abs() < 1e-12);
    }

    #[test]
    fn the_first_stratum_by_hand() {
        let mut rows = RowShare::default();
        rows.add(&stratum(0, [30, 60]), &TERMS).unwrap();
        let noise = FIRST_GUESS * (1.0 + (2.0 / PRIOR).sqrt());
        let [low, high] = served(0.5, &TERMS).unwrap().map(|share| increment(share, 30, 60).unwrap());
        for (j, d) in GRID.iter().enumerate() {
            let by_hand = if *d > 0.0 { high[j] } else { low[j] } / noise;
            assert!((rows.sums[j] - by_hand).abs() < 1e-12 && rows.sums[14 + j] == 0.0);
        }
        // A change of the share: fewer than asked for are the old share's; more are not.
        let mut rows = RowShare::default();
        rows.add(&Stratum { older: [0.1, 0.5], settling: true, ..stratum(0, [30, 60]) }, &TERMS).unwrap();
        assert!(rows.sums.iter().zip(GRID.iter()).all(|(sum, d)| (*sum == 0.0) == (*d < 0.0)));
    }

    #[test]
    fn the_noise_is_what_neighbours_differ_by() {
        let mut rows = RowShare::default();
        // 50 of 100, then 70 of 100, in turns: z = 0.2 / sqrt(0.25 (1 / 100 + 1 / 100)) = 2.83, its square 8.
        for i in 0..400 {
            rows.add(&stratum(i, if i % 2 == 0 { [50, 50] } else { [70, 30] }), &TERMS).unwrap();
        }
        let scale = rows.scales[0];
        assert!((scale.squares / scale.pairs - 8.0).abs() < 1e-9 && rows.scales[1].squares < 1e-9);
        assert!(rows.noise() > 8.0 && rows.noise() < 10.0, "{}", rows.noise());
    }

    #[test]
    fn it_is_stored_and_read() {
        let mut rows = RowShare::default();
        for i in 0..100 {
            rows.add(&stratum(10 * i, [i as u64 % 7, 20]), &TERMS).unwrap();
        }
        assert!(rows.mismatch().is_some());
        assert_eq!(RowShare::read(&rows.stored()).unwrap(), rows);
        assert_eq!(RowShare::read(&[]).unwrap(), RowShare::default());
        assert!(RowShare::read(&[1.0; 7]).is_err());
        assert!(RowShare::read(&[f64::NAN; STORED]).is_err());
    }

    #[test]
    fn a_mismatch_is_found_and_over() {
        let mut rows = RowShare::default();
        let mut found = Vec::new();
        for i in 0..120 {
            let n = if (40..80).contains(&i) { [20, 100] } else { [100, 100] };
            let finding = rows.add(&stratum(10 * i, n), &TERMS).unwrap();
            if finding != Finding::None {
                found.push((i, finding));
            }
        }
        assert!(matches!(found.first(), Some((40..=44, Finding::Mismatch))), "{found:?}");
        assert!(matches!(found.last(), Some((80..=90, Finding::Over))), "{found:?}");
    }
}
