//! Guardrails together: harm that several of them show though none has shown enough of it by itself.
//!
//! A guardrail alone acts when its share of the error budget times its e-value, alpha_i E_i, reaches 1 (weighted
//! Bonferroni). Here the sum over a rollout's guardrails does, which is to say that the weighted mean of their e-values
//! reaches 1 / alpha: never later, and earlier where they agree. Why both together keep to the budget:
//!
//! * W = the sum of alpha_j E_j over all evidence that ever began in the rollout + what is left of its alpha. It begins at
//!   alpha. Evidence that begins, at first or anew, takes alpha_j from what is left and stands at E_j = 1; evidence that
//!   ends stays in W at its last value. Both leave W as it is: only strata move it. Copies are inside of E_j
//!   (`stats::process`). E_j is its value now: a mean of maxima would be no e-process.
//! * A sum of nonnegative supermartingales in one filtration is one, whatever they have to do with each other (Vovk and Wang
//!   2021, E-values: calibration, combination and applications, Annals of Statistics 49, arXiv 1912.06116; Wang and Ramdas
//!   2022, False discovery rate control with e-values, arXiv 2009.02824). So by Ville's inequality W ever reaches 1 in a
//!   healthy rollout with a chance of alpha at most. A line of one guardrail and the sum of some of them are both at most W.
//! * One filtration: what all guardrails have weighed at the ends of ticks. Evidence of which rows wait (for the other arm, or
//!   after an error) while others have weighed theirs is late: in that filtration it is no supermartingale (Choe and Ramdas
//!   2024, arXiv 2402.09698), but its conditional mean, waiting rows included, is, and is equal to it when nothing waits. So
//!   it counts when nothing of it waits, and as 0 otherwise, which is less. (Rows of the control alone, without any of the
//!   treatment, are let pass: they say nothing about the treatment, and mostly find no other half. Approximate.) Where arms
//!   come apart, rows of the treatment wait nearly always: there each guardrail has its own line alone. A line of its own is
//!   only ever reached when it has just been weighed. Metrics that are counted later than others (queries, conversion
//!   windows) are never known to be level: they have their own line alone, which adds their alpha to the bound of the rest.
//!   That rows come, and wait, must not depend on what is in them, as everywhere (`strata`). After a long stop of the ticks,
//!   which take deltas by slices in the order written, the metrics of one statement may be split by a tick.
//! * Shadow guardrails have no share, and warnings spend theirs more than once: neither counts.

use super::data_state::DataState;
use super::rule::Rule;
use super::standing::Standing;
use super::status::{Stage, Status};
use super::words;
use crate::stats::combine::{climb, culprits, part};

/// One guardrail of a rollout.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its id.
    pub id: i64,
    /// Its rule.
    pub rule: &'a Rule,
    /// Where it stands.
    pub status: &'a Status,
}

/// A guardrail that is to blame for what several say together.
#[derive(Debug, Clone, PartialEq)]
pub struct Blamed {
    /// Its id.
    pub id: i64,
    /// The sum of alpha e of those that are taken together.
    pub sum: f64,
    /// Their ids and parts (alpha e), the greatest first.
    pub parts: Vec<(i64, f64)>,
    /// The breach in words.
    pub reason: String,
}

/// Does the evidence of a guardrail count together with that of others.
fn counts(member: &Member, is_completed: bool) -> bool {
    let (rule, status) = (member.rule, member.status);
    rule.is_sequential()
        && rule.acts
        && !rule.is_polled
        && !(is_completed && rule.is_of_control())
        && !matches!(status.state, DataState::Breached | DataState::Error)
        && status.failures == 0
        && status.waiting.treatment.is_none()
        && status.waiting.control.is_none()
        && status.log_e < f64::INFINITY
        && status.alpha > 0.0
}

/// The guardrails to blame when those of a rollout together reach the line; as a rule one. The greatest part is to blame;
/// and of what is left without it the next one, as long as that reaches 1, too: it would act at once after a resume.
pub fn together(members: &[Member], alpha: f64, is_completed: bool) -> Vec<Blamed> {
    let mut counted: Vec<&Member> = members.iter().filter(|member| counts(member, is_completed)).collect();
    counted.sort_by_key(|member| std::cmp::Reverse(member.id));
    let parts: Vec<f64> = counted.iter().map(|member| part(member.status.log_e, member.status.alpha)).collect();
    let climbed = climb(&parts);
    culprits(&climbed).map(|place| blame(&counted, &parts, &climbed[..=place], alpha)).collect()
}

/// The last of some climbed parts is to blame.
fn blame(counted: &[&Member], parts: &[f64], climbed: &[(usize, f64)], alpha: f64) -> Blamed {
    let (last, sum) = climbed[climbed.len() - 1];
    let greatest_first = || climbed.iter().rev();
    // Named are those that it took: the greatest, up to the one with which they reach 1.
    let named = greatest_first().filter(|(_, below)| sum - below < 1.0);
    let stage = Stage { started_at: i64::MIN, min_sample: 0, is_alone: false, share: 0.5 };
    let words = |member: &Member| {
        let (rule, status) = (member.rule, member.status);
        words::part_of_joint(&Standing { rule, status, stage: &stage, anomaly: None, latest: [None; 2], at: 0 })
    };
    let named: Vec<String> = named.map(|(i, _)| words(counted[*i])).collect();
    Blamed {
        id: counted[last].id,
        sum,
        parts: greatest_first().map(|(i, _)| (counted[*i].id, parts[*i])).collect(),
        reason: words::together(&named, (sum / alpha).ln()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::{Comparison, Test};
    use super::super::status::{Stratum, Waiting};
    use super::super::whose::Whose;
    use super::*;
    use crate::kind::MetricKind;
    use crate::stats::tilt::Harm;

    fn rule(name: &str, comparison: Comparison) -> Rule {
        Rule {
            name: name.into(),
            metric: name.into(),
            kind: MetricKind::Proportion,
            unit: String::new(),
            harm: Harm::Increase,
            cap: None,
            is_polled: false,
            by_unit: None,
            test: Test::Sequential,
            comparison,
            quantile: None,
            design_effect: 1.0,
            safe_margin: 0.2,
            safe_alpha: 0.01,
            breaches: 1,
            of_looks: 1,
            min_sample: 1,
            window: 1,
            pairing: 1,
            copy_after: 1,
            grace: 1,
            stale_after: 1,
            retry_after: 1,
            acts: true,
            control: "off".into(),
            whose: Whose::default(),
        }
    }

    fn status(log_e: f64) -> Status {
        Status { log_e, alpha: 0.005, ..Status::default() }
    }

    fn blamed(rules: &[Rule], statuses: &[Status]) -> Vec<Blamed> {
        let members: Vec<_> = rules
            .iter()
            .zip(statuses)
            .enumerate()
            .map(|(i, (rule, status))| Member { id: i as i64, rule, status })
            .collect();
        together(&members, 0.01, false)
    }

    #[test]
    fn two_that_agree_reach_the_line_and_the_greatest_is_to_blame() {
        // Each alone reaches ln(1 / 0.005) = 5.298; e to the 4.7 is 109.9, to the 4.6 99.5: 0.005 times their sum is 1.047.
        let rules = [rule("errors", Comparison::Control), rule("queue", Comparison::Absolute)];
        let found = blamed(&rules, &[status(4.6), status(4.7)]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id, found[0].parts.len(), found[0].parts[0].0), (1, 2, 1));
        assert!((found[0].sum - 1.047).abs() < 5e-4, "{}", found[0].sum);
        assert!(found[0].reason.ends_with("By itself neither proves harm, both together do (anytime p 0.00955)"));
        assert!(blamed(&rules, &[status(4.5), status(4.6)]).is_empty());
    }

    #[test]
    fn what_waits_fails_warns_or_is_counted_later_does_not_count() {
        let rules = [rule("errors", Comparison::Control), rule("queue", Comparison::Control)];
        let waits = Waiting { treatment: Some(Stratum::default()), ..Waiting::default() };
        let quiet: [fn(Status, Waiting) -> Status; 4] = [
            |s, waiting| Status { waiting, ..s },
            |s, _| Status { failures: 1, ..s },
            |s, _| Status { state: DataState::Error, ..s },
            |s, _| Status { state: DataState::Breached, ..s },
        ];
        for change in quiet {
            assert!(blamed(&rules, &[status(4.9), change(status(4.9), waits.clone())]).is_empty());
        }
        let told = [rules[0].clone(), Rule { acts: false, ..rules[1].clone() }];
        let later = [rules[0].clone(), Rule { is_polled: true, ..rules[1].clone() }];
        for rules in [told, later] {
            assert!(blamed(&rules, &[status(4.9), status(4.9)]).is_empty());
        }
        assert_eq!(blamed(&rules, &[status(4.9), status(4.9)]).len(), 1);
    }

    #[test]
    fn numbers_beyond_all_bounds_add_nothing_that_is_not_a_number() {
        assert_eq!([f64::NAN, f64::INFINITY].map(|log_e| part(log_e, 0.01)), [0.0, 0.0]);
        assert_eq!(part(1e5, 0.01), 1.0);
        assert!(part(-1e5, 0.01) > 0.0 && part(-1e5, 0.01) < 1e-300);
        assert_eq!(part(5.0, 0.0), 0.0);
    }
}
