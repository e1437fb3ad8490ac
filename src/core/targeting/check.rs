//! Checks a targeting rule and prepares it for the engine: what is wrong with it, and where.
//!
//! Preparing replaces `$ref` by segments, gives `fractional` its flag and bucketing, and makes loops pay (`meter.rs`).
//! Paths are JSON pointers (RFC 6901) into the rule; inside a segment they begin with `/$evaluators/`.

use datalogic_rs::datavalue::{NumberValue, OwnedDataValue};
use serde_json::{Map, Value};

use super::{Bucketing, advice, loose, operator};
use crate::{Kind, names};

/// Limit of a rule with its segments (bytes of JSON, approximately): far beyond any written by hand, but compiled in 5
/// ms, and without loops evaluated in at most 2 s (measured: 1,000 comparisons of large objects).
pub const MAX_RULE_BYTES: usize = 64 * 1024;

/// Limit of the nesting of operators and arrays, including segments. Compiling and evaluating recurse: this depth takes
/// at most 0.15 MB of stack (measured; 5.5 MB without optimisation); PostgreSQL allows 2 MB by default.
pub const MAX_RULE_DEPTH: usize = 64;

/// The longest list of problems: a hostile rule has tens of thousands.
const MAX_PROBLEMS: usize = 100;

/// A rule that reads the context more often than this pays for what it copies, like loops.
const MAX_FREE_READS: usize = 64;

/// flagd's operators with the minimum and maximum number of reasonable arguments. `?:` is another name of `if` that
/// flagd's engines accept but its schema does not.
/// flagd's engines know and its schema does not.
const OPERATORS: [(&str, usize, usize); 38] = [
    ("var", 0, 2),
    ("missing", 0, usize::MAX),
    ("missing_some", 2, 2),
    ("if", 1, usize::MAX),
    ("?:", 3, 3),
    ("==", 2, 2),
    ("===", 2, 2),
    ("!=", 2, 2),
    ("!==", 2, 2),
    ("!", 1, 1),
    ("!!", 1, 1),
    ("or", 1, usize::MAX),
    ("and", 1, usize::MAX),
    (">", 2, 3),
    (">=", 2, 3),
    ("<", 2, 3),
    ("<=", 2, 3),
    ("max", 1, usize::MAX),
    ("min", 1, usize::MAX),
    ("+", 1, usize::MAX),
    ("-", 1, 2),
    ("*", 1, usize::MAX),
    ("/", 2, 2),
    ("%", 2, 2),
    ("map", 2, 2),
    ("reduce", 2, 3),
    ("filter", 2, 2),
    ("all", 2, 2),
    ("none", 2, 2),
    ("some", 2, 2),
    ("merge", 0, usize::MAX),
    ("in", 2, 2),
    ("cat", 0, usize::MAX),
    ("substr", 2, 3),
    ("fractional", 1, usize::MAX),
    ("starts_with", 2, 2),
    ("ends_with", 2, 2),
    ("sem_ver", 3, 3),
];

/// What there is for a name that resembles none.
const OWN: &str = "Operators are those of JsonLogic (var, if, ==, in, and, or ...) and flagd's fractional, starts_with, \
    ends_with and sem_ver.";

/// Something wrong with a rule or a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: a JSON pointer.
    pub path: String,
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// The kind of error that using it causes; None for a warning: it works, but probably not as intended.
    pub error: Option<Kind>,
}

/// Checks a targeting rule against the segments that it may refer to. No problems: every flagd client accepts it.
pub fn check(targeting: &Value, segments: &Map<String, Value>) -> Vec<Problem> {
    let mut walk = Walk::new(segments, "", Bucketing::V2);
    walk.rule(targeting);
    walk.problems
}

/// A rule as the engine gets it.
pub(super) struct Prepared {
    pub(super) logic: OwnedDataValue,
    /// About its length as JSON.
    pub(super) bytes: usize,
}

/// Prepares a rule for the engine, or returns the first problem that makes it impossible.
pub(super) fn prepare(
    targeting: &Value,
    segments: &Map<String, Value>,
    bucketing: Bucketing,
    flag: &str,
) -> Result<Prepared, Problem> {
    let mut walk = Walk::new(segments, flag, bucketing);
    let mut logic = walk.rule(targeting);
    if walk.costly || walk.reads > MAX_FREE_READS {
        walk = Walk { pays: true, ..Walk::new(segments, flag, bucketing) };
        logic = walk.rule(targeting);
    }
    let bytes = walk.bytes;
    match walk.problems.into_iter().find(|problem| problem.error.is_some()) {
        Some(problem) => Err(problem),
        None => Ok(Prepared { logic, bytes }),
    }
}

struct Walk<'r> {
    segments: &'r Map<String, Value>,
    flag: &'r str,
    bucketing: Bucketing,
    path: String,
    /// Segments that the walk is in.
    inside: Vec<&'r str>,
    problems: Vec<Problem>,
    bytes: usize,
    nodes: usize,
    reads: usize,
    /// Whether the rule has loops, or looks for names that the context gives.
    costly: bool,
    /// Whether what may grow is wrapped so that it pays.
    pays: bool,
}

impl<'r> Walk<'r> {
    fn new(segments: &'r Map<String, Value>, flag: &'r str, bucketing: Bucketing) -> Self {
        Self {
            segments,
            flag,
            bucketing,
            path: String::new(),
            inside: Vec::new(),
            problems: Vec::new(),
            bytes: 0,
            nodes: 0,
            reads: 0,
            costly: false,
            pays: false,
        }
    }

    fn problem(&mut self, error: Option<Kind>, message: impl Into<String>, hint: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            let (message, hint) = (message.into(), hint.into());
            self.problems.push(Problem { path: self.path.clone(), message, hint, error });
        }
    }

    fn rule(&mut self, targeting: &'r Value) -> OwnedDataValue {
        if !targeting.is_object() {
            let hint = r#"Write it like {"if": [{"==": [{"var": "country"}, "CH"]}, "on", "off"]}."#;
            self.problem(Some(Kind::InvalidParameter), "targeting is not an object", hint);
            return OwnedDataValue::Null;
        }
        self.node(targeting, 0)
    }

    /// One value of the rule; null for what exceeds a limit, with the problem noted.
    fn node(&mut self, value: &'r Value, depth: usize) -> OwnedDataValue {
        if self.bytes > MAX_RULE_BYTES {
            return OwnedDataValue::Null;
        }
        self.nodes += 1;
        self.bytes += 2 + value.as_str().map_or(0, str::len) + value.as_f64().map_or(0, |_| 4);
        if self.bytes > MAX_RULE_BYTES {
            let message = format!("the rule is longer than {MAX_RULE_BYTES} bytes");
            let hint = "Segments count each time they are used. Let the application say in the context what long lists say here.";
            self.problem(Some(Kind::LimitExceeded), message, hint);
            return OwnedDataValue::Null;
        }
        if depth > MAX_RULE_DEPTH {
            let message = format!("the rule is deeper than {MAX_RULE_DEPTH} levels");
            let hint =
                "One \"if\" takes many pairs of condition and result, \"and\" and \"or\" take many conditions.";
            self.problem(Some(Kind::LimitExceeded), message, hint);
            return OwnedDataValue::Null;
        }
        match value {
            Value::Array(items) => OwnedDataValue::Array(self.items(items, depth)),
            Value::Object(entries) => self.object(entries, depth),
            scalar => OwnedDataValue::from(scalar),
        }
    }

    fn items(&mut self, items: &'r [Value], depth: usize) -> Vec<OwnedDataValue> {
        items
            .iter()
            .enumerate()
            .map(|(index, item)| self.within(&index.to_string(), |walk| walk.node(item, depth + 1)))
            .collect()
    }

    /// Walks one step deeper.
    fn within<T>(&mut self, step: &str, visit: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(&step.replace('~', "~0").replace('/', "~1"));
        let visited = visit(self);
        self.path.truncate(length);
        visited
    }

    fn object(&mut self, entries: &'r Map<String, Value>, depth: usize) -> OwnedDataValue {
        let mut entries = entries.iter();
        match (entries.next(), entries.next()) {
            (None, _) => OwnedDataValue::Object(Vec::new()),
            (Some((name, args)), None) => {
                self.bytes += name.len() + 3;
                self.within(name, |walk| walk.operator(name, args, depth))
            }
            (Some(_), Some((second, _))) => {
                let message = format!("an operator is an object with one key, this one has \"{second}\" too");
                let hint = r#"Join several by {"and": [...]} or {"or": [...]}."#;
                self.problem(Some(Kind::InvalidParameter), message, hint);
                OwnedDataValue::Null
            }
        }
    }

    fn operator(&mut self, name: &'r str, args: &'r Value, depth: usize) -> OwnedDataValue {
        if name == "$ref" {
            return self.segment(args, depth);
        }
        let Some((_, least, most)) = OPERATORS.into_iter().find(|(known, ..)| *known == name) else {
            let known = OPERATORS.map(|(known, ..)| known);
            let near = Some(names::hint(name, &known, "")).filter(|hint| hint.starts_with("Did you mean"));
            let hint = near.unwrap_or_else(|| OWN.to_owned());
            self.problem(Some(Kind::InvalidParameter), format!("unknown operator \"{name}\""), hint);
            return OwnedDataValue::Null;
        };
        let count = args.as_array().map_or(1, Vec::len);
        if count < least || count > most {
            let wanted = if least == most { least.to_string() } else { format!("{least} or more") };
            let wanted = if most < usize::MAX && least < most { format!("{least} to {most}") } else { wanted };
            let hint = format!("All of them stand in one list: {{\"{name}\": [...]}}.");
            self.problem(None, format!("\"{name}\" takes {wanted} arguments, not {count}"), hint);
        } else if let Some((message, hint)) = advice::on(name, args) {
            self.problem(None, message, hint);
        }
        self.build(name, args, depth)
    }

    fn build(&mut self, name: &'r str, args: &'r Value, depth: usize) -> OwnedDataValue {
        self.reads += usize::from(name == "var");
        let single = !args.is_array();
        let mut built = match args {
            Value::Array(items) => self.arguments(name, items, depth),
            other => vec![self.node(other, depth + 1)],
        };
        if name == "fractional" {
            built.insert(0, OwnedDataValue::String(self.flag.to_owned()));
            return call(operator::fractional_name(self.bucketing), built);
        }
        match name {
            "var" => return variable(built, single),
            "cat" | "merge" | "substr" if self.pays => {
                built = built.into_iter().map(|value| charged(operator::CHARGE, 1, value)).collect();
            }
            "missing" | "missing_some" => {
                self.costly |= built.iter().any(reads);
                if self.pays {
                    built = built.into_iter().map(|value| charged(operator::CHARGE_NAMES, 1, value)).collect();
                }
            }
            _ => {}
        }
        if let Some(own) = loose::name(name, single, built.len()) {
            return call(own, built);
        }
        // `and`, `or` and `if` need a list; for others, a single argument may replace it.
        match (single, built.len()) {
            (true, 1) => OwnedDataValue::Object(vec![(name.to_owned(), built.remove(0))]),
            _ => call(name, built),
        }
    }

    /// The arguments of an operator; of a loop, the body pays for each iteration.
    fn arguments(&mut self, name: &str, items: &'r [Value], depth: usize) -> Vec<OwnedDataValue> {
        let turns = matches!(name, "map" | "filter" | "reduce" | "all" | "some" | "none");
        self.costly |= turns;
        let mut built = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let before = self.nodes;
            let value = self.within(&index.to_string(), |walk| walk.node(item, depth + 1));
            let pays = self.pays && turns && index == 1;
            let units = (self.nodes - before) as i64;
            built.push(match name {
                "map" | "filter" if index == 0 => call(loose::LIST, vec![value]),
                _ if pays => charged(operator::CHARGE, units, value),
                _ => value,
            });
        }
        built
    }

    fn segment(&mut self, args: &'r Value, depth: usize) -> OwnedDataValue {
        let Some((name, rule)) = args.as_str().and_then(|name| self.segments.get_key_value(name)) else {
            let known: Vec<&str> = self.segments.keys().map(String::as_str).collect();
            let otherwise = "Create it with flagscope.create_segment(name, rule).";
            let hint = names::hint(args.as_str().unwrap_or_default(), &known, otherwise);
            self.problem(Some(Kind::InvalidParameter), format!("no segment {args} for \"$ref\""), hint);
            return OwnedDataValue::Null;
        };
        if self.inside.contains(&name.as_str()) {
            let hint = "Write the condition out in one of the segments that refer to each other.";
            self.problem(Some(Kind::InvalidParameter), format!("segment \"{name}\" refers to itself"), hint);
            return OwnedDataValue::Null;
        }
        let outer = std::mem::take(&mut self.path);
        self.inside.push(name);
        let built = self.within("$evaluators", |walk| walk.within(name, |walk| walk.node(rule, depth + 1)));
        self.inside.pop();
        self.path = outer;
        built
    }
}

fn call(name: &str, args: Vec<OwnedDataValue>) -> OwnedDataValue {
    OwnedDataValue::Object(vec![(name.to_owned(), OwnedDataValue::Array(args))])
}

/// `var` as the engine gets it: its own for the way through objects, ours for steps that may lead into a text or a list,
/// and for the default.
fn variable(mut built: Vec<OwnedDataValue>, single: bool) -> OwnedDataValue {
    let default = (built.len() == 2).then(|| built.pop()).flatten();
    let mut inside = Vec::new();
    if let [OwnedDataValue::String(path)] = built.as_mut_slice() {
        let steps: Vec<&str> = path.split('.').collect();
        let leads_inside = |step: &&str| *step == "length" || step.parse::<usize>().is_ok();
        let outside = steps.iter().skip(1).position(leads_inside).map_or(steps.len(), |index| index + 1);
        inside = steps[outside..].iter().map(|step| OwnedDataValue::String((*step).to_owned())).collect();
        *path = steps[..outside].join(".");
    }
    let mut value = match (single, built.len()) {
        (true, 1) => OwnedDataValue::Object(vec![("var".to_owned(), built.remove(0))]),
        _ => call("var", built),
    };
    if !inside.is_empty() {
        inside.insert(0, value);
        value = call(loose::MEMBER, inside);
    }
    match default {
        // Evaluated only where it is needed, because it may fail.
        Some(default) if reads(&default) => {
            let is_null = call("===", vec![value.clone(), OwnedDataValue::Null]);
            call("if", vec![is_null, default, value])
        }
        Some(default) => call(loose::DEFAULT, vec![value, default]),
        None => value,
    }
}

/// Whether a value contains operators.
fn reads(value: &OwnedDataValue) -> bool {
    match value {
        OwnedDataValue::Array(items) => items.iter().any(reads),
        OwnedDataValue::Object(entries) => !entries.is_empty(),
        _ => false,
    }
}

/// The same value with payment; literals are free.
fn charged(operator: &str, units: i64, value: OwnedDataValue) -> OwnedDataValue {
    if !reads(&value) {
        return value;
    }
    call(operator, vec![OwnedDataValue::Number(NumberValue::Integer(units)), value])
}
