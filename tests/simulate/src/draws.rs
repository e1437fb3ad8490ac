//! Random numbers of a rollout: traffic, its split into arms, and noise that lasts.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Binomial, Distribution, Poisson, StandardNormal};

/// Seconds of a tick.
pub const TICK: f64 = 5.0;

/// Ticks of an hour.
pub const HOUR: usize = 720;

/// The generator of one rollout: its own for every seed, cell and number, so threads change nothing.
pub fn generator(seed: u64, cell: usize, number: usize) -> SmallRng {
    // Two rounds of splitmix64's mixing keep neighbouring numbers apart.
    let mut x = seed ^ ((cell as u64) << 32) ^ number as u64;
    for _ in 0..2 {
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
    }
    SmallRng::seed_from_u64(x)
}

/// A Poisson count.
pub fn poisson(rng: &mut SmallRng, mean: f64) -> u64 {
    if mean <= 0.0 { 0 } else { Poisson::new(mean).expect("a mean").sample(rng) as u64 }
}

/// A binomial count.
pub fn binomial(rng: &mut SmallRng, n: u64, p: f64) -> u64 {
    Binomial::new(n, p.clamp(0.0, 1.0)).expect("a chance").sample(rng)
}

/// A standard normal number.
pub fn normal(rng: &mut SmallRng) -> f64 {
    StandardNormal.sample(rng)
}

/// How the treatment's share and the traffic go.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// Requests (or units) a second, of both arms.
    pub rate: f64,
    /// The treatment's share; None is the ramp 1, 5, 25, 50 % at the quarters of an hour, then 50 %.
    pub share: Option<f64>,
    /// Whether traffic swings by 60 % over the hour.
    pub swings: bool,
}

impl Traffic {
    /// The treatment's share in a tick.
    pub fn share(&self, tick: usize) -> f64 {
        self.share.unwrap_or_else(|| [0.01, 0.05, 0.25, 0.5][(tick / (HOUR / 4)).min(3)])
    }

    /// Whether an epoch of the ramp begins with this tick.
    pub fn is_step(&self, tick: usize) -> bool {
        tick > 0 && self.share(tick) != self.share(tick - 1)
    }

    /// Requests of treatment and control in a tick.
    pub fn arms(&self, rng: &mut SmallRng, tick: usize) -> (u64, u64) {
        let phase = std::f64::consts::TAU * tick as f64 / HOUR as f64;
        let rate = self.rate * if self.swings { 1.0 + 0.6 * phase.sin() } else { 1.0 };
        let n = poisson(rng, rate * TICK);
        let n_t = binomial(rng, n, self.share(tick));
        (n_t, n - n_t)
    }
}

/// When copies of the evidence begin, as in the worker: with a step of the ramp, or a quarter of an hour after the last one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Copies {
    last: usize,
}

impl Copies {
    /// Whether one begins with this tick.
    pub fn begins(&mut self, tick: usize, traffic: &Traffic) -> bool {
        let begins = traffic.is_step(tick) || tick >= self.last + HOUR / 4;
        if begins {
            self.last = tick;
        }
        begins
    }
}

/// A stationary AR(1) series.
#[derive(Debug, Clone, Copy)]
pub struct Series {
    rho: f64,
    sd: f64,
    now: f64,
}

impl Series {
    /// A series with this correlation from tick to tick and this standard deviation, from its stationary law on.
    pub fn new(rng: &mut SmallRng, rho: f64, sd: f64) -> Self {
        Self { rho, sd, now: if sd > 0.0 { sd * normal(rng) } else { 0.0 } }
    }

    /// The next value.
    pub fn next(&mut self, rng: &mut SmallRng) -> f64 {
        if self.sd > 0.0 {
            self.now = self.rho * self.now + (1.0 - self.rho * self.rho).sqrt() * self.sd * normal(rng);
        }
        self.now
    }
}

/// First alarms of several methods, in ticks from 1.
#[derive(Debug, Clone)]
pub struct Alarms(pub Vec<Option<usize>>);

impl Alarms {
    /// No alarms yet.
    pub fn new(methods: usize) -> Self {
        Self(vec![None; methods])
    }

    /// A method has spoken in a tick; only the first alarm counts.
    pub fn note(&mut self, method: usize, tick: usize, is_alarm: bool) {
        if is_alarm && self.0[method].is_none() {
            self.0[method] = Some(tick + 1);
        }
    }

    /// Whether all of these methods have alarmed; of none they never have.
    pub fn is_done(&self, methods: &[usize]) -> bool {
        !methods.is_empty() && methods.iter().all(|m| self.0[*m].is_some())
    }
}
