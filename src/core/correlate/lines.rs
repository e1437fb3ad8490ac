//! Log lines of both arms: which templates the treatment writes more often than its requests explain.
//!
//! What is here: lines by template and by who wrote them, in bounded memory, and the test. What is not: masks and
//! templates (`mask`, `patterns`).
//!
//! Lines are held against *requests*, not against lines: a treatment that writes more of everything would hide in shares.

use std::collections::HashSet;
use std::hash::BuildHasher;

use uuid::Uuid;

use super::Map;
use super::counts::Counts;
use super::mask;
use super::patterns::{Patterns, Template};
use super::store::{Store, Sums, is_kept};
use super::strata::Weights;
use super::symptom::{Judged, Symptom, corrected};

/// Counts by template and unit that are kept; above, units are let go by their hash.
const UNITS: usize = 200_000;
/// So many times more evidence must be in who wrote a template than in its lines, before they are counted, too.
const CLEARLY: f64 = 1.25;
/// Templates of which more than counts is kept.
const KNOWN: usize = 10_000;

/// What is known of a masked line beside its counts.
#[derive(Debug, Clone, Copy, Default)]
struct Beside {
    severity: Option<i16>,
    trace: Option<(i64, Uuid)>,
}

/// A log line as it came.
#[derive(Debug, Clone, Copy)]
pub struct Line<'l> {
    /// Its text.
    pub body: &'l str,
    /// Of the treatment.
    pub treated: bool,
    /// In which stage of a ramp.
    pub stratum: u8,
    /// Who it is about (`question::unit`).
    pub unit: u64,
    /// Does it name a subject: else a trace or the line itself stands for one.
    pub is_named: bool,
    /// When, in microseconds.
    pub at: i64,
    /// OpenTelemetry's severity number.
    pub severity: Option<i16>,
    /// Its trace.
    pub trace: Option<Uuid>,
}

/// Lines as they come in.
#[derive(Debug, Default)]
pub struct Lines {
    patterns: Patterns,
    /// By template, unit, stage and arm: lines, and whether they name a subject.
    units: Map<(u64, u64, u8, bool), (u32, bool)>,
    halved: u32,
    beside: Map<u64, Beside>,
    /// Lines by arm, control first.
    pub seen: [u64; 2],
}

/// Lines and weighted lines by template, unit and arm.
type ByUnit = Map<(usize, u64, bool), [f64; 2]>;

/// A template as it is tested.
#[derive(Debug, Clone, Copy)]
struct Weighed {
    /// By its lines.
    lines: Symptom,
    /// By who wrote any, where that leaves clearly more evidence.
    writers: Option<Symptom>,
}

impl Weighed {
    /// log p of the lines; where who wrote any is tested, too, of the smaller p twice (Bonferroni): a treatment may make more users
    /// write, or each write more.
    fn ln_p(&self, requests: &Counts) -> f64 {
        let of = |symptom: &Symptom| symptom.ln_p(requests.n_t, requests.n_c);
        let lines = of(&self.lines);
        self.writers.as_ref().map_or(lines, |writers| (lines.min(of(writers)) + 2.0_f64.ln()).min(0.0))
    }
}

/// A template with its numbers.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its text, counts, times and an example.
    pub template: Template,
    /// Excess and probabilities, Holm over all templates.
    pub judged: Judged,
    /// Subjects of the treatment, among those that are followed; `None` where none of its lines names one.
    pub subjects: Option<usize>,
    /// The greatest severity.
    pub severity: Option<i16>,
    /// The trace of its newest line of the treatment.
    pub trace: Option<Uuid>,
}

impl Told {
    /// Does no line of the control have it.
    pub fn is_new(&self) -> bool {
        self.template.entry.lines[0] == 0
    }
}

impl Lines {
    /// Adds a line.
    pub fn add(&mut self, line: Line) {
        let template = mask::template(line.body);
        let hash = self.hash(&template);
        self.seen[usize::from(line.treated)] += 1;
        self.patterns.add(&template, line.body, line.treated, (line.at, line.at));
        if self.beside.len() < KNOWN || self.beside.contains_key(&hash) {
            let beside = self.beside.entry(hash).or_default();
            beside.severity = beside.severity.max(line.severity);
            if line.treated {
                beside.trace = beside.trace.max(line.trace.map(|trace| (line.at, trace)));
            }
        }
        if is_kept(line.unit, self.halved) {
            let (lines, is_named) = self.units.entry((hash, line.unit, line.stratum, line.treated)).or_default();
            *lines += 1;
            *is_named |= line.is_named;
            while self.units.len() > UNITS && self.halved < 63 {
                self.halved += 1;
                let halved = self.halved;
                self.units.retain(|(_, unit, ..), _| is_kept(*unit, halved));
            }
        }
    }

    fn hash(&self, template: &str) -> u64 {
        self.units.hasher().hash_one(template)
    }

    /// Lines that were forgotten for want of room.
    pub fn lost(&self) -> u64 {
        self.patterns.lost()
    }

    /// Every template with its numbers, by excess; `requests` of the question, and its rows by unit in the store. Where a
    /// ramp has stages, requests and the store's rows are weighted by them already, and lines are by `weights`.
    pub fn judge(&self, requests: &Counts, store: &Store, weights: &Weights) -> Vec<Told> {
        let templates = self.patterns.templates();
        let mut numbers: Map<u64, usize> = Map::default();
        for (number, template) in templates.iter().enumerate() {
            numbers.extend(template.members.iter().map(|member| (self.hash(member), number)));
        }
        let by_unit = self.by_unit(&numbers, weights);
        let weight = self.mean_weights(&numbers, weights, templates.len());
        let of_lines = |template: &Template, weight: &[f64; 2]| {
            let [e_c, e_t] = template.entry.lines.map(|n| n as f64);
            [e_c * weight[0], e_t * weight[1]]
        };
        let lines: Vec<[f64; 2]> = templates.iter().zip(&weight).map(|(t, w)| of_lines(t, w)).collect();
        let weighed = self.weighed(&by_unit, store, &lines);
        let excess_and_ln_p = |w: &Weighed| (w.lines.excess(requests.n_t, requests.n_c), w.ln_p(requests));
        let judged = corrected(weighed.iter().map(excess_and_ln_p));
        let subjects = self.subjects(&numbers, templates.len());
        let told = |judged: Judged| {
            let template = templates[judged.place].clone();
            let beside = template.members.iter().filter_map(|member| self.beside.get(&self.hash(member)));
            let beside = beside.fold(Beside::default(), |a, b| Beside {
                severity: a.severity.max(b.severity),
                trace: a.trace.max(b.trace),
            });
            let subjects = subjects[judged.place];
            let trace = beside.trace.map(|(_, trace)| trace);
            Told { template, judged, subjects, severity: beside.severity, trace }
        };
        judged.into_iter().map(told).collect()
    }

    /// Subjects of the treatment by template.
    fn subjects(&self, numbers: &Map<u64, usize>, templates: usize) -> Vec<Option<usize>> {
        let mut of = vec![(HashSet::new(), true); templates];
        for ((hash, unit, _, treated), (_, is_named)) in &self.units {
            if let (Some(number), true) = (numbers.get(hash), treated) {
                let (named, is_empty) = &mut of[*number];
                *is_empty = false;
                if *is_named {
                    named.insert(*unit);
                }
            }
        }
        // Without a line of the treatment it is known that there are none.
        of.into_iter().map(|(named, is_empty)| (is_empty || !named.is_empty()).then_some(named.len())).collect()
    }

    /// Lines, and weighted lines, by template, unit and arm.
    fn by_unit(&self, numbers: &Map<u64, usize>, weights: &Weights) -> ByUnit {
        let mut found = ByUnit::default();
        for ((hash, unit, stratum, treated), (n, _)) in &self.units {
            if let Some(number) = numbers.get(hash) {
                let [lines, weighted] = found.entry((*number, *unit, *treated)).or_default();
                *lines += f64::from(*n);
                *weighted += weights.of(*stratum, *treated) * f64::from(*n);
            }
        }
        found
    }

    /// What a line of each template counts for in each arm, control first: the mean over the units that are followed.
    fn mean_weights(&self, numbers: &Map<u64, usize>, weights: &Weights, templates: usize) -> Vec<[f64; 2]> {
        let mut sums = vec![[[0.0; 2]; 2]; templates];
        for ((hash, _, stratum, treated), (n, _)) in &self.units {
            if let Some(number) = numbers.get(hash) {
                let [lines, weighted] = &mut sums[*number][usize::from(*treated)];
                *lines += f64::from(*n);
                *weighted += f64::from(*n) * weights.of(*stratum, *treated);
            }
        }
        sums.into_iter()
            .map(|arms| arms.map(|[lines, weighted]| if lines > 0.0 { weighted / lines } else { 1.0 }))
            .collect()
    }

    /// Are all lines and all requests of a unit known.
    fn follows(&self, store: &Store, unit: u64, treated: bool) -> bool {
        is_kept(unit, self.halved) && store.keeps_all_of(unit, treated)
    }

    /// Requests of the units that wrote lines, and those of all units by arm, of units that are followed.
    fn requests(&self, by_unit: &ByUnit, store: &Store) -> (Map<(u64, bool), f64>, [Sums; 2]) {
        let mut requests: Map<(u64, bool), f64> =
            by_unit.keys().map(|(_, unit, treated)| ((*unit, *treated), 0.0)).collect();
        let (mut all, balance) = ([Sums::default(); 2], store.scale().balance);
        let mut begin = 0;
        for rows in store.rows().chunk_by(|a, b| a.subject == b.subject && a.treated == b.treated) {
            let (unit, treated) = (rows[0].subject, rows[0].treated);
            let places = begin..begin + rows.len() as u32;
            begin = places.end;
            let n: f64 = places.map(|at| balance[usize::from(store.lane(at))]).sum();
            if self.follows(store, unit, treated) {
                all[usize::from(treated)].close(&Sums { n, ..Sums::default() });
                if let Some(of_unit) = requests.get_mut(&(unit, treated)) {
                    *of_unit = n;
                }
            }
        }
        (requests, all)
    }

    /// Each template by its lines, divided by how far they come in series in the arm where they do so more (1 at least), and,
    /// where that leaves clearly more evidence, by who wrote any. Whether it does, the lines of both arms together decide. (Of
    /// ten new lines in seven series, tests of lines found half, tests of who wrote them four of five.)
    fn weighed(&self, by_unit: &ByUnit, store: &Store, of_lines: &[[f64; 2]]) -> Vec<Weighed> {
        let (requests, all) = self.requests(by_unit, store);
        let mut sums = vec![[[Sums::default(); 2]; 2]; of_lines.len()];
        // All units that are counted, followed or not: the store may follow one arm's less often.
        let mut writers = vec![[0.0; 2]; of_lines.len()];
        for ((number, unit, treated), [lines, weighted]) in by_unit {
            writers[*number][usize::from(*treated)] += weighted / lines;
            if self.follows(store, *unit, *treated) {
                let n = requests.get(&(*unit, *treated)).copied().unwrap_or_default();
                for (sums, e) in sums[*number].iter_mut().zip([*weighted, weighted / lines]) {
                    sums[usize::from(*treated)].close(&Sums { n, e, ..Sums::default() });
                }
            }
        }
        let both = all[0].plus(&all[1]);
        let of = |sums: Sums, all: &Sums| {
            let d = Sums { n: all.n, nn: all.nn, ..sums }.dispersion();
            if d.is_finite() { d.max(1.0) } else { 1.0 }
        };
        let evidence = |events: &[f64; 2], [c, t]: &[Sums; 2]| (events[0] + events[1]) / of(c.plus(t), &both);
        let symptom = |[e_c, e_t]: [f64; 2], [c, t]: [Sums; 2]| Symptom {
            e_t,
            e_c,
            dispersion: of(c, &all[0]).max(of(t, &all[1])),
        };
        let weigh = |number: usize| {
            let ([lines, units], of_lines, writers) = (sums[number], of_lines[number], writers[number]);
            let is_clear = evidence(&writers, &units) > CLEARLY * evidence(&of_lines, &lines);
            Weighed { lines: symptom(of_lines, lines), writers: is_clear.then(|| symptom(writers, units)) }
        };
        (0..of_lines.len()).map(weigh).collect()
    }
}
