//! flagd's bucketing, versions 2 and 3: a stable, uniform place for every targeting key.
//!
//! Source: flagd core 0.15 and later (v2), ADR fractional-non-string-rand-units (v3).
//! Checked against vectors made by openfeature-flagd-core 1.0.0 and 2.0.0.

use std::io::Read;

use super::cbor;

/// Weights of a split add up to this, so that three decimals of a percent are exact.
pub const WEIGHT_TOTAL: u32 = 100_000;

/// The algorithm that puts a targeting key into a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bucketing {
    /// murmur3 over flag key and targeting key as text.
    #[default]
    V2,
    /// murmur3 over flag key and targeting key as a CBOR array.
    V3,
}

impl Bucketing {
    /// Its name in SQL and in exported documents.
    pub fn label(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V3 => "v3",
        }
    }

    /// The algorithm of that name.
    pub fn from_label(label: &str) -> Option<Self> {
        [Self::V2, Self::V3].into_iter().find(|bucketing| bucketing.label() == label)
    }
}

/// The bucket of a targeting key, in `0..WEIGHT_TOTAL`: the key is in the treatment of a split when its bucket is
/// below the treatment's weight, so widening a split never moves a key out of it.
pub fn bucket(bucketing: Bucketing, flag: &str, targeting_key: &str) -> u32 {
    place(hash_keys(bucketing, flag, targeting_key), WEIGHT_TOTAL)
}

/// Scales a hash to `0..total` as flagd does: the upper half of a 64 bit product, without a modulo's bias.
pub(super) fn place(hash: u32, total: u32) -> u32 {
    ((u64::from(hash) * u64::from(total)) >> 32) as u32
}

/// The hash of a flag's own split: both keys.
pub(super) fn hash_keys(bucketing: Bucketing, flag: &str, targeting_key: &str) -> u32 {
    match bucketing {
        Bucketing::V2 => murmur3(&mut flag.as_bytes().chain(targeting_key.as_bytes())),
        Bucketing::V3 => hash(&cbor::pair(flag, targeting_key)),
    }
}

/// The hash of bytes.
pub(super) fn hash(bytes: &[u8]) -> u32 {
    murmur3(&mut { bytes })
}

fn murmur3(source: &mut impl Read) -> u32 {
    // Reading from memory cannot fail.
    murmur3::murmur3_32(source, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_keys_are_hashed_as_one_text() {
        for (flag, key) in [("", ""), ("f", ""), ("flag", "user"), ("flags", "user-1"), ("fl", "ünïcode")] {
            assert_eq!(hash_keys(Bucketing::V2, flag, key), hash(format!("{flag}{key}").as_bytes()));
        }
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
