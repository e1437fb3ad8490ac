//! The order of decisions of an evaluation, with flagd's answers (its `json.go`, core 0.16, and its testbed): no
//! such flag, disabled, prerequisites, rule, split of a live rollout, default variant, type asked for.

use std::cell::Cell;

use datalogic_rs::DataValue;
use serde_json::{Map, Value};

use super::convert::number_text;
use super::prerequisite::{Endless, Path, holds};
use super::rule::Fault;
use super::{Context, Flag, Lookup, Prerequisite, Rule, ValueType, bucket};

/// Why an evaluation answered as it did; OpenFeature's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No rule at all: everyone gets the default variant, and clients may keep the answer.
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

/// What went wrong, with reason [`Reason::Error`]; OpenFeature's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// No such flag.
    FlagNotFound,
    /// The rule cannot be compiled, or an operator cannot work on its arguments.
    ParseError,
    /// The variant's value is of another type than asked for.
    TypeMismatch,
    /// The rule gives what is no variant, or asks for too much work; prerequisites go in a circle.
    General,
}

impl ErrorCode {
    /// OpenFeature's name of the code.
    pub fn label(self) -> &'static str {
        match self {
            Self::FlagNotFound => "FLAG_NOT_FOUND",
            Self::ParseError => "PARSE_ERROR",
            Self::TypeMismatch => "TYPE_MISMATCH",
            Self::General => "GENERAL",
        }
    }
}

/// The answer to an evaluation; it borrows from the flag. No value means: the caller's own default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer<'f> {
    /// The value served.
    pub value: Option<&'f Value>,
    /// Name of the variant served.
    pub variant: Option<&'f str>,
    /// Why.
    pub reason: Reason,
    /// What went wrong, with reason `Error`.
    pub error: Option<ErrorCode>,
    /// The flag's metadata over its flag set's; none for a flag that does not exist.
    pub metadata: Option<&'f Map<String, Value>>,
}

/// Evaluates a flag, `None` standing for one that does not exist, as a value of a type, `None` standing for its own.
pub fn evaluate<'f>(
    flag: Option<&'f Flag>,
    asked: Option<ValueType>,
    context: &Context,
    flags: &Lookup,
) -> Answer<'f> {
    let Some(flag) = flag else {
        let error = Some(ErrorCode::FlagNotFound);
        return Answer { value: None, variant: None, reason: Reason::Error, error, metadata: None };
    };
    answer(flag, asked, &outcome(flag, context, flags))
}

/// Decides for a flag that was asked for.
pub(super) fn outcome<'f>(flag: &'f Flag, context: &Context, flags: &Lookup) -> Outcome<'f> {
    decide(flag, context, &Path::new(flags, &Cell::new(0), &flag.definition.key))
}

/// The answer that an outcome gives to someone who asks for a type.
pub(super) fn answer<'f>(flag: &'f Flag, asked: Option<ValueType>, outcome: &Outcome<'f>) -> Answer<'f> {
    let metadata = Some(&flag.metadata);
    let mismatch = asked.zip(outcome.value).is_some_and(|(asked, value)| !asked.fits(value));
    if mismatch {
        let error = Some(ErrorCode::TypeMismatch);
        return Answer { value: None, variant: None, reason: Reason::Error, error, metadata };
    }
    let Outcome { value, variant, reason, error, .. } = *outcome;
    Answer { value, variant, reason, error, metadata }
}

/// Which step of the order decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step<'f> {
    Disabled,
    Prerequisite(&'f Prerequisite),
    Cycle,
    TooManyPrerequisites,
    BrokenRule,
    FailedRule,
    Rule,
    /// The key's bucket in the split.
    Split(u32),
    Default,
}

/// What was decided, before anyone asks for a type.
pub(super) struct Outcome<'f> {
    pub(super) variant: Option<&'f str>,
    pub(super) value: Option<&'f Value>,
    pub(super) reason: Reason,
    pub(super) error: Option<ErrorCode>,
    pub(super) step: Step<'f>,
}

/// Decides for a flag on a path of prerequisites.
pub(super) fn decide<'f>(flag: &'f Flag, context: &Context, path: &Path) -> Outcome<'f> {
    let definition = &flag.definition;
    if !definition.enabled {
        return nothing(Reason::Disabled, None, Step::Disabled);
    }
    for prerequisite in &definition.prerequisites {
        match holds(prerequisite, context, path) {
            Ok(true) => {}
            Ok(false) => return fallback(flag, Reason::Default, Step::Prerequisite(prerequisite)),
            Err(Endless::Cycle) => return failure(ErrorCode::General, Step::Cycle),
            Err(Endless::TooMany) => return failure(ErrorCode::General, Step::TooManyPrerequisites),
        }
    }
    match &flag.rule {
        None => {}
        Some(Err(_)) => return failure(ErrorCode::ParseError, Step::BrokenRule),
        Some(Ok(rule)) => {
            if let Some(outcome) = by_rule(flag, rule, context) {
                return outcome;
            }
        }
    }
    if let Some((split, key)) = definition.split.as_ref().zip(context.targeting_key()) {
        let bucket = bucket(definition.bucketing, &definition.key, key);
        let name = if bucket < split.weight { &split.treatment } else { &split.control };
        return named(flag, name, Reason::TargetingMatch, Step::Split(bucket));
    }
    // What depends on the context is not static, though it came to the default: clients keep static answers.
    let depends = flag.rule.is_some() || definition.split.is_some() || !definition.prerequisites.is_empty();
    fallback(flag, if depends { Reason::Default } else { Reason::Static }, Step::Default)
}

/// What the rule decides; none where it gives null.
fn by_rule<'f>(flag: &'f Flag, rule: &Rule, context: &Context) -> Option<Outcome<'f>> {
    let named = |name: &str| named(flag, name, Reason::TargetingMatch, Step::Rule);
    Some(match rule.run(&flag.definition.key, context) {
        Ok(DataValue::Null) => return None,
        Ok(DataValue::String(name)) => named(name),
        Ok(DataValue::Bool(value)) => named(if *value { "true" } else { "false" }),
        Ok(DataValue::Number(number)) => named(&number_text(*number)),
        Ok(_) => failure(ErrorCode::General, Step::Rule),
        Err(Fault::Operator(_)) => failure(ErrorCode::ParseError, Step::FailedRule),
        Err(Fault::TooMuch(_)) => failure(ErrorCode::General, Step::FailedRule),
    })
}

/// A variant by its name; one that does not exist is an error.
fn named<'f>(flag: &'f Flag, name: &str, reason: Reason, step: Step<'f>) -> Outcome<'f> {
    match flag.variant(name) {
        Some((variant, value)) => Outcome { variant: Some(variant), value: Some(value), reason, error: None, step },
        None => failure(ErrorCode::General, step),
    }
}

/// The default variant; where there is none, the caller's own default.
fn fallback<'f>(flag: &'f Flag, reason: Reason, step: Step<'f>) -> Outcome<'f> {
    match &flag.definition.default_variant {
        Some(name) => named(flag, name, reason, step),
        None => nothing(Reason::Default, None, step),
    }
}

fn failure(error: ErrorCode, step: Step) -> Outcome {
    nothing(Reason::Error, Some(error), step)
}

fn nothing(reason: Reason, error: Option<ErrorCode>, step: Step) -> Outcome {
    Outcome { variant: None, value: None, reason, error, step }
}
