//! The order of decisions of an evaluation, with flagd's answers (ecosystem.md 1.3 of the design).

use serde_json::{Map, Value};

use super::{Bucketing, WEIGHT_TOTAL, bucket};

/// Why an evaluation answered as it did; OpenFeature's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No rule at all: everyone gets the default variant.
    Static,
    /// A rule did not decide: the default variant.
    Default,
    /// A rule decided; flagd gives this for a fractional split too.
    TargetingMatch,
    /// The flag is disabled: the caller's own default.
    Disabled,
    /// The evaluation failed: the caller's own default.
    Error,
}

impl Reason {
    /// OpenFeature's name of the reason.
    pub fn label(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::Default => "DEFAULT",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Disabled => "DISABLED",
            Self::Error => "ERROR",
        }
    }
}

/// The split of a live rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Variant under test.
    pub treatment: String,
    /// Variant it is compared with.
    pub control: String,
    /// The treatment's share, in 1/[`WEIGHT_TOTAL`].
    pub weight: u32,
}

/// A flag as it stands in an environment.
#[derive(Debug, Clone)]
pub struct Flag {
    /// Its key.
    pub key: String,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Values by variant.
    pub variants: Map<String, Value>,
    /// Served when nothing else decides.
    pub default_variant: Option<String>,
    /// The split of a live rollout.
    pub split: Option<Split>,
    /// How the split buckets keys.
    pub bucketing: Bucketing,
}

/// The answer to an evaluation. No value means: the caller's own default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer<'a> {
    /// The value served.
    pub value: Option<&'a Value>,
    /// Name of the variant served.
    pub variant: Option<&'a str>,
    /// Why.
    pub reason: Reason,
    /// OpenFeature's error code, with reason `Error`.
    pub error_code: Option<&'static str>,
}

impl Answer<'_> {
    /// The answer to an evaluation that failed, with OpenFeature's error code.
    pub fn error(code: &'static str) -> Self {
        Self { value: None, variant: None, reason: Reason::Error, error_code: Some(code) }
    }
}

/// Evaluates a flag for a targeting key; `None` stands for a flag that does not exist.
pub fn evaluate<'a>(flag: Option<&'a Flag>, targeting_key: Option<&str>) -> Answer<'a> {
    let Some(flag) = flag else { return Answer::error("FLAG_NOT_FOUND") };
    if !flag.enabled {
        return Answer { value: None, variant: None, reason: Reason::Disabled, error_code: None };
    }
    let (variant, reason) = match (&flag.split, targeting_key) {
        // As flagd: without a targeting key fractional gives null, and the default variant is served.
        (Some(_), None | Some("")) => (flag.default_variant.as_deref(), Reason::Default),
        (Some(split), Some(key)) => (Some(split.variant(flag, key)), Reason::TargetingMatch),
        (None, _) if flag.default_variant.is_none() => (None, Reason::Default),
        (None, _) => (flag.default_variant.as_deref(), Reason::Static),
    };
    Answer { value: variant.and_then(|v| flag.variants.get(v)), variant, reason, error_code: None }
}

impl Split {
    /// A split that serves the treatment to a share given in percent.
    pub fn new(treatment: String, control: String, percent: f64) -> Self {
        let weight = (percent / 100.0 * f64::from(WEIGHT_TOTAL)).round().clamp(0.0, f64::from(WEIGHT_TOTAL));
        Self { treatment, control, weight: weight as u32 }
    }

    fn variant(&self, flag: &Flag, key: &str) -> &str {
        if bucket(flag.bucketing, &flag.key, key) < self.weight { &self.treatment } else { &self.control }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn flag(split: Option<f64>) -> Flag {
        let Value::Object(variants) = json!({"off": false, "on": true}) else { unreachable!() };
        Flag {
            key: "new-checkout".into(),
            enabled: true,
            variants,
            default_variant: Some("off".into()),
            split: split.map(|percent| Split::new("on".into(), "off".into(), percent)),
            bucketing: Bucketing::V2,
        }
    }

    fn shape(flag: Option<&Flag>, key: Option<&str>) -> (Option<bool>, Option<String>, Reason, Option<&'static str>) {
        let answer = evaluate(flag, key);
        (answer.value.and_then(Value::as_bool), answer.variant.map(str::to_owned), answer.reason, answer.error_code)
    }

    #[test]
    fn answers_are_flagds() {
        let off = || Some("off".to_owned());
        assert_eq!(shape(None, Some("u")), (None, None, Reason::Error, Some("FLAG_NOT_FOUND")));
        assert_eq!(shape(Some(&flag(None)), Some("u")), (Some(false), off(), Reason::Static, None));
        assert_eq!(shape(Some(&flag(Some(100.0))), None), (Some(false), off(), Reason::Default, None));
        assert_eq!(shape(Some(&flag(Some(100.0))), Some("")), (Some(false), off(), Reason::Default, None));
        let on = Some("on".to_owned());
        assert_eq!(shape(Some(&flag(Some(100.0))), Some("u")), (Some(true), on, Reason::TargetingMatch, None));
        assert_eq!(shape(Some(&flag(Some(0.0))), Some("u")), (Some(false), off(), Reason::TargetingMatch, None));
        let disabled = Flag { enabled: false, ..flag(Some(100.0)) };
        assert_eq!(shape(Some(&disabled), Some("u")), (None, None, Reason::Disabled, None));
        let silent = Flag { default_variant: None, ..flag(None) };
        assert_eq!(shape(Some(&silent), Some("u")), (None, None, Reason::Default, None));
    }

    #[test]
    fn widening_never_moves_a_key_out_of_the_treatment() {
        for key in 0..2_000 {
            let key = format!("user-{key}");
            let mut before = false;
            for thousandths in (0..=100_000).step_by(500) {
                let flag = flag(Some(f64::from(thousandths) / 1000.0));
                let treated = evaluate(Some(&flag), Some(&key)).variant == Some("on");
                assert!(treated || !before, "{key} left the treatment at {thousandths}");
                before = treated;
            }
            assert!(before);
        }
    }
}
