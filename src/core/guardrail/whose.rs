//! Whose data a guardrail reads: the treatment's, that of named variants, or all of its metric in the environment.

use std::borrow::Cow;

/// What to look at when data of a variant is missing.
const IS_IT_SERVED: &str = "Is it served, and does the telemetry name the flag?";

/// Whose data a guardrail reads, for its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// Is it that of the treatment.
    pub is_treatment: bool,
    /// "with the treatment": of a value.
    pub with: Cow<'static, str>,
    /// "of the treatment": of data, or of its absence.
    pub of: Cow<'static, str>,
    /// What to look at when there is none.
    pub asks: &'static str,
    /// Why there is no baseline: what has too short a past; `None`: the control has.
    pub lacks_past: Option<String>,
}

impl Default for Whose {
    fn default() -> Self {
        let (with, of) = ("with the treatment".into(), "of the treatment".into());
        Self { is_treatment: true, with, of, asks: IS_IT_SERVED, lacks_past: None }
    }
}

impl Whose {
    /// All rows of the metric in the environment, with or without flags.
    pub fn environment() -> Self {
        let words = "in the environment";
        let lacks_past = Some("the environment".to_owned());
        let asks = "Does anything send it?";
        Self { is_treatment: false, with: words.into(), of: words.into(), asks, lacks_past }
    }

    /// Variants by name; none: the treatment.
    pub fn variants(names: &[String]) -> Self {
        if names.is_empty() {
            return Self::default();
        }
        let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let several = if names.len() == 1 { "variant" } else { "variants" };
        let named = format!("{several} {}", quoted.join(", "));
        let (with, of) = (format!("with {named}").into(), format!("of {named}").into());
        Self { is_treatment: false, with, of, asks: IS_IT_SERVED, lacks_past: Some(named) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whose_data_it_is() {
        let told = |whose: &Whose| format!("{} / {}", whose.with, whose.of);
        assert_eq!(told(&Whose::variants(&[])), "with the treatment / of the treatment");
        assert_eq!(told(&Whose::environment()), "in the environment / in the environment");
        let beta = ["beta".to_owned(), "inner".to_owned()];
        assert_eq!(told(&Whose::variants(&beta[..1])), "with variant \"beta\" / of variant \"beta\"");
        assert_eq!(
            told(&Whose::variants(&beta)),
            "with variants \"beta\", \"inner\" / of variants \"beta\", \"inner\""
        );
    }
}
