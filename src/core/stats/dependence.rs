//! Rows that resemble each other: how many times less they tell than as many independent ones (the design effect).
//!
//! What is here: sums by unit (a user, a trace, a moment) over slices of time, and the estimate from them. What is not:
//! reading rows, and when an estimate is used, which must be after what it was taken from was judged (README.md, section 7).
//!
//! All tests that compare arms add up, for each row, its value less what was usual at that moment. Users are assigned to arms
//! as wholes, so under the null the variance of that sum is the sum over users of the *square of the user's own sum* e_u, and not
//! of the squares of its rows. The design effect is the ratio of the two (Liang and Zeger 1986; in surveys Kish 1965).
//! Everything usual is taken without the user itself (the jackknife, CR3: MacKinnon and White 1985), so that one user who is most
//! of an arm does not hide in the mean; and each arm's own mean is taken out, so that harm does not count as dependence.

use std::collections::{BTreeMap, HashMap};

use crate::{Error, Kind, Result};

/// So many units are kept: more are sampled, by their hash, each with all its rows or not at all.
const MOST_UNITS: usize = 4096;
/// A moment's rest is what is usual there from so many rows on; below, that of the whole slice.
const LEAST_REST: f64 = 20.0;
/// Fewer units, or events, say nothing.
const LEAST: f64 = 10.0;
/// Numbers kept for each unit and level.
const WIDTH: usize = 5;

/// What the rows of a unit in one cell of time add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sum {
    /// Rows.
    pub rows: f64,
    /// What is counted per: rows, or of a rate its exposure.
    pub per: f64,
    /// Events, or the sum of the values.
    pub sum: f64,
    /// Sum of the values' squares; only of means.
    pub squares: f64,
}

/// How a value varies of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// A row is an event or not.
    Share,
    /// Events are counted.
    Count,
    /// A row has a value.
    Value,
}

/// What the rows of a unit are known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The subject.
    Subject,
    /// The trace, of rows without a subject.
    Trace,
    /// The second and the arm, of rows with neither: what comes in clumps shows.
    Moment,
}

/// Of each unit in each arm a sum for each level.
type Arms = BTreeMap<(u64, bool), Vec<Sum>>;

/// Sums of one slice of time by cell, unit and arm; one sum for each level that is compared.
#[derive(Debug)]
pub struct Slice {
    law: Law,
    levels: usize,
    cells: HashMap<(i64, u8), Arms>,
    rows: [f64; 3],
}

/// A unit's sums of all slices, for one level: of treatment and control what is counted per and what is beyond the usual,
/// and what its rows would vary by if each were of another unit.
type Known = [f64; WIDTH];

/// Sums by unit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Units {
    levels: usize,
    /// Only units with a hash up to this are kept.
    upto: u64,
    /// Rows by subject, by trace and by moment.
    rows: [f64; 3],
    /// How much longer the time is than what was read of it, for what could not all be read.
    seconds: [f64; 2],
    units: BTreeMap<u64, (f64, Vec<Known>)>,
}

/// A design effect as measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The design effect to use: leaned up, at least 1.
    pub effect: f64,
    /// The estimate itself.
    pub estimate: f64,
    /// Rows that it is from.
    pub rows: f64,
    /// Units that it is from.
    pub units: usize,
    /// What most rows are known by.
    pub by: By,
    /// The share of the rows that the unit with the most has.
    pub heaviest: f64,
    /// Of how many units that are equally active the rows tell as much (Kish): (sum of rows)^2 / sum of their squares.
    pub equal_units: f64,
}

impl Slice {
    /// An empty slice.
    pub fn new(law: Law, levels: usize) -> Self {
        Self { law, levels: levels.max(1), cells: HashMap::new(), rows: [0.0; 3] }
    }

    /// Adds rows of a unit: `at` in seconds. Rows of users are compared across the arms, so that all that happens to both is
    /// taken out; traces and moments, which are short, within their arm, whose effect then needs no estimate.
    pub fn add(&mut self, by: By, unit: u64, treated: bool, at: i64, sums: &[Sum]) {
        let within = if by == By::Subject { 2 } else { u8::from(treated) };
        let cell = self.cells.entry((at.div_euclid(10), within)).or_default();
        let mine = cell.entry((unit, treated)).or_insert_with(|| vec![Sum::default(); self.levels]);
        for (mine, more) in mine.iter_mut().zip(sums) {
            mine.rows += more.rows;
            mine.per += more.per;
            mine.sum += more.sum;
            mine.squares += more.squares;
        }
        self.rows[by as usize] += sums.first().map_or(0.0, |sum| sum.rows);
    }

    /// How many rows were added.
    pub fn rows(&self) -> f64 {
        self.rows.iter().sum()
    }
}

/// What all but one unit have in its cell, or in the slice where that is too little. Both are given as all and the unit.
fn rest(cell: [&Sum; 2], all: [&Sum; 2]) -> Option<Sum> {
    let less = |[whole, part]: [&Sum; 2]| Sum {
        rows: whole.rows - part.rows,
        per: whole.per - part.per,
        sum: whole.sum - part.sum,
        squares: 0.0,
    };
    let near = less(cell);
    let enough = near.rows >= LEAST_REST.max(cell[1].rows) && near.per > 0.0;
    let rest = if enough { near } else { less(all) };
    (rest.rows >= 1.0 && rest.per > 0.0).then_some(rest)
}

fn plus(a: &mut Sum, b: &Sum) {
    a.rows += b.rows;
    a.per += b.per;
    a.sum += b.sum;
}

impl Units {
    /// None yet.
    pub fn new(levels: usize) -> Self {
        Self { levels: levels.max(1), upto: u64::MAX, ..Self::default() }
    }

    /// How many levels are measured.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// Adds a slice, of which a part of its seconds was read.
    pub fn grow(&mut self, slice: &Slice, seconds: f64, read: f64) {
        for (mine, more) in self.rows.iter_mut().zip(slice.rows) {
            *mine += more;
        }
        self.seconds[0] += seconds.max(0.0);
        self.seconds[1] += read.clamp(0.0, seconds.max(0.0));
        for level in 0..self.levels {
            self.grow_level(slice, level);
        }
        while self.units.len() > MOST_UNITS {
            self.upto /= 2;
            let upto = self.upto;
            self.units.retain(|unit, _| *unit <= upto);
        }
    }

    fn grow_level(&mut self, slice: &Slice, level: usize) {
        // What a unit and all have in the slice, of the cells that it is compared in.
        let mut all: [Sum; 3] = Default::default();
        let mut of_unit: HashMap<(u64, u8), Sum> = HashMap::new();
        for ((_, within), cell) in &slice.cells {
            for ((unit, _), sums) in cell {
                plus(&mut all[usize::from(*within)], &sums[level]);
                plus(of_unit.entry((*unit, *within)).or_default(), &sums[level]);
            }
        }
        // In a fixed order: sums of floats depend on it.
        let mut cells: Vec<_> = slice.cells.iter().collect();
        cells.sort_unstable_by_key(|(key, _)| **key);
        for ((_, within), cell) in cells {
            let mut whole = Sum::default();
            let mut in_cell: HashMap<u64, Sum> = HashMap::new();
            for ((unit, _), sums) in cell {
                plus(&mut whole, &sums[level]);
                plus(in_cell.entry(*unit).or_default(), &sums[level]);
            }
            for ((unit, treated), sums) in cell.iter().filter(|((unit, _), _)| *unit <= self.upto) {
                let unit_in_all = &of_unit[&(*unit, *within)];
                let all = &all[usize::from(*within)];
                let Some(rest) = rest([&whole, &in_cell[unit]], [all, unit_in_all]) else { continue };
                let known = self.units.entry(*unit).or_insert_with(|| (0.0, vec![[0.0; WIDTH]; self.levels]));
                known.0 += if level == 0 { sums[level].rows } else { 0.0 };
                add_to(&mut known.1[level], slice.law, &sums[level], &rest, *treated);
            }
        }
    }

    /// The design effect where the treatment has a share of the users; `None` while there is too little to tell.
    pub fn measure(&self, share: f64) -> Option<Measured> {
        let of_levels = (0..self.levels).filter_map(|level| self.measure_level(level, share));
        let (effect, estimate) = of_levels.reduce(|a, b| if b.0 > a.0 { b } else { a })?;
        let rows: f64 = self.units.values().map(|unit| unit.0).sum();
        let most = self.units.values().map(|unit| unit.0).fold(0.0, f64::max);
        let by = [By::Subject, By::Trace, By::Moment]
            .into_iter()
            .reduce(|a, b| if self.rows[b as usize] > self.rows[a as usize] { b } else { a })?;
        let heaviest = if rows > 0.0 { most / rows } else { 0.0 };
        let squares: f64 = self.units.values().map(|unit| unit.0 * unit.0).sum();
        let all: f64 = self.rows.iter().sum();
        // Of a sample of units: there are as many more as rows.
        let equal_units = if squares > 0.0 { rows * all.max(rows) / squares } else { 0.0 };
        Some(Measured { effect, estimate, rows: all, units: self.units.len(), by, heaviest, equal_units })
    }

    fn measure_level(&self, level: usize, share: f64) -> Option<(f64, f64)> {
        let mut totals = [[0.0; 2]; 2];
        for known in self.units.values().map(|unit| &unit.1[level]) {
            for arm in 0..2 {
                totals[arm][0] += known[2 * arm];
                totals[arm][1] += known[2 * arm + 1];
            }
        }
        // How much more than its rows each unit varies; the squares of that tell how sure the sum is.
        let (mut excess, mut squares, mut varies) = (0.0, 0.0, 0.0);
        for known in self.units.values().map(|unit| &unit.1[level]) {
            let (mut beyond, mut part) = (0.0, 0.0_f64);
            for arm in 0..2 {
                let (per, own) = (known[2 * arm], known[2 * arm + 1]);
                let rest = totals[arm][0] - per;
                beyond += if rest > 0.0 { own - per * (totals[arm][1] - own) / rest } else { own };
                part = part.max(if rest > 0.0 { per / rest } else { 0.0 });
            }
            let of_rows = known[4] * (1.0 + part);
            let more = beyond * beyond - of_rows;
            excess += more;
            squares += more * more;
            varies += of_rows;
        }
        let enough = self.units.len() as f64 >= LEAST && varies > 0.0;
        if !(enough && excess.is_finite() && squares.is_finite() && varies.is_finite()) {
            return None;
        }
        let longer = if self.seconds[1] > 0.0 { self.seconds[0] / self.seconds[1] } else { 1.0 };
        let error = squares.sqrt();
        // Less than half its error is nothing: independent rows must not pay for being measured. One unit alone has all of it.
        let found = if excess > error / 2.0 { excess } else { 0.0 };
        // One unit that carries the sum: its squared sum is all of both, and the sum has one step instead of many.
        let few = if found > 0.0 { (lopsided(share) - 1.0) * found.min(squares / excess.max(error)) } else { 0.0 };
        let leaned = found + error.min(found) + few;
        Some((1.0 + longer * leaned / varies, 1.0 + longer * excess / varies))
    }

    /// The stored form: numbers in one fixed order.
    pub fn stored(&self) -> Vec<u8> {
        let mut bytes = vec![1];
        let mut put = |x: f64| bytes.extend_from_slice(&x.to_le_bytes());
        put(self.levels as f64);
        put(f64::from_bits(self.upto));
        self.rows.iter().chain(&self.seconds).for_each(|x| put(*x));
        for (unit, (rows, levels)) in &self.units {
            put(f64::from_bits(*unit));
            put(*rows);
            levels.iter().flatten().for_each(|x| put(*x));
        }
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Kind::Corrupted`] when it is damaged.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::new(Kind::Corrupted, "stored sums of units are damaged");
        let Some((1, rest)) = bytes.split_first() else { return Err(damaged()) };
        let mut numbers = rest.chunks(8).map(|b| b.try_into().map(f64::from_le_bytes).map_err(|_| damaged()));
        let mut next = || numbers.next().unwrap_or_else(|| Err(damaged()));
        let levels = next()?;
        if !(1.0..=16.0).contains(&levels) {
            return Err(damaged());
        }
        let mut units = Self { upto: next()?.to_bits(), ..Self::new(levels as usize) };
        for number in units.rows.iter_mut().chain(&mut units.seconds) {
            *number = next()?;
        }
        let width = 2 + WIDTH * units.levels;
        let left = rest.len() / 8 - 7;
        if left % width != 0 {
            return Err(damaged());
        }
        for _ in 0..left / width {
            let (unit, rows) = (next()?.to_bits(), next()?);
            let mut known = vec![[0.0; WIDTH]; units.levels];
            for number in known.iter_mut().flatten() {
                *number = next()?;
            }
            units.units.insert(unit, (rows, known));
        }
        Ok(units)
    }
}

/// Adds to a unit what its rows in a cell are beyond the usual, and what they would vary by as independent ones.
fn add_to(known: &mut Known, law: Law, sum: &Sum, rest: &Sum, treated: bool) {
    let usual = rest.sum / rest.per;
    let whole = rest.per + sum.per;
    // The usual is uncertain itself, alike for all rows of the unit: of independent rows this is its variance exactly.
    let (one, all) = (whole / (rest.per + sum.per / sum.rows.max(1.0)), whole / rest.per);
    let varies = match law {
        Law::Share => (sum.sum * (1.0 - 2.0 * usual) + sum.per * usual * usual) * one,
        Law::Count => sum.sum * all,
        Law::Value => (sum.squares - 2.0 * usual * sum.sum + sum.per * usual * usual) * one,
    };
    let arm = if treated { 0 } else { 2 };
    known[arm] += sum.per;
    known[arm + 1] += sum.sum - sum.per * usual;
    known[4] += varies.max(0.0);
}

/// How many times its variance the sub-Gaussian variance of a coin with this chance is (Kearns and Saul 1998): what one
/// unit that carries the sum needs when few are served the treatment, 1 at a half.
pub(super) fn lopsided(share: f64) -> f64 {
    let share = share.clamp(0.001, 0.999);
    let off = 1.0 - 2.0 * share;
    if off.abs() < 1e-6 { 1.0 } else { off / (2.0 * (1.0 / share - 1.0).ln() * share * (1.0 - share)) }
}
