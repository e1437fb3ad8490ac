//! flagd's `fractional` bucketing, versions 2 and 3: a stable, uniform place for every targeting key.
//!
//! Source: flagd core 0.15 and later (v2), ADR fractional-non-string-rand-units (v3); the facts stand in
//! ecosystem.md 1.4 of the design. Checked against vectors made by openfeature-flagd-core 1.0.0 and 2.0.0.

use std::io::Cursor;

/// Weights of a split add up to this, so that three decimals of a percent are exact.
pub const WEIGHT_TOTAL: u32 = 100_000;

/// The algorithm that puts a targeting key into a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucketing {
    /// murmur3 over flag key and targeting key as text.
    V2,
    /// murmur3 over flag key and targeting key as a CBOR array.
    V3,
}

/// The bucket of a targeting key, in `0..WEIGHT_TOTAL`: the key is in the treatment of a split when its bucket is
/// below the treatment's weight, so widening a split never moves a key out of it.
pub fn bucket(bucketing: Bucketing, flag: &str, targeting_key: &str) -> u32 {
    let input = match bucketing {
        Bucketing::V2 => [flag.as_bytes(), targeting_key.as_bytes()].concat(),
        Bucketing::V3 => cbor_pair(flag, targeting_key),
    };
    // Reading from memory cannot fail.
    let hash = murmur3::murmur3_32(&mut Cursor::new(input), 0).unwrap_or_default();
    ((u64::from(hash) * u64::from(WEIGHT_TOTAL)) >> 32) as u32
}

/// `[a, b]` in CBOR (RFC 8949, 4.2.1): an array of two text strings, each with the shortest length form.
fn cbor_pair(a: &str, b: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(a.len() + b.len() + 11);
    bytes.push(0x82);
    for text in [a, b] {
        let length = text.len() as u64;
        match length {
            0..=23 => bytes.push(0x60 | length as u8),
            24..=0xff => bytes.extend([0x78, length as u8]),
            0x100..=0xffff => {
                bytes.push(0x79);
                bytes.extend((length as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                bytes.push(0x7a);
                bytes.extend((length as u32).to_be_bytes());
            }
            _ => {
                bytes.push(0x7b);
                bytes.extend(length.to_be_bytes());
            }
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cbor_lengths_take_the_shortest_form() {
        assert_eq!(cbor_pair("a", ""), [0x82, 0x61, b'a', 0x60]);
        assert_eq!(cbor_pair(&"x".repeat(24), "")[..3], [0x82, 0x78, 24]);
        assert_eq!(cbor_pair(&"x".repeat(256), "")[..4], [0x82, 0x79, 1, 0]);
        assert_eq!(cbor_pair(&"x".repeat(65_536), "")[..6], [0x82, 0x7a, 0, 1, 0, 0]);
    }

    #[test]
    fn keys_spread_evenly() {
        // Chi-square over 100 buckets of 100,000 keys; 160 is beyond the 0.9999 quantile for 99 degrees of freedom.
        for bucketing in [Bucketing::V2, Bucketing::V3] {
            let mut counts = [0_f64; 100];
            for key in 0..100_000 {
                counts[(bucket(bucketing, "new-checkout", &format!("user-{key}")) / 1000) as usize] += 1.0;
            }
            let chi_square: f64 = counts.iter().map(|n| (n - 1000.0) * (n - 1000.0) / 1000.0).sum();
            assert!(chi_square < 160.0, "{bucketing:?}: {chi_square}");
        }
    }
}
