//! Bins: from a value to its bin and back, for every scale, in integer arithmetic.
//!
//! What is not here: counts. This file is the fixed map that makes every count-based test exact
//! (src/core/stats/README.md, section 5), so it must give the same bin on every machine and in every version: no logarithm is taken.
//!
//! # The map
//! At scale s the base is 2^(2^-s), and bin i covers (base^i, base^(i+1)], i = ceil(log2(x) 2^s) - 1, as in the
//! exponential histogram of the OpenTelemetry data model (opentelemetry.io/docs/specs/otel/metrics/data-model).
//! Bins of scale 8 are found by comparing the 52 mantissa bits with the 256 bounds of one octave. All of these but 1
//! are irrational, so comparing with the bound rounded down is exact. Coarser bins are unions of finer ones: the index
//! at scale s is the index at scale 8, shifted right by 8 - s.
//!
//! # The key
//! All bins, of negative values, zero and positive values, stand in one order, numbered by one `i32`, the key:
//!
//! | values | key |
//! |---|---|
//! | positive, OTel index i | i |
//! | zero (and subnormal numbers) | [`ZERO_KEY`] |
//! | negative, OTel index i of the magnitude | 2 [`ZERO_KEY`] - i |
//!
//! Indexes stay within +-2^18, so the wide gaps around [`ZERO_KEY`] keep `key + shift` on the right side of zero.

use crate::{Error, Kind, Result};

/// The scale when nothing else is asked for: base 1.0219, a quantile is off by at most 1.08 %.
pub const DEFAULT_SCALE: i32 = 5;
/// The coarsest scale: one bin below 1 and one above, as in OpenTelemetry.
pub const MIN_SCALE: i32 = -10;
/// The finest scale: base 1.0027, error 0.14 %. Its 256 bounds are the table below, and it bounds the memory.
pub const MAX_SCALE: i32 = 8;
/// The key of zero.
pub const ZERO_KEY: i32 = -(1 << 20);

const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
const SLICES: usize = 1 << MAX_SCALE;

/// The mantissa bits of 2^(k/256), rounded down, for k = 0..256, and two that no mantissa reaches. Every entry is
/// proved with exact integers by the test `bounds_are_the_roots_of_two`.
static BOUNDS: [u64; SLICES + 2] = bounds();

/// How many bounds lie below a mantissa that begins with these 8 bits and goes on with zeros. A mantissa that goes on
/// otherwise has at most two more below it, since 1/256 of an octave's width holds no third (2^(2/256) - 1 > 1/256):
/// so a bin is found by two comparisons instead of a search.
static FIRST: [u16; SLICES] = first(&bounds());

const fn first(bounds: &[u64; SLICES + 2]) -> [u16; SLICES] {
    let mut table = [0; SLICES];
    let mut slot = 0;
    while slot < SLICES {
        let mut below = 0;
        while bounds[below] < (slot as u64) << (MANTISSA_BITS - 8) {
            below += 1;
        }
        table[slot] = below as u16;
        slot += 1;
    }
    table
}

/// Build the bounds by square roots of two and their products, with 63 bits after the point.
const fn bounds() -> [u64; SLICES + 2] {
    const POINT: u32 = 63;
    let mut table = [u64::MAX; SLICES + 2];
    let mut root = 2_u128 << POINT;
    let mut half = SLICES / 2;
    let mut factors = [1 << POINT; SLICES];
    while half > 0 {
        root = (root << POINT).isqrt();
        let mut k = 0;
        while k < SLICES {
            if k & half != 0 {
                factors[k] = (factors[k] * root) >> POINT;
            }
            k += 1;
        }
        half /= 2;
    }
    let mut k = 0;
    while k < SLICES {
        table[k] = (factors[k] >> (POINT - MANTISSA_BITS)) as u64 & ((1 << MANTISSA_BITS) - 1);
        k += 1;
    }
    table
}

/// Give back `scale` when it is one of ours.
///
/// # Errors
/// [`Kind::InvalidParameter`] otherwise.
pub fn check_scale(scale: i32) -> Result<i32> {
    if (MIN_SCALE..=MAX_SCALE).contains(&scale) {
        return Ok(scale);
    }
    let message = format!("histogram scale must be between {MIN_SCALE} and {MAX_SCALE}, got \"{scale}\"");
    Err(Error::new(Kind::InvalidParameter, message).hint("A larger scale has narrower bins; 5 means 2.2 % wide."))
}

/// The OTel index of the bin of a normal positive number.
fn index(x: f64, scale: i32) -> i32 {
    let bits = x.to_bits();
    let octave = (bits >> MANTISSA_BITS) as i32 - (f64::MAX_EXP - 1);
    let mantissa = bits & ((1 << MANTISSA_BITS) - 1);
    let first = FIRST[(mantissa >> (MANTISSA_BITS - 8)) as usize] as usize;
    let below = first as i32 + i32::from(BOUNDS[first] < mantissa) + i32::from(BOUNDS[first + 1] < mantissa);
    (octave * SLICES as i32 + below - 1) >> (MAX_SCALE - scale)
}

/// The key of the bin of a finite number.
pub fn key(x: f64, scale: i32) -> i32 {
    if x.abs() < f64::MIN_POSITIVE {
        ZERO_KEY
    } else if x > 0.0 {
        index(x, scale)
    } else {
        2 * ZERO_KEY - index(-x, scale)
    }
}

/// The key of the same values at a scale that is coarser by `steps`.
pub fn coarser(key: i32, steps: i32) -> i32 {
    match index_of(key) {
        None => ZERO_KEY,
        Some((index, false)) => index >> steps,
        Some((index, true)) => 2 * ZERO_KEY - (index >> steps),
    }
}

/// The OTel index of a key and whether its values are negative; None for zero.
pub fn index_of(key: i32) -> Option<(i32, bool)> {
    match key.cmp(&ZERO_KEY) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some((key, false)),
        std::cmp::Ordering::Less => Some((2 * ZERO_KEY - key, true)),
    }
}

/// Whether a value can fall into the bin of this key.
pub fn exists(key: i32, scale: i32) -> bool {
    let possible = index(f64::MIN_POSITIVE, scale)..=index(f64::MAX, scale);
    // 2 ZERO_KEY - key of any i32 may overflow; no bin is further out than 3 ZERO_KEY.
    key > 3 * ZERO_KEY && index_of(key).is_none_or(|(index, _)| possible.contains(&index))
}

/// The exponent of the least positive double, which is subnormal.
const LEAST_EXPONENT: i64 = -1074;

/// Whether all doubles in the bin of this OTel index are subnormal, and there are some.
pub fn is_subnormal(index: i64, scale: i32) -> bool {
    let least = ((LEAST_EXPONENT << MAX_SCALE) - 1) >> (MAX_SCALE - scale);
    (least..i64::from(self::index(f64::MIN_POSITIVE, scale))).contains(&index)
}

/// base^index, exact in the sense that a float is above it if and only if it is above the real bound. Below the
/// normal numbers it is rounded, above the largest float it is that float.
fn power(index: i32, scale: i32) -> f64 {
    let fine = index << (MAX_SCALE - scale);
    let octave = fine >> MAX_SCALE;
    if octave >= f64::MAX_EXP {
        return f64::MAX;
    }
    let one = (f64::MAX_EXP - 1) as u64;
    let mantissa = f64::from_bits(one << MANTISSA_BITS | BOUNDS[(fine & (SLICES as i32 - 1)) as usize]);
    // In two halves: 2^octave alone can be too small for a float although the product is not.
    mantissa * 2_f64.powi(octave / 2) * 2_f64.powi(octave - octave / 2)
}

/// The values of a bin lie between these two bounds.
pub fn range(key: i32, scale: i32) -> (f64, f64) {
    match index_of(key) {
        None => (0.0, 0.0),
        Some((index, negative)) => {
            let (low, high) = (power(index, scale), power(index + 1, scale));
            if negative { (-high, -low) } else { (low, high) }
        }
    }
}

/// The value that stands for a bin: it has the same relative distance (base - 1) / (base + 1) from both bounds, as in
/// DDSketch (Masson, Rim, Lee, VLDB 2019).
pub fn middle(key: i32, scale: i32) -> f64 {
    let (a, b) = range(key, scale);
    if a == b {
        return a;
    }
    let (near, far) = if a.abs() < b.abs() { (a, b) } else { (b, a) };
    near * (2.0 / (1.0 + near / far))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// a * b for numbers of 64-bit digits, least first.
    fn product(a: &[u64], b: &[u64]) -> Vec<u64> {
        let mut out = vec![0_u64; a.len() + b.len()];
        for (i, x) in a.iter().enumerate() {
            let mut carry = 0_u128;
            for (j, y) in b.iter().enumerate() {
                let sum = u128::from(out[i + j]) + u128::from(*x) * u128::from(*y) + carry;
                out[i + j] = sum as u64;
                carry = sum >> 64;
            }
            out[i + b.len()] = carry as u64;
        }
        out
    }

    /// Whether m^256 <= 2^(k + 52 * 256), for m of 53 bits.
    fn at_most_root(m: u64, k: u32) -> bool {
        let mut number = vec![m];
        for _ in 0..MAX_SCALE {
            number = product(&number, &number);
        }
        let power = k + 52 * SLICES as u32;
        let top = number.iter().rposition(|d| *d != 0).unwrap_or(0);
        let bits = top as u32 * 64 + (64 - number[top].leading_zeros());
        let is_power_of_two = number[..top].iter().all(|d| *d == 0) && number[top].is_power_of_two();
        bits <= power || (bits == power + 1 && is_power_of_two)
    }

    #[test]
    fn bounds_are_the_roots_of_two() {
        for (k, bound) in BOUNDS[..SLICES].iter().enumerate() {
            let m = bound | 1 << MANTISSA_BITS;
            assert!(at_most_root(m, k as u32), "bound {k} is too large");
            assert!(!at_most_root(m + 1, k as u32), "bound {k} is too small");
        }
    }

    #[test]
    fn two_comparisons_find_what_a_search_finds() {
        for mantissa in BOUNDS[..SLICES].iter().flat_map(|b| [b.saturating_sub(1), *b, *b + 1]).chain(slots()) {
            let x = f64::from_bits((f64::MAX_EXP as u64 - 1) << MANTISSA_BITS | mantissa);
            assert_eq!(index(x, MAX_SCALE), BOUNDS.partition_point(|b| *b < mantissa) as i32 - 1, "{mantissa}");
        }
    }

    /// The first and the last mantissa of each of the slots of [`FIRST`].
    fn slots() -> impl Iterator<Item = u64> {
        let width = 1 << (MANTISSA_BITS - 8);
        (0..SLICES as u64).flat_map(move |slot| [slot * width, (slot + 1) * width - 1])
    }

    #[test]
    fn every_bound_closes_its_bin() {
        for scale in [MIN_SCALE, -3, 0, 3, DEFAULT_SCALE, MAX_SCALE] {
            for i in index(f64::MIN_POSITIVE, scale)..=index(f64::MAX, scale) {
                let (low, high) = range(i, scale);
                if low >= f64::MIN_POSITIVE {
                    assert_eq!(index(low, scale), i - 1, "scale {scale} bin {i}");
                }
                assert_eq!(index(low.next_up().max(f64::MIN_POSITIVE), scale), i, "scale {scale} bin {i}");
                assert_eq!(index(high, scale), i, "scale {scale} bin {i}");
                assert_eq!(range(2 * ZERO_KEY - i, scale), (-high, -low));
            }
        }
    }

    #[test]
    fn powers_of_two_end_their_bins() {
        for scale in 0..=MAX_SCALE {
            for exponent in -1022..1024 {
                assert_eq!(index(2_f64.powi(exponent), scale), (exponent << scale) - 1);
            }
        }
    }

    #[test]
    fn keys_are_in_the_order_of_values() {
        let values = [f64::MIN, -1e9, -1.0, -1e-300, 0.0, 1e-310, 1e-300, 0.5, 1.0, 1e9, f64::MAX];
        let keys = values.map(|x| key(x, DEFAULT_SCALE));
        assert!(keys.is_sorted(), "{keys:?}");
        assert_eq!(key(-0.0, 5), ZERO_KEY);
        assert!(values.iter().all(|x| exists(key(*x, 5), 5)));
        assert!(![i32::MIN, i32::MAX, ZERO_KEY + 1, ZERO_KEY - 1].iter().any(|k| exists(*k, 5)));
    }

    #[test]
    fn the_middle_is_equally_far_from_both_bounds() {
        for scale in [0, DEFAULT_SCALE, MAX_SCALE] {
            let base = 2_f64.powf(2_f64.powi(-scale));
            for key in [-7, 0, 1000 >> (MAX_SCALE - scale), 2 * ZERO_KEY - 3] {
                let ((low, high), middle) = (range(key, scale), middle(key, scale));
                let error = (base - 1.0) / (base + 1.0);
                assert!(((middle / low - 1.0).abs() - error).abs() < 1e-12);
                assert!(((middle / high - 1.0).abs() - error).abs() < 1e-12);
            }
        }
    }
}
