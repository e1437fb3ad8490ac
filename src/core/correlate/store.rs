//! The rows that a search reads: attributes as codes, in bounded memory.
//!
//! What is here: which rows are kept and what they stand for. What is not: which attributes there are (`dictionary`).
//!
//! Rows are kept by subject, never by chance of the row, so that a subject's series stays whole: rows of an arm with or
//! without an event are a class, and when a class is full the share of subjects that it keeps is halved. What is left
//! stands for as many more. Memory is (2 bytes an attribute + 16) a row.

use super::strata::Weights;
use super::tally::{LANES, Scale, Table, Tallied};

/// Most rows that are kept of each class.
pub const CLASS_ROWS: usize = 200_000;

/// Code of an attribute that a row does not have.
pub const NONE: u16 = 0;
/// Code of all values for which there was no room: counted, never an explanation.
pub const OTHER: u16 = 1;

/// One row as it comes in; `subject` is a hash that is spread evenly (of the targeting key, else the trace, else the row).
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Who it belongs to.
    pub subject: u64,
    /// Of the treatment, not the control.
    pub treated: bool,
    /// Has the event.
    pub event: bool,
    /// In which stage of a ramp (`strata::Stages`).
    pub stratum: u8,
    /// What shows it to a person, by number; 0 for nothing.
    pub witness: u32,
}

/// Rows with their codes, one column an attribute.
#[derive(Debug, Clone)]
pub struct Store {
    rows: Vec<Row>,
    columns: Vec<Vec<u16>>,
    /// Of each row its lane (`tally`), once they are sorted.
    lanes: Vec<u8>,
    strata: usize,
    balance: Weights,
    cap: usize,
    /// Halvings of each class, and its rows.
    halved: [u32; 4],
    held: [usize; 4],
    sorted: bool,
}

fn class(treated: bool, event: bool) -> usize {
    usize::from(treated) * 2 + usize::from(event)
}

/// Is a subject among the 1 / 2^halved that are kept.
#[inline]
pub(super) fn is_kept(subject: u64, halved: u32) -> bool {
    halved == 0 || (halved < 64 && subject >> (64 - halved) == 0)
}

impl Store {
    /// An empty store of so many attributes, that keeps at most `cap` rows of each class.
    pub fn new(attributes: usize, cap: usize) -> Self {
        let columns = vec![Vec::new(); attributes];
        Self {
            rows: Vec::new(),
            columns,
            lanes: Vec::new(),
            strata: 1,
            balance: Weights::default(),
            cap: cap.max(1),
            halved: [0; 4],
            held: [0; 4],
            sorted: true,
        }
    }

    /// Would a row be kept.
    #[inline]
    pub fn keeps(&self, subject: u64, treated: bool, event: bool) -> bool {
        is_kept(subject, self.halved[class(treated, event)])
    }

    /// Is every row of a subject in an arm kept, with the event or without.
    pub fn keeps_all_of(&self, subject: u64, treated: bool) -> bool {
        self.keeps(subject, treated, false) && self.keeps(subject, treated, true)
    }

    /// Adds a row, with one code an attribute.
    pub fn push(&mut self, row: Row, codes: &[u16]) {
        let class = class(row.treated, row.event);
        if !is_kept(row.subject, self.halved[class]) {
            return;
        }
        self.rows.push(row);
        for (column, index) in self.columns.iter_mut().zip(0..) {
            column.push(codes.get(index).copied().unwrap_or(NONE));
        }
        self.strata = self.strata.max(usize::from(row.stratum) + 1);
        self.sorted = false;
        self.held[class] += 1;
        while self.held[class] > self.cap && self.halved[class] < 63 {
            self.halve(class);
        }
    }

    /// Adds an attribute that no row so far has; its place among the columns.
    pub fn add_attribute(&mut self) -> usize {
        self.columns.push(vec![NONE; self.rows.len()]);
        self.columns.len() - 1
    }

    /// Takes an attribute away; those after it move up.
    pub fn remove_attribute(&mut self, attribute: usize) {
        self.columns.remove(attribute);
    }

    /// Replaces each code of an attribute by another; the map has one for each code.
    pub fn recode(&mut self, attribute: usize, map: &[u16]) {
        for code in &mut self.columns[attribute] {
            *code = map.get(usize::from(*code)).copied().unwrap_or(OTHER);
        }
    }

    /// The rows, to be given other witnesses.
    pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = &mut Row> {
        self.rows.iter_mut()
    }

    /// Rows with the event that have an attribute.
    pub fn events_with(&self, attribute: usize) -> u64 {
        let has = |(row, code): &(&Row, &u16)| row.event && **code != NONE;
        self.rows.iter().zip(&self.columns[attribute]).filter(has).count() as u64
    }

    /// Rows of the control by code of an attribute, which has so many codes.
    pub fn control_rows(&self, attribute: usize, codes: usize) -> Vec<f64> {
        let mut rows = vec![0.0; codes];
        for (row, code) in self.rows.iter().zip(&self.columns[attribute]).filter(|(row, _)| !row.treated) {
            rows[usize::from(*code)] += 2.0_f64.powi(self.halved[class(false, row.event)] as i32);
        }
        rows
    }

    /// From now on, at most so many rows of each class.
    pub fn shrink(&mut self, cap: usize) {
        self.cap = cap.clamp(1, self.cap);
        for class in 0..4 {
            while self.held[class] > self.cap && self.halved[class] < 63 {
                self.halve(class);
            }
        }
    }

    fn halve(&mut self, full: usize) {
        self.halved[full] += 1;
        let halved = self.halved[full];
        let keep: Vec<bool> =
            self.rows.iter().map(|r| class(r.treated, r.event) != full || is_kept(r.subject, halved)).collect();
        let mut flags = keep.iter();
        self.rows.retain(|_| *flags.next().unwrap_or(&true));
        for column in &mut self.columns {
            let mut flags = keep.iter();
            column.retain(|_| *flags.next().unwrap_or(&true));
        }
        self.held[full] = self.rows.iter().filter(|r| class(r.treated, r.event) == full).count();
    }

    /// From now on a row counts by its stage.
    pub fn balance(&mut self, weights: Weights) {
        self.balance = weights;
    }

    /// Puts the rows of each subject side by side, control first: what everything that reads them needs.
    pub fn sort(&mut self) {
        if self.sorted && self.lanes.len() == self.rows.len() {
            return;
        }
        let mut order: Vec<u32> = (0..self.rows.len() as u32).collect();
        order.sort_unstable_by_key(|at| (self.rows[*at as usize].treated, self.rows[*at as usize].subject, *at));
        self.rows = order.iter().map(|at| self.rows[*at as usize]).collect();
        for column in &mut self.columns {
            *column = order.iter().map(|at| column[*at as usize]).collect();
        }
        let lane = |r: &Row| usize::from(r.stratum) * LANES + class(r.treated, r.event);
        self.lanes = self.rows.iter().map(|r| lane(r) as u8).collect();
        self.sorted = true;
    }

    /// Rows that are kept.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Is there no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Attributes.
    pub fn attributes(&self) -> usize {
        self.columns.len()
    }

    /// A row by its place.
    #[inline]
    pub fn row(&self, at: u32) -> Row {
        self.rows[at as usize]
    }

    /// The code of a row's attribute.
    #[inline]
    pub fn code(&self, attribute: usize, at: u32) -> u16 {
        self.columns[attribute][at as usize]
    }

    /// Lanes that rows can have.
    pub fn lanes(&self) -> usize {
        LANES * self.strata
    }

    /// What a row of each lane stands for.
    pub fn scale(&self) -> Scale {
        let lanes = 0..self.lanes();
        Scale {
            rows: lanes.clone().map(|lane| 2.0_f64.powi(self.halved[lane % LANES] as i32)).collect(),
            balance: lanes.map(|lane| self.balance.of((lane / LANES) as u8, lane % LANES >= 2)).collect(),
        }
    }

    /// The lane of a row.
    #[inline]
    pub fn lane(&self, at: u32) -> u8 {
        self.lanes[at as usize]
    }

    /// The codes of an attribute, of all rows.
    #[inline]
    pub fn column(&self, attribute: usize) -> &[u16] {
        &self.columns[attribute]
    }

    /// Where the rows of the treatment begin.
    pub fn first_treated(&self) -> usize {
        self.rows.partition_point(|row| !row.treated)
    }

    /// The rows, in their order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What some rows say.
    pub fn tallied(&self, rows: impl Iterator<Item = u32>) -> Tallied {
        let mut table = Table::new(1, self.lanes());
        rows.for_each(|at| table.add(0, self.lane(at)));
        let all = table.cells().next().map(|(_, lanes)| self.scale().read(lanes));
        all.unwrap_or_else(|| self.scale().read(&[]))
    }

    /// Were rows let go, so that counts are estimates.
    pub fn is_sampled(&self) -> bool {
        self.halved.iter().any(|h| *h > 0)
    }

    /// How far the events of one arm's rows come in series: sum over subjects of (e_u - p n_u)^2 / sum e_u, with p the
    /// share of events. 1 for a Poisson count, 1 - p for frequent events that are independent, more where some subjects
    /// fail again and again. 0 without events. Only subjects of whom every row is kept count. The rows are in the order
    /// of `sort`.
    ///
    /// Not sum e_u^2 / sum e_u, which takes mere activity for clustering.
    pub fn dispersion(&self, treated: bool, rows: impl Iterator<Item = u32>) -> f64 {
        let of_arm = rows.filter(|at| self.row(*at).treated == treated);
        self.sums(treated, of_arm, |_| true)[0].dispersion()
    }

    /// Sums over subjects of those of an arm's rows that are inside of something, and of the others.
    pub fn sums(&self, treated: bool, rows: impl Iterator<Item = u32>, inside: impl Fn(u32) -> bool) -> [Sums; 2] {
        let halved = self.halved[class(treated, false)].max(self.halved[class(treated, true)]);
        let balance = self.scale().balance;
        let mut sums = [Sums::default(); 2];
        let mut of_subject = [(0.0, 0.0); 2];
        let mut last = None;
        let mut close = |of_subject: &mut [(f64, f64); 2]| {
            for (sums, (n, e)) in sums.iter_mut().zip(std::mem::take(of_subject)).filter(|(_, (n, _))| *n > 0.0) {
                sums.close(&Sums { n, e, ..Sums::default() });
            }
        };
        for at in rows {
            let row = self.row(at);
            if !is_kept(row.subject, halved) {
                continue;
            }
            if last != Some(row.subject) {
                close(&mut of_subject);
                last = Some(row.subject);
            }
            let weight = balance[usize::from(self.lane(at))];
            let (n, e) = &mut of_subject[usize::from(!inside(at))];
            *n += weight;
            *e += if row.event { weight } else { 0.0 };
        }
        close(&mut of_subject);
        sums
    }
}

/// Sums of rows and events over subjects.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sums {
    /// Rows.
    pub n: f64,
    /// Events.
    pub e: f64,
    /// Squares of the events of a subject.
    pub ee: f64,
    /// Events of a subject times its rows.
    pub en: f64,
    /// Squares of the rows of a subject.
    pub nn: f64,
    /// Squares of the events of a subject by its rows.
    pub een: f64,
    /// Subjects.
    pub subjects: f64,
}

impl Sums {
    /// What `Store::dispersion` says of them.
    pub fn dispersion(&self) -> f64 {
        if self.e == 0.0 {
            return 0.0;
        }
        let p = self.e / self.n;
        (self.ee - 2.0 * p * self.en + p * p * self.nn) / self.e
    }

    /// Rows of the subject of a row, in the mean over rows: how active whoever sends them is.
    pub fn activity(&self) -> f64 {
        if self.n > 0.0 { self.nn / self.n } else { 0.0 }
    }

    /// By how much subjects' rates of events differ: their variance by the square of their mean. 0 where events are no more
    /// clustered than by chance. By moments: the squares of what a subject's events depart from its share, by that share, are
    /// 1 + heterogeneity * share in the mean. (Not from the dispersion, which one very active subject decides alone.)
    pub fn heterogeneity(&self) -> f64 {
        if self.e == 0.0 {
            return 0.0;
        }
        ((self.een * self.n / self.e - self.e - self.subjects) / self.e).max(0.0)
    }

    /// Those of two arms.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            n: self.n + other.n,
            e: self.e + other.e,
            ee: self.ee + other.ee,
            en: self.en + other.en,
            nn: self.nn + other.nn,
            een: self.een + other.een,
            subjects: self.subjects + other.subjects,
        }
    }

    /// Adds the rows and events of one subject.
    pub fn close(&mut self, subject: &Self) {
        self.n += subject.n;
        self.e += subject.e;
        self.ee += subject.e * subject.e;
        self.en += subject.e * subject.n;
        self.nn += subject.n * subject.n;
        self.een += if subject.n > 0.0 { subject.e * subject.e / subject.n } else { 0.0 };
        self.subjects += 1.0;
    }
}
