//! Strata that real rollouts weighed, through PostgreSQL, stepped through once more: the evidence, its e-value and the words of
//! a breach come out as they were stored. `tests/data/strata/README.md` says where they come from.

use flagscope_core::guardrail::{
    Arrived, Before, Comparison, DataState, Rule, Stage, Status, Stratum, Test, Whose, try_step,
};
use flagscope_core::kind::{MetricKind, State};
use flagscope_core::sketch::{Moments, Sketch};
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::tilt::Harm;
use serde_json::Value;

const MINUTE: i64 = 60_000_000;

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn rule(recorded: &Value) -> Rule {
    Rule {
        name: text(recorded, "guardrail").into(),
        metric: text(recorded, "metric").into(),
        kind: MetricKind::from_label(text(recorded, "kind")).unwrap(),
        unit: text(recorded, "unit").into(),
        harm: Harm::from_label(text(recorded, "harm")).unwrap(),
        cap: recorded["cap"].as_f64(),
        is_polled: false,
        by_unit: None,
        test: Test::Sequential,
        comparison: Comparison::from_label(text(recorded, "comparison")).unwrap(),
        quantile: recorded["quantile"].as_f64(),
        design_effect: recorded["design_effect"].as_f64().unwrap(),
        safe_margin: 0.2,
        safe_alpha: 0.01,
        breaches: 1,
        of_looks: 1,
        min_sample: 0,
        window: MINUTE,
        pairing: MINUTE,
        copy_after: 15 * MINUTE,
        grace: MINUTE,
        stale_after: 10 * MINUTE,
        retry_after: MINUTE,
        acts: true,
        control: "off".into(),
        whose: Whose::default(),
    }
}

fn begun(recorded: &Value) -> Status {
    let absolute = recorded["margin_absolute"].as_f64().map(Margin::Absolute);
    Status {
        alpha: recorded["alpha"].as_f64().unwrap(),
        margin: absolute.or(recorded["margin"].as_f64().map(Margin::Relative)),
        limit: recorded["limit"].as_f64(),
        ..Status::default()
    }
}

fn counts(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
}

fn arm(n: &Value, moments: &Value) -> Option<Stratum> {
    let moments = moments.as_str().map(|text| Moments::from_text(text).unwrap());
    let state = State { n: n.as_u64().unwrap(), moments, ..State::default() };
    Some(Stratum { stage_n: state.n, state })
}

fn came(stratum: &Value) -> Arrived {
    Arrived {
        treatment: arm(&stratum[1], &stratum[3]),
        control: arm(&stratum[4], &stratum[6]),
        before: Some(Before {
            events: [counts(&stratum[2]), counts(&stratum[5])],
            centre: stratum[7].as_f64(),
            begins_copy: stratum[8].as_bool(),
            safe_increment: None,
        }),
        ..Arrived::default()
    }
}

/// Steps through one recorded guardrail; how many strata it had, and whether it was breached.
fn replay(recorded: &Value) -> (usize, bool) {
    let (rule, mut status) = (rule(recorded), begun(recorded));
    let strata = recorded["strata"].as_array().unwrap();
    for stratum in strata {
        let stage = Stage { started_at: i64::MIN, min_sample: 0, is_alone: false, share: 0.5 };
        let at = stratum[0].as_i64().unwrap();
        status = try_step(&rule, &status, &came(stratum), &stage, at).unwrap().status;
        let stored = stratum[9].as_f64().unwrap();
        assert!(
            (status.log_e - stored).abs() <= 1e-12 * stored.abs().max(1.0),
            "{}: {} {stored}",
            rule.name,
            status.log_e
        );
        // A breach of several together is not this one's own.
        let breached = text(recorded, "joint").is_empty() && stratum[10] == "breached";
        assert_eq!(status.state == DataState::Breached, breached, "{} at {at}", rule.name);
    }
    let breached = status.state == DataState::Breached;
    if breached {
        assert_eq!(status.reason, text(recorded, "reason"), "{}", rule.name);
        assert_eq!(Some(status.max_log_e), recorded["max_log_e"].as_f64());
    }
    (strata.len(), breached)
}

#[test]
fn recorded_strata_give_the_stored_evidence_and_breaches() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/strata");
    for (file, kinds) in [("simulated.jsonl", 2), ("kinds.jsonl", 4)] {
        let lines = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        let recorded: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let found: Vec<_> = recorded.iter().map(replay).collect();
        let mut seen: Vec<&str> = recorded.iter().map(|guardrail| text(guardrail, "kind")).collect();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() >= kinds, "{file}: {seen:?}");
        assert!(found.iter().map(|(strata, _)| strata).sum::<usize>() > 50, "{file}");
        assert!(found.iter().any(|(_, breached)| *breached) && found.iter().any(|(_, breached)| !breached), "{file}");
    }
}
