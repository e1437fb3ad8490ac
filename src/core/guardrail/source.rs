//! Where rows come from: which exporter instances serve both arms.
//!
//! Within one process both arms run at the same time and are exported together, so its rows can be compared as soon as they
//! come. Processes of which each serves one arm (canary pods) flush at phases of their own: what they send is compared by
//! when it happened (`strata`). A statement is no source: a Collector sends the rows of many processes in one.

/// How many standard deviations the treatment's rows of a source may be away from what its share of traffic makes expected.
const DEVIATIONS: f64 = 4.0;
/// And beyond that, as a share of what is expected: users differ in how much they send.
const TOLERANCE: f64 = 0.1;
/// Rows of each arm that must be expected of a source before it is known.
const KNOWN: f64 = 3.0;

/// Whether a source has shown that it serves both arms in about the allocated shares: rows of treatment and control so far,
/// and how many of the treatment the shares served meanwhile make expected. Sources that have are compared together: a share
/// of 1 % over a hundred processes is one sample and not a hundred that are too small. Must be asked before the rows at hand
/// are counted, so that what is in a stratum never says which stratum it is in.
pub fn is_shared(treatment: u64, control: u64, expected: f64) -> bool {
    let (t, n) = (treatment as f64, treatment as f64 + control as f64);
    let of_control = n - expected;
    let deviation = (expected * of_control / n).max(0.0).sqrt();
    treatment > 0
        && control > 0
        && expected >= KNOWN
        && of_control >= KNOWN
        && (t - expected).abs() <= DEVIATIONS * deviation + TOLERANCE * expected.min(of_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_shared_when_it_serves_both_arms_as_allocated() {
        assert!(is_shared(100, 900, 100.0));
        assert!(is_shared(12, 1000, 10.1));
        assert!(is_shared(108_000, 892_000, 100_000.0));
        // Too few to know, one arm alone, or shares of its own.
        assert!(!is_shared(1, 100, 1.0));
        assert!(!is_shared(0, 1000, 5.0));
        assert!(!is_shared(1000, 0, 500.0));
        assert!(!is_shared(1000, 3, 500.0));
        assert!(!is_shared(120_000, 880_000, 100_000.0));
        assert!(!is_shared(0, 0, 0.0));
        assert!(!is_shared(5, 5, f64::NAN));
    }

    #[test]
    fn a_canary_is_never_shared_whatever_its_share() {
        for percent in 1..100 {
            for n in [5, 50, 5_000, 500_000] {
                let expected = n as f64 * f64::from(percent) / 100.0;
                assert!(!is_shared(n, 0, expected) && !is_shared(0, n, expected));
            }
        }
    }
}
