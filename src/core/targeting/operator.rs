//! flagd's own operators on the JsonLogic engine, and the one that loops pay with.
//!
//! They get their arguments evaluated. Names begin with `#` where a rule must not write them: `check.rs` puts them
//! in place of what the rule says, so that `fractional` knows its flag and its bucketing.

use std::sync::LazyLock;

use datalogic_rs::bumpalo::Bump;
use datalogic_rs::operator::EvalContext;
use datalogic_rs::{ArenaExt, CustomOperator, DataValue, Engine, EvaluationConfig, Result};

use super::bucket::{hash, hash_keys, place};
use super::{Bucketing, cbor, loose, meter, version};

/// The largest weight, and the largest sum of weights (flagd: MaxInt32).
pub(super) const MAX_WEIGHT: i64 = i32::MAX as i64;

/// The name that `fractional` is compiled to.
pub(super) fn fractional_name(bucketing: Bucketing) -> &'static str {
    match bucketing {
        Bucketing::V2 => "#fractional_v2",
        Bucketing::V3 => "#fractional_v3",
    }
}

/// The operator that pays: units, then the value it hands on.
pub(super) const CHARGE: &str = "#charge";

/// The one that pays the units for each name in a list, since the context is searched for each.
pub(super) const CHARGE_NAMES: &str = "#charge_names";

/// The one engine of all rules.
pub(super) static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    // As flagd's Python and JavaScript cores: values that cannot be compared are unequal, not an error.
    let config = EvaluationConfig::default().with_loose_equality_errors(false);
    loose::add_to(Engine::builder().with_config(config))
        .add_operator(fractional_name(Bucketing::V2), Fractional(Bucketing::V2))
        .add_operator(fractional_name(Bucketing::V3), Fractional(Bucketing::V3))
        .add_operator("starts_with", Affix(|text, prefix| text.starts_with(prefix)))
        .add_operator("ends_with", Affix(|text, suffix| text.ends_with(suffix)))
        .add_operator("sem_ver", SemVer)
        .add_operator(CHARGE, Charge { each: false })
        .add_operator(CHARGE_NAMES, Charge { each: true })
        .build()
});

/// `fractional`: flag key (put there by the compiler), `bucketBy`?, then `[variant, weight?]`...
struct Fractional(Bucketing);

impl CustomOperator for Fractional {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        context: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        let Some((flag, args)) = args.split_first() else { return Ok(arena.null()) };
        let Some((hash, buckets)) = self.hash(flag.as_str().unwrap_or_default(), args, context.root_input())? else {
            return Ok(arena.null());
        };
        Ok(pick(hash, buckets).unwrap_or_else(|| arena.null()))
    }
}

impl Fractional {
    /// The hash of the key, and the arguments that are buckets; none where there is no key.
    fn hash<'b, 'a>(
        &self,
        flag: &str,
        args: &'b [&'a DataValue<'a>],
        root: &DataValue,
    ) -> Result<Option<(u32, &'b [&'a DataValue<'a>])>> {
        let Some((first, rest)) = args.split_first() else { return Ok(None) };
        Ok(match (self.0, first) {
            // The Python core (v2) takes an empty key for none; Go hashes it. No two agree, so the documented one.
            (Bucketing::V2, DataValue::String(key)) => (!key.is_empty()).then(|| (hash(key.as_bytes()), rest)),
            (Bucketing::V3, DataValue::Null) => None,
            (Bucketing::V3, value) if !value.is_array() => {
                meter::charge_value(value)?;
                let mut bytes = Vec::new();
                cbor::encode(value, &mut bytes);
                Some((hash(&bytes), rest))
            }
            (bucketing, _) => targeting_key(root).map(|key| (hash_keys(bucketing, flag, key), args)),
        })
    }
}

/// The context's targeting key, where it is a text and not empty.
fn targeting_key<'a>(root: &DataValue<'a>) -> Option<&'a str> {
    root.get("targetingKey").and_then(DataValue::as_str).filter(|key| !key.is_empty())
}

/// The variant whose share of the weights holds the hash.
fn pick<'a>(hash: u32, buckets: &[&'a DataValue<'a>]) -> Option<&'a DataValue<'a>> {
    let mut total = 0;
    for bucket in buckets {
        total += weight(bucket.as_array()?)?;
    }
    let total = u32::try_from(total).ok().filter(|total| (1..=MAX_WEIGHT as u32).contains(total))?;
    let bucket = place(hash, total);
    meter::note(meter::Placed { bucket, total });
    let mut end = 0;
    buckets.iter().filter_map(|entry| entry.as_array()).find_map(|entry| {
        end += weight(entry)?;
        (i64::from(bucket) < end).then(|| entry.first()).flatten()
    })
}

/// The weight of `[variant, weight?]`: 1 unless given, none where it is no whole number or too large. Negative ones
/// are 0: a weight that is computed from the time may start below it.
fn weight(bucket: &[DataValue]) -> Option<i64> {
    match bucket {
        [_] => Some(1),
        [_, weight] => weight.as_i64().filter(|weight| *weight <= MAX_WEIGHT).map(|weight| weight.max(0)),
        _ => None,
    }
}

/// `starts_with`, `ends_with`: exactly two texts, else null.
struct Affix(fn(&str, &str) -> bool);

impl CustomOperator for Affix {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        Ok(match args {
            [DataValue::String(text), DataValue::String(affix)] => arena.bool((self.0)(text, affix)),
            _ => arena.null(),
        })
    }
}

/// `sem_ver`: version, comparison, version.
struct SemVer;

impl CustomOperator for SemVer {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        Ok(match args {
            [left, DataValue::String(comparison), right] => {
                version::compare(left, comparison, right).map_or_else(|| arena.null(), |holds| arena.bool(holds))
            }
            _ => arena.null(),
        })
    }
}

/// Pays for a turn of a loop, or for a value that another operator will copy.
struct Charge {
    each: bool,
}

impl CustomOperator for Charge {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        let [units, value] = args else { return Ok(arena.null()) };
        let times = if self.each { value.len().unwrap_or(1) as u64 } else { 1 };
        meter::charge(units.as_i64().map_or(1, i64::unsigned_abs) * times)?;
        meter::charge_value(value)?;
        Ok(value)
    }
}
