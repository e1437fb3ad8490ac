//! How much better "the harm is in this segment" explains the events than "it is the same everywhere".
//!
//! What is here: the gain that ranks segments. What is not: whether it could be chance (`chance`).
//!
//! Under homogeneous relative harm each event of a part s is the treatment's with chance q_s = r_s theta / (1 + r_s theta),
//! where r_s is the part's ratio of treatment rows to control rows and theta the ratio of the arms' event rates. The gain
//! is the Kullback-Leibler divergence of what was seen from that, in nats: the split criterion of an uplift tree for rare
//! events.

use super::counts::{Counts, Split};

/// The treatment's rate of events over the control's, if it is the same inside and outside: theta that solves
/// sum m_s q_s = E_t. 0 where the treatment has no event, infinite where only it has some, NaN where nobody has.
pub fn common_ratio(split: &Split) -> f64 {
    let [(m1, r1), (m2, r2)] = [split.inside, split.outside].map(|c| (c.events(), c.n_t / c.n_c));
    let treated = split.inside.e_t + split.outside.e_t;
    if m1 + m2 == 0.0 || !split.is_comparable() {
        return f64::NAN;
    }
    // a theta^2 + b theta - E_t = 0; of the two forms of its positive root the one that does not cancel.
    let a = r1 * r2 * (m1 + m2 - treated);
    let b = m1 * r1 + m2 * r2 - treated * (r1 + r2);
    let root = (b * b + 4.0 * a * treated).sqrt();
    if b >= 0.0 { 2.0 * treated / (b + root) } else { (root - b) / (2.0 * a) }
}

/// x log(x / n q) + (n - x) log((n - x) / n (1 - q)), where 0 log 0 is 0.
fn divergence(x: f64, n: f64, q: f64) -> f64 {
    let part = |x: f64, expected: f64| if x > 0.0 { x * (x / expected).ln() } else { 0.0 };
    part(x, n * q) + part(n - x, n * (1.0 - q))
}

/// The gain in nats; 0 for a segment in which the treatment does not fail more than elsewhere, or that cannot be compared.
pub fn gain(split: &Split) -> f64 {
    let theta = common_ratio(split);
    if theta == f64::INFINITY {
        return gain_without_control(split);
    }
    if !theta.is_finite() || theta == 0.0 {
        return 0.0;
    }
    let share = |c: &Counts| {
        let ratio = c.n_t / c.n_c * theta;
        ratio / (1.0 + ratio)
    };
    let part = |c: &Counts| divergence(c.e_t, c.events(), share(c));
    if split.inside.e_t <= split.inside.events() * share(&split.inside) {
        return 0.0;
    }
    part(&split.inside) + part(&split.outside)
}

/// Where the control has no event: how much better the segment explains the treatment's events than its rows do.
fn gain_without_control(split: &Split) -> f64 {
    let (inside, outside) = (&split.inside, &split.outside);
    let (events, share) = (inside.e_t + outside.e_t, inside.n_t / (inside.n_t + outside.n_t));
    if inside.e_t <= events * share { 0.0 } else { divergence(inside.e_t, events, share) }
}
