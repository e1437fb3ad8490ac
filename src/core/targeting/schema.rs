//! The JSON Schema that a flag's values can be held to.
//!
//! Drafts 4 to 2020-12, by `$schema`, else the latest; the crate `jsonschema` does the work. References to other documents
//! are refused: a database fetches nothing.

use serde_json::{Map, Value};

use super::Problem;
use crate::{Error, Kind, Result};

/// Holds every variant's value against a schema. What does not fit is a problem, its path a JSON pointer that starts with
/// the variant's name; a schema that is none is an error.
pub fn check_values(schema: &Value, variants: &Map<String, Value>) -> Result<Vec<Problem>> {
    let validator = jsonschema::validator_for(schema).map_err(|problem| {
        let place = problem.instance_path().to_string();
        let place = if place.is_empty() { String::new() } else { format!(" at {place}") };
        Error::new(Kind::InvalidParameter, format!("not a JSON Schema: {problem}{place}")).hint(
            "Write it like {\"type\": \"object\", \"required\": [\"color\"]}; references stay inside the schema.",
        )
    })?;
    let mut problems = Vec::new();
    for (name, value) in variants {
        problems.extend(validator.iter_errors(value).map(|problem| Problem {
            path: format!("/{name}{}", problem.instance_path()),
            message: problem.to_string(),
            hint: "Mend the variant's value, or the schema.".into(),
            error: Some(Kind::InvalidParameter),
        }));
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(schema: Value, variants: Value) -> Vec<String> {
        let problems = check_values(&schema, variants.as_object().unwrap()).unwrap();
        problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    }

    #[test]
    fn values_are_held_to_the_schema() {
        let schema = json!({
            "type": "object", "required": ["color"], "additionalProperties": false,
            "properties": {"color": {"type": "string", "pattern": "^#[0-9a-f]{3}$"}, "size": {"$ref": "#/$defs/size"}},
            "$defs": {"size": {"type": "integer", "minimum": 1}}
        });
        assert_eq!(
            check(schema.clone(), json!({"a": {"color": "#fff"}, "b": {"color": "#000", "size": 2}})),
            [""; 0]
        );
        assert_eq!(
            check(schema, json!({"a": {"size": 0}, "b": {"color": "red", "more": 1}})),
            [
                "/a/size: 0 is less than the minimum of 1",
                "/a: \"color\" is a required property",
                "/b/color: \"red\" does not match \"^#[0-9a-f]{3}$\"",
                "/b: Additional properties are not allowed ('more' was unexpected)",
            ]
        );
    }

    #[test]
    fn a_schema_that_is_none_is_an_error() {
        let refused = |schema: Value| check_values(&schema, &Map::new()).unwrap_err().message;
        assert_eq!(
            refused(json!({"type": "colour"})),
            "not a JSON Schema: \"colour\" is not valid under any of the schemas listed in the 'anyOf' keyword at /type"
        );
        assert_eq!(refused(json!(7)), "not a JSON Schema: 7 is not of types \"boolean\", \"object\"");
        assert_eq!(refused(json!({"$ref": "#/$defs/no"})), "not a JSON Schema: Pointer '/$defs/no' does not exist");
        assert_eq!(refused(json!({"pattern": "("})), "not a JSON Schema: \"(\" is not a \"regex\" at /pattern");
        let elsewhere = refused(json!({"$ref": "https://example.com/schema.json"}));
        assert!(
            elsewhere.starts_with("not a JSON Schema: Resource 'https://example.com/schema.json' is not present")
        );
    }
}
