//! Rows counted by cell and lane: a lane is an arm, with the event or without, in one stage.
//!
//! What is here: whole numbers, so that the order of rows plays no part, and what they stand for. What is not: which rows
//! (`store`).

use super::counts::Counts;

/// Lanes of one stage: control, control with the event, treatment, treatment with it.
pub const LANES: usize = 4;

/// Counts of some cells.
#[derive(Debug, Clone)]
pub struct Table {
    lanes: usize,
    counts: Vec<u32>,
}

impl Table {
    /// So many cells, all 0.
    pub fn new(cells: usize, lanes: usize) -> Self {
        Self { lanes, counts: vec![0; cells * lanes] }
    }

    /// Counts a row; cells are made as they are needed.
    #[inline]
    pub fn add(&mut self, cell: usize, lane: u8) {
        let at = cell * self.lanes + usize::from(lane);
        if at >= self.counts.len() {
            self.counts.resize((cell + 1) * self.lanes, 0);
        }
        self.counts[at] += 1;
    }

    /// Every cell with a row, by its number.
    pub fn cells(&self) -> impl Iterator<Item = (usize, &[u32])> {
        self.counts.chunks_exact(self.lanes).enumerate().filter(|(_, lanes)| lanes.iter().any(|n| *n > 0))
    }
}

/// What a row of each lane stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// Rows, where some were let go.
    pub rows: Vec<f64>,
    /// By how much each counts (`strata::Weights`).
    pub balance: Vec<f64>,
}

/// How the weights of the control's rows, and of its events, are mixed: sums of weights and of their squares.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mix([[f64; 2]; 2]);

impl Mix {
    /// All but a part.
    pub fn without(&self, part: &Self) -> Self {
        let mut rest = *self;
        for (rest, part) in rest.0.iter_mut().flatten().zip(part.0.iter().flatten()) {
            *rest = (*rest - part).max(0.0);
        }
        rest
    }

    /// By how much counts of a part vary more than those of all, since its rows are of other stages; 1 at least.
    pub fn spread(&self, all: &Self) -> f64 {
        let each = self.0.iter().zip(&all.0);
        let ratio = |([w, ww], [all_w, all_ww]): (&[f64; 2], &[f64; 2])| {
            let ratio = (ww / w) / (all_ww / all_w);
            if ratio.is_finite() { ratio } else { 1.0 }
        };
        each.map(ratio).fold(1.0, f64::max)
    }
}

/// What a cell says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tallied {
    /// Weighted counts: what is tested.
    pub counts: Counts,
    /// Rows and events as they are.
    pub rows: Counts,
    /// Rows of the store.
    pub kept: f64,
    /// Of the control.
    pub mix: Mix,
}

fn of_lanes(lanes: &[u32], weight: impl Fn(usize) -> f64) -> Counts {
    let mut sums = [0.0; LANES];
    for (lane, n) in lanes.iter().enumerate() {
        sums[lane % LANES] += f64::from(*n) * weight(lane);
    }
    Counts::new(sums[2] + sums[3], sums[3], sums[0] + sums[1], sums[1])
}

impl Scale {
    /// Reads a cell.
    pub fn read(&self, lanes: &[u32]) -> Tallied {
        let mut mix = Mix::default();
        for (lane, n) in lanes.iter().enumerate().filter(|(lane, _)| lane % LANES < 2) {
            let (w, n) = (self.balance[lane], self.rows[lane] * f64::from(*n));
            for sums in &mut mix.0[..=lane % LANES] {
                sums[0] += n * w;
                sums[1] += n * w * w;
            }
        }
        Tallied {
            counts: of_lanes(lanes, |lane| self.rows[lane] * self.balance[lane]),
            rows: of_lanes(lanes, |lane| self.rows[lane]),
            kept: f64::from(lanes.iter().sum::<u32>()),
            mix,
        }
    }

    /// What one row of a lane counts for.
    #[inline]
    pub fn weight(&self, lane: u8) -> f64 {
        self.rows[usize::from(lane)] * self.balance[usize::from(lane)]
    }
}
