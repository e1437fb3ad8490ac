//! Tails and quantiles of the distributions that the tests need; the crate `statrs` with what it lacks.
//!
//! Its incomplete beta function loses digits and does not converge for many degrees of freedom, and its quantile of
//! Student's t rests on an inverse that its own tests compare to three digits only: both are worked around below.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::beta::beta_reg;
use statrs::function::gamma::gamma_ur;

/// P(Z > x).
pub fn normal_tail(x: f64) -> f64 {
    Normal::standard().sf(x)
}

/// The z with P(Z > z) = tail.
pub fn normal_quantile(tail: f64) -> f64 {
    -Normal::standard().inverse_cdf(tail)
}

/// P(T > t) with `df` degrees of freedom.
pub fn t_tail(t: f64, df: f64) -> f64 {
    if df > MANY {
        return normal_tail(normal_equivalent(t, df));
    }
    if t == 0.0 {
        return 0.5;
    }
    // Both forms are the incomplete beta function; each is exact where its argument is not near 1.
    let squared = t * t;
    let outside = if squared > df {
        beta_reg(df / 2.0, 0.5, df / (df + squared))
    } else {
        1.0 - beta_reg(0.5, df / 2.0, squared / (df + squared))
    };
    if t > 0.0 { outside / 2.0 } else { 1.0 - outside / 2.0 }
}

/// From here on the normal equivalent is good to 1e-12 and better than the incomplete beta function, whose logarithms of
/// large gamma functions cancel.
const MANY: f64 = 2000.0;

/// The normal deviate with the tail of t: Hill's expansion (CACM 13, 1970, algorithm 395).
fn normal_equivalent(t: f64, df: f64) -> f64 {
    if df.is_infinite() {
        return t;
    }
    let a = df - 0.5;
    let b = 48.0 * a * a;
    let y = a * (t * t / df).ln_1p();
    let third = (((-0.4 * y - 3.3) * y - 24.0) * y - 85.5) / (0.8 * y * y + 100.0 + b);
    (((third + y + 3.0) / b + 1.0) * y.sqrt()).copysign(t)
}

/// The t with P(T > t) = tail, for a tail of at most a half: Newton's method on [`t_tail`] from the normal quantile.
pub fn t_quantile(tail: f64, df: f64) -> f64 {
    let z = normal_quantile(tail);
    // Cornish and Fisher's first terms; for few degrees of freedom only a start, below the answer.
    let mut t = z + (z * z * z + z) / (4.0 * df);
    for _ in 0..200 {
        // In the logarithm of the tail the function is nearly straight, so a start far below is no harm.
        let got = t_tail(t, df);
        let power = if df.is_infinite() { t * t / 2.0 } else { (df + 1.0) / 2.0 * (t * t / df).ln_1p() };
        let log_density = log_scale(df) - power;
        let step = (got / tail).ln() * got / log_density.exp();
        t += step;
        if step.abs() <= 1e-14 * t.abs() || !t.is_finite() {
            break;
        }
    }
    t
}

/// log of the density of Student's t at 0.
fn log_scale(df: f64) -> f64 {
    use statrs::function::gamma::ln_gamma;
    if df > MANY {
        return -0.5 * (2.0 * std::f64::consts::PI).ln() - 0.25 / df; // Stirling's series
    }
    ln_gamma((df + 1.0) / 2.0) - ln_gamma(df / 2.0) - 0.5 * (df * std::f64::consts::PI).ln()
}

/// P(X > x) of chi-square with `df` degrees of freedom.
pub fn chi_square_tail(x: f64, df: f64) -> f64 {
    if x <= 0.0 { 1.0 } else { gamma_ur(df / 2.0, x / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: [(f64, f64, f64); 14] = [
        (0.025, 1.0, 12.706204736174705),
        (0.2, 2.0, 1.0606601717798212),
        (0.025, 2.0, 4.302652729749464),
        (0.05, 3.7, 2.182493803914602),
        (0.001, 5.0, 5.89342953135601),
        (0.025, 30.0, 2.042272456301238),
        (0.4, 12.5, 0.25880287736925084),
        (1e-07, 4.0, 73.9857580477689),
        (0.025, 857.3, 1.9627349713845708),
        (0.025, 1999.0, 1.961151420170562),
        (0.025, 2001.0, 1.9611502326224415),
        (1e-07, 2500.0, 5.213948444566524),
        (0.025, 67804.5, 1.9599989720830324),
        (0.005, 3000000.0, 2.5758309423990817),
    ];

    /// mpmath 1.3, 40 digits: betainc for the tails, findroot for the quantiles.
    #[test]
    fn tails_and_quantiles_agree_with_mpmath() {
        for (tail, df, t) in TABLE {
            let (quantile, got) = (t_quantile(tail, df), t_tail(t, df));
            assert!((quantile / t - 1.0).abs() < 1e-11, "t({df}) at {tail}: {quantile} {t}");
            assert!((got / tail - 1.0).abs() < 1e-10, "t({df}) above {t}: {got} {tail}");
            assert!((t_tail(-t, df) + got - 1.0).abs() < 1e-15);
        }
    }
}
