//! JsonLogic's operators on values of any type, as flagd's cores in JavaScript and Python answer where they agree; the
//! engine's own differ from both in some of these. Where the cores disagree the answer is JavaScript's without its
//! failures (`convert.rs`). tests/differential asks both cores.
//!
//! `check.rs` compiles a rule's operators to these; their names begin with `#`, so no rule can write them.

use std::cmp::Ordering;

use datalogic_rs::bumpalo::Bump;
use datalogic_rs::operator::EvalContext;
use datalogic_rs::{ArenaExt, CustomOperator, DataValue, EngineBuilder, Error, Result};

use super::convert::{compare, equal, number, text};

/// `var` with a default: the second argument in place of null.
pub(super) const DEFAULT: &str = "#default";

/// A step of `var` into a text or a list: its length, one of its items.
pub(super) const MEMBER: &str = "#member";

/// What a loop goes over: nothing of a kind is an empty list.
pub(super) const LIST: &str = "#list";

type Answer<'a> = Result<&'a DataValue<'a>>;

/// The operator that stands for one of JsonLogic's with that many arguments, given as a list or as a lone one; none where
/// the engine's own does.
pub(super) fn name(operator: &str, alone: bool, count: usize) -> Option<&'static str> {
    let (_, name, least, most) = OWN.into_iter().find(|(own, ..)| *own == operator)?;
    match operator {
        "+" if alone => Some("#+ of"),
        "-" if alone => Some("#- of"),
        "*" if alone => Some("#* of"),
        "cat" | "merge" => Some(name),
        _ => (!alone && (least..=most).contains(&count)).then_some(name),
    }
}

/// Operators, their names here, and the least and most arguments that they are asked with.
const OWN: [(&str, &str, usize, usize); 17] = [
    ("==", "#==", 2, 2),
    ("!=", "#!=", 2, 2),
    ("<", "#<", 2, 3),
    ("<=", "#<=", 2, 3),
    (">", "#>", 2, 3),
    (">=", "#>=", 2, 3),
    ("+", "#+", 1, usize::MAX),
    ("*", "#*", 1, usize::MAX),
    ("-", "#-", 1, 2),
    ("/", "#/", 2, 2),
    ("%", "#%", 2, 2),
    ("max", "#max", 1, usize::MAX),
    ("min", "#min", 1, usize::MAX),
    ("in", "#in", 2, 2),
    ("cat", "#cat", 0, usize::MAX),
    ("substr", "#substr", 2, 3),
    ("merge", "#merge", 0, usize::MAX),
];

/// Adds them to an engine.
pub(super) fn add_to(engine: EngineBuilder) -> EngineBuilder {
    let sum = |a: f64, b: f64| a + b;
    let difference = |a: f64, b: f64| a - b;
    let product = |a: f64, b: f64| a * b;
    engine
        .add_operator("#==", Equal(true))
        .add_operator("#!=", Equal(false))
        .add_operator("#<", Order(|order| order == Ordering::Less))
        .add_operator("#<=", Order(|order| order != Ordering::Greater))
        .add_operator("#>", Order(|order| order == Ordering::Greater))
        .add_operator("#>=", Order(|order| order != Ordering::Less))
        .add_operator("#+", Arithmetic { neutral: 0.0, step: sum, spreads: false })
        .add_operator("#+ of", Arithmetic { neutral: 0.0, step: sum, spreads: true })
        .add_operator("#-", Arithmetic { neutral: 0.0, step: difference, spreads: false })
        .add_operator("#- of", Arithmetic { neutral: 0.0, step: difference, spreads: true })
        .add_operator("#*", Arithmetic { neutral: 1.0, step: product, spreads: false })
        .add_operator("#* of", Arithmetic { neutral: 1.0, step: product, spreads: true })
        .add_operator(
            "#/",
            Arithmetic { neutral: 1.0, step: |a, b| if b == 0.0 { f64::NAN } else { a / b }, spreads: false },
        )
        .add_operator("#%", Arithmetic { neutral: 1.0, step: |a, b| a % b, spreads: false })
        .add_operator("#max", Extreme(Ordering::Greater))
        .add_operator("#min", Extreme(Ordering::Less))
        .add_operator("#in", Contained)
        .add_operator("#cat", Concatenation)
        .add_operator("#substr", Part)
        .add_operator("#merge", Merge)
        .add_operator(DEFAULT, Default)
        .add_operator(MEMBER, Member)
        .add_operator(LIST, List)
}

struct Equal(bool);

impl CustomOperator for Equal {
    fn evaluate<'a>(&self, args: &[&'a DataValue<'a>], _: &mut EvalContext<'_, 'a>, arena: &'a Bump) -> Answer<'a> {
        let [left, right] = args else { return Ok(arena.null()) };
        Ok(arena.bool(equal(left, right)? == self.0))
    }
}

/// A comparison, of three values where the middle one lies between.
struct Order(fn(Ordering) -> bool);

impl CustomOperator for Order {
    fn evaluate<'a>(&self, args: &[&'a DataValue<'a>], _: &mut EvalContext<'_, 'a>, arena: &'a Bump) -> Answer<'a> {
        for pair in args.windows(2) {
            if !compare(pair[0], pair[1])?.is_some_and(self.0) {
                return Ok(arena.bool(false));
            }
        }
        Ok(arena.bool(true))
    }
}

/// Sums, differences and so on, from left to right; of one argument, with the neutral number before it. As in both cores
/// they are floats: whole numbers are exact below 2^53.
struct Arithmetic {
    neutral: f64,
    step: fn(f64, f64) -> f64,
    /// Whether a list stands for as many arguments.
    spreads: bool,
}

impl CustomOperator for Arithmetic {
    fn evaluate<'a>(&self, args: &[&'a DataValue<'a>], _: &mut EvalContext<'_, 'a>, arena: &'a Bump) -> Answer<'a> {
        let result = match args {
            [DataValue::Array(items)] if self.spreads => self.fold(items.iter())?,
            args => self.fold(args.iter().copied())?,
        };
        Ok(arena.f64(result))
    }
}

impl Arithmetic {
    fn fold<'v, 'a: 'v>(&self, mut values: impl ExactSizeIterator<Item = &'v DataValue<'a>>) -> Result<f64> {
        let mut result = self.neutral;
        if values.len() > 1 {
            result = values.next().map_or(Ok(result), operand)?;
        }
        for value in values {
            result = (self.step)(result, operand(value)?);
        }
        if result.is_nan() { Err(no_number()) } else { Ok(result) }
    }
}

/// A number to reckon with; lists and objects are none.
fn operand(value: &DataValue) -> Result<f64> {
    let is_single = !matches!(value, DataValue::Array(_) | DataValue::Object(_));
    let number = if is_single { number(value)? } else { f64::NAN };
    if number.is_nan() { Err(no_number()) } else { Ok(number) }
}

fn no_number() -> Error {
    Error::invalid_arguments("not a number")
}

/// The greatest or the least, as a number.
struct Extreme(Ordering);

impl CustomOperator for Extreme {
    fn evaluate<'a>(&self, args: &[&'a DataValue<'a>], _: &mut EvalContext<'_, 'a>, arena: &'a Bump) -> Answer<'a> {
        let mut best: Option<f64> = None;
        for arg in args {
            // A decimal one: both cores fail for the empty text and for "0x10".
            let odd = |text: &str| text.trim().is_empty() || text.contains(['x', 'o', 'b']);
            let number = operand(arg).ok().filter(|number| number.is_finite() && !arg.as_str().is_some_and(odd));
            let number = number.ok_or_else(no_number)?;
            best = Some(best.filter(|best| number.partial_cmp(best) != Some(self.0)).unwrap_or(number));
        }
        Ok(best.map_or(arena.null(), |best| arena.f64(best)))
    }
}

/// `in`: part of a text, which anything has one of, or item of a list, of the same type.
struct Contained;

impl CustomOperator for Contained {
    fn evaluate<'a>(&self, args: &[&'a DataValue<'a>], _: &mut EvalContext<'_, 'a>, arena: &'a Bump) -> Answer<'a> {
        Ok(arena.bool(match args {
            // Nothing is contained in nothing: JavaScript's core takes an empty text for no text.
            [_, DataValue::String("")] => false,
            [needle, DataValue::String(text_around)] => text_around.contains(&*text(needle)?),
            [needle, DataValue::Array(items)] => items.iter().any(|item| item == *needle),
            _ => false,
        }))
    }
}

struct Concatenation;

impl CustomOperator for Concatenation {
    fn evaluate<'a>(&self, args: &[&'a DataValue<'a>], _: &mut EvalContext<'_, 'a>, arena: &'a Bump) -> Answer<'a> {
        let mut whole = String::new();
        for arg in args {
            whole.push_str(&text(arg)?);
        }
        Ok(arena.string(&whole))
    }
}

/// `substr`: from a place on, counted from the end where it is negative; so many characters, or up to so many before the
/// end where that is negative.
struct Part;

/// A whole number; what is none is 0.
fn place(value: &DataValue) -> Result<f64> {
    let place = number(value)?;
    Ok(if place.is_nan() { 0.0 } else { place.trunc() })
}

impl CustomOperator for Part {
    fn evaluate<'a>(&self, args: &[&'a DataValue<'a>], _: &mut EvalContext<'_, 'a>, arena: &'a Bump) -> Answer<'a> {
        let [whole, from, rest @ ..] = args else { return Ok(arena.null()) };
        let whole = text(whole)?;
        let count = whole.chars().count() as f64;
        let from = place(from)?;
        let from = if from < 0.0 { (count + from).max(0.0) } else { from.min(count) };
        let until = match rest {
            [] | [DataValue::Null] => count,
            [length, ..] => match place(length)? {
                length if length < 0.0 => (count + length).max(from),
                length => (from + length).min(count),
            },
        };
        let part: String = whole.chars().skip(from as usize).take((until - from) as usize).collect();
        Ok(arena.string(&part))
    }
}

struct Merge;

impl CustomOperator for Merge {
    fn evaluate<'a>(&self, args: &[&'a DataValue<'a>], _: &mut EvalContext<'_, 'a>, arena: &'a Bump) -> Answer<'a> {
        let mut merged = Vec::new();
        for arg in args {
            match arg {
                DataValue::Array(items) => merged.extend_from_slice(items),
                value => merged.push(**value),
            }
        }
        Ok(arena.array(&merged))
    }
}

struct Default;

impl CustomOperator for Default {
    fn evaluate<'a>(&self, args: &[&'a DataValue<'a>], _: &mut EvalContext<'_, 'a>, arena: &'a Bump) -> Answer<'a> {
        Ok(match args {
            [DataValue::Null, default] => default,
            [value, ..] => value,
            [] => arena.null(),
        })
    }
}

struct Member;

impl CustomOperator for Member {
    fn evaluate<'a>(&self, args: &[&'a DataValue<'a>], _: &mut EvalContext<'_, 'a>, arena: &'a Bump) -> Answer<'a> {
        let Some((value, path)) = args.split_first() else { return Ok(arena.null()) };
        let mut value = *value;
        for step in path.iter().filter_map(|step| step.as_str()) {
            let index = || step.parse::<usize>().ok().filter(|index| index.to_string() == step);
            value = match value {
                DataValue::String(text) if step == "length" => arena.i64(text.chars().count() as i64),
                DataValue::Array(items) if step == "length" => arena.i64(items.len() as i64),
                DataValue::String(text) => match index().and_then(|index| text.chars().nth(index)) {
                    Some(character) => arena.string(character.encode_utf8(&mut [0; 4])),
                    None => arena.null(),
                },
                DataValue::Array(items) => index().and_then(|index| items.get(index)).unwrap_or(arena.null()),
                DataValue::Object(entries) => {
                    entries.iter().find(|(name, _)| *name == step).map_or(arena.null(), |(_, value)| value)
                }
                _ => arena.null(),
            };
        }
        Ok(value)
    }
}

struct List;

impl CustomOperator for List {
    fn evaluate<'a>(&self, args: &[&'a DataValue<'a>], _: &mut EvalContext<'_, 'a>, arena: &'a Bump) -> Answer<'a> {
        Ok(match args {
            [DataValue::Null | DataValue::Bool(false) | DataValue::String("")] | [] => arena.array(&[]),
            [DataValue::Number(number), ..] if number.is_zero() => arena.array(&[]),
            [value, ..] => value,
        })
    }
}
