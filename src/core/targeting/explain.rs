//! Why a flag answers as it does: which step of the order decided, with what, in words and as data.

use serde::Serialize;
use serde_json::Value;

use super::evaluate::{ErrorCode, Outcome, Reason, Step, answer, outcome};
use super::{Context, Flag, Lookup, Split, ValueType, WEIGHT_TOTAL, meter};

/// Why a flag answers as it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The step that decided: `missing`, `disabled`, `prerequisite`, `targeting`, `rollout`, `default` or `type`.
    pub step: &'static str,
    /// The whole story in a sentence or two.
    pub words: String,
    /// What the targeting rule gave; none where it was not asked or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_result: Option<Value>,
    /// Why the targeting rule gave nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_error: Option<String>,
    /// The bucket of the targeting key: of the rollout, or of the last `fractional` in the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<u32>,
    /// Buckets that there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buckets: Option<u32>,
    /// Buckets below this one get the rollout's treatment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub treatment_below: Option<u32>,
}

/// Explains what [`super::evaluate`] answers to the same arguments.
pub fn explain(
    key: &str,
    flag: Option<&Flag>,
    asked: Option<ValueType>,
    context: &Context,
    flags: &Lookup,
) -> Explanation {
    let Some(flag) = flag else {
        return Explanation::new("missing", format!("there is no flag \"{key}\": the caller's own default is used"));
    };
    let outcome = outcome(flag, context, flags);
    let mut explanation = Explanation::new(step_name(&outcome.step), String::new());
    let rule_was_asked =
        matches!(outcome.step, Step::FailedRule | Step::Rule | Step::Split(_) | Step::Default | Step::BrokenRule);
    if rule_was_asked {
        explanation.ask_rule(flag, context);
    }
    if let (Step::Split(bucket), Some(split)) = (&outcome.step, &flag.definition.split) {
        explanation.bucket = Some(*bucket);
        explanation.buckets = Some(WEIGHT_TOTAL);
        explanation.treatment_below = Some(split.weight);
    }
    let served = served(flag, &outcome);
    explanation.words = format!("{}: {served}", explanation.cause(flag, &outcome, context));
    if answer(flag, asked, &outcome).error == Some(ErrorCode::TypeMismatch) {
        let asked = asked.map_or("", ValueType::label);
        explanation.step = "type";
        explanation.words += &format!("; but {asked} was asked for: the caller's own default is used");
    }
    explanation
}

fn step_name(step: &Step) -> &'static str {
    match step {
        Step::Disabled => "disabled",
        Step::Prerequisite(_) | Step::Cycle | Step::TooManyPrerequisites => "prerequisite",
        Step::BrokenRule | Step::FailedRule | Step::Rule => "targeting",
        Step::Split(_) => "rollout",
        Step::Default => "default",
    }
}

/// What is served in the end.
fn served(flag: &Flag, outcome: &Outcome) -> String {
    match (outcome.variant, outcome.error) {
        (Some(variant), _) => format!("variant \"{variant}\" is served"),
        (None, Some(error)) => format!("the caller's own default is used ({})", error.label()),
        (None, None) if outcome.reason == Reason::Disabled => "the caller's own default is used".to_owned(),
        (None, None) => {
            format!("\"{}\" has no default variant, the caller's own default is used", flag.definition.key)
        }
    }
}

impl Explanation {
    fn new(step: &'static str, words: String) -> Self {
        Self { step, words, rule_result: None, rule_error: None, bucket: None, buckets: None, treatment_below: None }
    }

    /// Asks the rule again, for what an answer does not tell.
    fn ask_rule(&mut self, flag: &Flag, context: &Context) {
        match &flag.rule {
            None => {}
            Some(Err(error)) => self.rule_error = Some(error.to_string()),
            Some(Ok(rule)) => match rule.run(&flag.definition.key, context) {
                Ok(result) => {
                    self.rule_result = Some(result.to_serde_value());
                    self.bucket = meter::placed().map(|placed| placed.bucket);
                    self.buckets = meter::placed().map(|placed| placed.total);
                }
                Err(fault) => self.rule_error = Some(fault.into_text()),
            },
        }
    }

    /// What made the answer.
    fn cause(&self, flag: &Flag, outcome: &Outcome, context: &Context) -> String {
        let rule = self.rule_words();
        match outcome.step {
            Step::Disabled => "the flag is disabled".to_owned(),
            Step::Prerequisite(needed) => {
                format!("flag \"{}\" does not serve \"{}\", which this flag needs", needed.flag, needed.variant)
            }
            Step::Cycle => "the flag needs, through others, itself".to_owned(),
            Step::TooManyPrerequisites => "the flag needs too many others".to_owned(),
            Step::BrokenRule | Step::FailedRule | Step::Rule => rule,
            Step::Split(bucket) => {
                let split =
                    flag.definition.split.as_ref().map_or_else(String::new, |split| split_words(split, bucket));
                if rule.is_empty() { split } else { format!("{rule}, and {split}") }
            }
            Step::Default if flag.definition.split.is_some() && context.targeting_key().is_none() => {
                "a rollout is live, but there is no targeting key to split by".to_owned()
            }
            Step::Default if rule.is_empty() => "nothing but the default applies".to_owned(),
            Step::Default => rule,
        }
    }

    fn rule_words(&self) -> String {
        match (&self.rule_error, &self.rule_result) {
            (Some(error), _) => format!("the targeting rule fails ({error})"),
            (None, Some(Value::Null)) => "the targeting rule gives null, so it does not decide".to_owned(),
            (None, Some(result)) => match self.bucket.zip(self.buckets) {
                Some((bucket, buckets)) => {
                    format!("the targeting rule gives {result} (bucket {bucket} of {buckets} in its fractional)")
                }
                None => format!("the targeting rule gives {result}"),
            },
            (None, None) => String::new(),
        }
    }
}

fn split_words(split: &Split, bucket: u32) -> String {
    let percent = f64::from(split.weight) * 100.0 / f64::from(WEIGHT_TOTAL);
    format!(
        "the key is in bucket {bucket} of {WEIGHT_TOTAL}, and the rollout serves \"{}\" below {} ({percent} %)",
        split.treatment, split.weight
    )
}
