//! API keys, as they are configured: never the key itself, but its digest.

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Sending telemetry.
    Otlp,
    /// Evaluating flags.
    Flags,
    /// Getting all flags with their rules.
    Sync,
    /// Reading in the console.
    Read,
    /// Driving rollouts from the console; who may do that may read there, too.
    Operate,
}

impl Scope {
    /// Whether it is for people, who log in to the console with it, and not for applications.
    pub fn is_of_people(self) -> bool {
        matches!(self, Self::Read | Self::Operate)
    }
}

/// A key.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Its name, for logs and tokens.
    pub id: String,
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
    /// What it is for.
    pub scopes: Vec<Scope>,
    /// Where it counts; empty: everywhere, and by default where the gateway serves.
    pub environments: Vec<String>,
    /// Requests a second.
    pub rate: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    sha256: String,
    scopes: Vec<Scope>,
    #[serde(default)]
    environments: Vec<String>,
    rate: Option<f64>,
}

impl Key {
    /// Whether people log in to the console with it.
    pub fn reads(&self) -> bool {
        self.scopes.iter().any(|scope| scope.is_of_people())
    }

    /// Whether those who log in with it may drive rollouts.
    pub fn operates(&self) -> bool {
        self.scopes.contains(&Scope::Operate)
    }

    /// Whether applications are admitted with it.
    pub fn is_of_applications(&self) -> bool {
        self.scopes.iter().any(|scope| !scope.is_of_people())
    }

    /// Whether it counts in an environment.
    pub fn is_for(&self, environment: &str) -> bool {
        self.environments.is_empty() || self.environments.iter().any(|known| known == environment)
    }

    /// Reads the list `auth.keys` of a file.
    pub fn read_all(value: &toml::Value) -> Result<Vec<Self>, String> {
        let written: Vec<Written> = value.clone().try_into().map_err(|problem| format!("auth.keys: {problem}"))?;
        let keys: Vec<Self> = written.into_iter().map(Self::read).collect::<Result<_, _>>()?;
        match keys.iter().enumerate().find(|(place, key)| keys[..*place].iter().any(|before| before.id == key.id)) {
            Some((_, twice)) => Err(format!("auth.keys: two keys have the id \"{}\"", twice.id)),
            None => Ok(keys),
        }
    }

    fn read(written: Written) -> Result<Self, String> {
        let Written { id, sha256, scopes, environments, rate } = written;
        let fault = |what: &str| format!("auth.keys: key \"{id}\": {what}");
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || !id.chars().all(plain) {
            return Err(fault("an id has letters, digits, - and _"));
        }
        let digest = from_hex(&sha256).and_then(|bytes| bytes.try_into().ok());
        let sha256 =
            digest.ok_or_else(|| fault("sha256 has 64 hexadecimal digits; flagscope-gateway key new makes one"))?;
        if scopes.is_empty() {
            return Err(fault("it has no scopes: otlp, flags, sync, read, operate"));
        }
        if rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err(fault("rate is a number of requests a second above 0"));
        }
        Ok(Self { id, sha256, scopes, environments, rate })
    }
}

/// SHA-256.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A new key, and the line that is configured for it.
pub fn generate() -> Result<(String, String), String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|problem| problem.to_string())?;
    let key = to_hex(&bytes);
    let line = format!(
        "{{ id = \"NAME\", sha256 = \"{}\", scopes = [\"otlp\", \"flags\"] }}",
        to_hex(&digest(key.as_bytes()))
    );
    Ok((key, line))
}

/// Bytes as hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from hexadecimal digits.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let bytes = pairs.iter().map(|&[high, low]| Some((digit(high)? * 16 + digit(low)?) as u8));
    if rest.is_empty() { bytes.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Key>, String> {
        let table: toml::Table = text.parse().unwrap();
        Key::read_all(&table["keys"])
    }

    #[test]
    fn what_is_generated_can_be_configured() {
        let (key, line) = generate().unwrap();
        let keys = read(&format!("keys = [{}]", line.replace("NAME", "shop"))).unwrap();
        assert_eq!((keys[0].sha256, key.len()), (digest(key.as_bytes()), 64));
        assert_eq!(keys[0].scopes, [Scope::Otlp, Scope::Flags]);
    }

    #[test]
    fn mistakes_are_told() {
        let good = "00".repeat(32);
        for (text, told) in [
            (format!("keys = [{{id = 'a b', sha256 = '{good}', scopes = ['otlp']}}]"), "letters, digits"),
            ("keys = [{id = 'a', sha256 = 'x', scopes = ['otlp']}]".to_owned(), "64 hexadecimal digits"),
            (format!("keys = [{{id = 'a', sha256 = '{good}', scopes = []}}]"), "no scopes"),
            (format!("keys = [{{id = 'a', sha256 = '{good}', scopes = ['all']}}]"), "unknown variant"),
            (format!("keys = [{{id = 'a', sha256 = '{good}', scopes = ['otlp'], rate = 0.0}}]"), "above 0"),
            (format!("keys = [{{id = 'a', sha256 = '{good}', scopes = ['otlp'], x = 1}}]"), "unknown field"),
            (
                format!("keys = [{0}, {0}]", format_args!("{{id = 'a', sha256 = '{good}', scopes = ['otlp']}}")),
                "two keys",
            ),
        ] {
            let problem = read(&text).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }
}
