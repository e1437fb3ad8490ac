//! Playing a ramp.

use super::draw::{Law, generator};
use super::judge::{Goal, Judge, Look};
use super::question::{LOOKS, Question, SHORTEST, Stage};
use super::watched::Watched;
use crate::error::Result;
use crate::stats::mixture::{mix, weighted};
use crate::stats::process::{begin_copy, with_reserve};

/// A stage that waits lasts at most so many times as long; a rollout that would still wait then goes on.
const LONGEST_WAIT: usize = 20;

/// Plays one guardrail over one ramp.
#[derive(Debug)]
pub(super) struct Player<'p> {
    watched: &'p Watched,
    ramp: &'p [Stage],
    question: Question,
    /// The tests, kept since they keep what they have computed.
    judges: Vec<(Goal, Vec<Judge>)>,
}

/// When each run found what it was to show: in which stage, and after how many seconds.
#[derive(Debug)]
pub(super) struct Played(Vec<Option<(usize, f64)>>);

impl Played {
    /// The share of the runs that had found it by the end of a stage.
    pub fn found_by(&self, stage: usize) -> f64 {
        self.0.iter().flatten().filter(|found| found.0 <= stage).count() as f64 / self.0.len() as f64
    }

    /// The median time; none where fewer than half found it.
    pub fn median(&self) -> Option<f64> {
        let mut times: Vec<f64> = self.0.iter().map(|found| found.map_or(f64::INFINITY, |found| found.1)).collect();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().filter(|time| time.is_finite())
    }
}

/// The looks at a stage: when it begins if none before it waits, how long a look is, rows of both arms in one, and whole
/// rows in each.
struct Looks {
    stage: usize,
    length: f64,
    rows: (f64, f64),
    whole: Vec<(u64, u64)>,
    /// Nothing is told in it: there is no control left.
    is_blind: bool,
}

impl<'p> Player<'p> {
    pub fn new(watched: &'p Watched, ramp: &'p [Stage], question: &Question) -> Self {
        Self { watched, ramp, question: *question, judges: Vec::new() }
    }

    pub fn stages(&self) -> usize {
        self.ramp.len()
    }

    /// Plays rollouts of a treatment that is so many times worse.
    pub fn play(&mut self, effect: f64, goal: Goal, runs: usize) -> Result<Played> {
        let law = Law::new(self.watched, effect, goal)?;
        let place = match self.judges.iter().position(|(known, _)| *known == goal) {
            Some(place) => place,
            None => {
                self.judges.push((goal, Judge::all(self.watched, goal)?));
                self.judges.len() - 1
            }
        };
        let stages = self.looks();
        let alpha = if goal == Goal::Harm { self.watched.alpha } else { self.question.safe_alpha };
        let line = -alpha.ln();
        let mut found = Vec::with_capacity(runs);
        for run in 0..runs {
            let evidence = Evidence::new(&mut self.judges[place].1, goal, self.question.copy_after);
            found.push(Run { law: &law, line, waits: self.question.waits, evidence }.play(&stages, run)?);
        }
        Ok(Played(found))
    }

    /// A design effect of d leaves as much as a d-th of the rows.
    fn looks(&self) -> Vec<Looks> {
        let rate = self.watched.rows_per_second / self.watched.design_effect;
        let mut sent = (0.0_f64, 0.0_f64);
        let looks = |(number, stage): (usize, &Stage)| {
            let looks = ((stage.seconds / SHORTEST) as usize).clamp(1, LOOKS);
            let length = stage.seconds / looks as f64;
            let control = if self.watched.is_alone() { 0.0 } else { 1.0 - stage.share };
            let rows = (rate * stage.share * length, rate * control * length);
            let whole = (0..looks).map(|_| {
                let next = (sent.0 + rows.0, sent.1 + rows.1);
                let whole = |next: f64, sent: f64| next.floor() as u64 - sent.floor() as u64;
                let whole = (whole(next.0, sent.0), whole(next.1, sent.1));
                sent = next;
                whole
            });
            let whole = whole.collect();
            Looks { stage: number, length, rows, whole, is_blind: control == 0.0 && !self.watched.is_alone() }
        };
        self.ramp.iter().enumerate().map(looks).collect()
    }
}

/// The evidence of one run.
struct Evidence<'j> {
    judges: &'j mut [Judge],
    goal: Goal,
    weights: Vec<Vec<f64>>,
    sums: Vec<Vec<f64>>,
    copies: f64,
    copied_at: f64,
    copy_after: f64,
}

impl<'j> Evidence<'j> {
    fn new(judges: &'j mut [Judge], goal: Goal, copy_after: f64) -> Self {
        let weights: Vec<Vec<f64>> = judges.iter().map(Judge::log_weights).collect();
        let sums = weights.iter().map(|weights| vec![0.0; weights.len()]).collect();
        Self { judges, goal, weights, sums, copies: 0.0, copied_at: 0.0, copy_after }
    }

    /// A copy begins with a stage but the first, and when the last one is old.
    fn begin_copy(&mut self, at: f64, is_new_stage: bool) {
        if self.goal == Goal::Harm && (is_new_stage && at > 0.0 || at - self.copied_at >= self.copy_after) {
            self.sums.iter_mut().for_each(|sums| begin_copy(sums, self.copies));
            (self.copies, self.copied_at) = (self.copies + 1.0, at);
        }
    }

    fn add(&mut self, looks: &[Look]) -> Result<()> {
        for ((judge, look), sums) in self.judges.iter_mut().zip(looks).zip(&mut self.sums) {
            judge.add(look, sums)?;
        }
        Ok(())
    }

    /// No mixture is above its greatest part.
    fn is_below(&self, line: f64) -> bool {
        self.sums.iter().flatten().all(|sum| *sum < line)
    }

    fn log_e(&self) -> Result<f64> {
        let each = self.sums.iter().zip(&self.weights).map(|(sums, weights)| weighted(sums, weights));
        let log_e = mix(&each.collect::<Result<Vec<_>>>()?).unwrap_or(0.0);
        Ok(if self.goal == Goal::Harm { with_reserve(log_e, self.copies) } else { log_e })
    }
}

/// One rollout.
struct Run<'r, 'j> {
    law: &'r Law,
    line: f64,
    waits: bool,
    evidence: Evidence<'j>,
}

impl Run<'_, '_> {
    /// When it found what it was to show: in which stage, and the middle of the look.
    fn play(mut self, stages: &[Looks], run: usize) -> Result<Option<(usize, f64)>> {
        let (mut rng, mut drawn, mut at) = (generator(run), Vec::new(), 0.0);
        for looks in stages.iter().filter(|looks| !looks.is_blind) {
            let mut number = 0;
            loop {
                let whole = looks.whole[number % looks.whole.len()];
                self.evidence.begin_copy(at, number == 0);
                self.law.draw(&mut rng, looks.rows, whole, &mut drawn);
                self.evidence.add(&drawn)?;
                at += looks.length;
                number += 1;
                if !self.evidence.is_below(self.line) && self.evidence.log_e()? >= self.line {
                    return Ok(Some((looks.stage, at - looks.length / 2.0)));
                }
                if number >= looks.whole.len() && !self.is_held(number, looks)? {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Whether the ramp waits after the stage's time, since evidence of harm is building up: half of the line, as the verdict
    /// has it.
    fn is_held(&self, number: usize, looks: &Looks) -> Result<bool> {
        let may = self.waits && self.evidence.goal == Goal::Harm && number < LONGEST_WAIT * looks.whole.len();
        Ok(may && !self.evidence.is_below(self.line / 2.0) && self.evidence.log_e()? >= self.line / 2.0)
    }
}
