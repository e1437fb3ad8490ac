//! Who may do what: API keys with scopes, environments and rates. They are checked in memory, so neither a wrong key nor
//! a database that is away costs anything.

mod key;
mod rate;
mod token;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::header::{AUTHORIZATION, HeaderMap};

pub use key::{Key, Scope, digest, generate, to_hex};
use rate::Bucket;
pub use token::Tokens;

use crate::config::Config;

/// How long the token of an event stream is good for.
const TOKEN_SECONDS: u64 = 24 * 3600;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no key, or nobody knows it.
    Unknown,
    /// The key is not for this.
    Forbidden,
    /// The key is over its rate; for how many seconds.
    TooMany(u64),
}

impl Refusal {
    /// All that is told.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unknown => "a key is needed",
            Self::Forbidden => "the key is not for this",
            Self::TooMany(_) => "the key is over its rate",
        }
    }
}

/// The keys of a gateway, as they are now: a signal may have them read again.
pub struct Auth {
    known: RwLock<Known>,
    tokens: Tokens,
}

struct Known {
    keys: Vec<(Arc<Key>, Bucket)>,
    required: bool,
}

/// Who asks; none is anybody, where no key is required.
pub type Caller = Option<Arc<Key>>;

impl Known {
    fn new(config: &Config) -> Self {
        let keys = config.keys.iter().map(|key| (Arc::new(key.clone()), Bucket::new(key.rate)));
        Self { keys: keys.collect(), required: config.requires_keys() }
    }
}

impl Auth {
    /// The keys of a configuration.
    pub fn new(config: &Config) -> Result<Self, String> {
        Ok(Self { known: RwLock::new(Known::new(config)), tokens: Tokens::new(&config.token_secret)? })
    }

    /// Takes the keys of another configuration. Tokens stay good whose keys are still there.
    pub fn reload(&self, config: &Config) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Known::new(config);
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose request it is, if it may be made.
    pub fn admit(&self, headers: &HeaderMap, scope: Scope) -> Result<Caller, Refusal> {
        let Some(secret) = secret(headers) else {
            return if self.known().required { Err(Refusal::Unknown) } else { Ok(None) };
        };
        self.identify(secret, |key| key.scopes.contains(&scope)).map(Some)
    }

    /// The key that a secret is, if it is for this.
    pub fn identify(&self, secret: &str, is_for: impl Fn(&Key) -> bool) -> Result<Arc<Key>, Refusal> {
        let digest = digest(secret.as_bytes());
        let known = self.known();
        // All are compared, each in the same time.
        let found = known
            .keys
            .iter()
            .fold(None, |found, known| if same(&known.0.sha256, &digest) { Some(known) } else { found });
        let (key, bucket) = found.ok_or(Refusal::Unknown)?;
        if !is_for(key) {
            return Err(Refusal::Forbidden);
        }
        bucket.take().map_err(Refusal::TooMany)?;
        Ok(Arc::clone(key))
    }

    /// The key of an id.
    pub fn key(&self, id: &str) -> Option<Arc<Key>> {
        self.known().keys.iter().map(|(key, _)| key).find(|key| key.id == id).map(Arc::clone)
    }

    /// A token by which an event stream of a key's environment may be opened: browsers cannot send headers with one.
    pub fn token(&self, key: &Key, environment: &str) -> String {
        self.tokens.make(&key.id, environment, now() + TOKEN_SECONDS)
    }

    /// The environment of a token that is still good, whose key still may read flags.
    pub fn environment_of(&self, token: &str) -> Option<String> {
        let (id, environment) = self.tokens.read(token, now())?;
        let key = self.key(&id)?;
        key.scopes.contains(&Scope::Flags).then_some(environment)
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The key in a request.
fn secret(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, secret) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
    });
    bearer.or_else(|| headers.get("x-api-key")?.to_str().ok())
}

/// Whether two digests are the same, in a time that does not tell where they differ.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn auth() -> Auth {
        let key = Key {
            id: "shop".to_owned(),
            sha256: digest(b"secret"),
            scopes: vec![Scope::Flags],
            environments: vec!["production".to_owned()],
            rate: Some(2.0),
        };
        Auth::new(&Config { keys: vec![key], ..Config::default() }).unwrap()
    }

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(hyper::header::HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn a_key_opens_what_it_is_for() {
        let auth = auth();
        assert_eq!(auth.admit(&HeaderMap::new(), Scope::Flags).err(), Some(Refusal::Unknown));
        assert_eq!(auth.admit(&headers("x-api-key", "guess"), Scope::Flags).err(), Some(Refusal::Unknown));
        assert_eq!(auth.admit(&headers("x-api-key", "secret"), Scope::Otlp).err(), Some(Refusal::Forbidden));
        let bearer = headers("authorization", "bearer secret");
        assert_eq!(auth.admit(&bearer, Scope::Flags).unwrap().map(|key| key.id.clone()).as_deref(), Some("shop"));
        assert!(auth.admit(&headers("x-api-key", "secret"), Scope::Flags).is_ok());
        assert_eq!(auth.admit(&bearer, Scope::Flags).err(), Some(Refusal::TooMany(1)));
    }

    #[test]
    fn without_keys_anybody_may_ask() {
        assert_eq!(Auth::new(&Config::default()).unwrap().admit(&HeaderMap::new(), Scope::Otlp).unwrap(), None);
    }

    #[test]
    fn a_token_opens_its_environment() {
        let auth = auth();
        let token = auth.token(&auth.key("shop").unwrap(), "stäging");
        assert_eq!(auth.environment_of(&token).as_deref(), Some("stäging"));
        assert_eq!(auth.environment_of(&token.replace("shop", "else")), None);
    }

    #[test]
    fn keys_are_taken_anew() {
        let auth = auth();
        let token = auth.token(&auth.key("shop").unwrap(), "staging");
        let key = Key { sha256: digest(b"other"), rate: None, ..(*auth.key("shop").unwrap()).clone() };
        auth.reload(&Config { keys: vec![key], ..Config::default() });
        assert_eq!(auth.admit(&headers("x-api-key", "secret"), Scope::Flags).err(), Some(Refusal::Unknown));
        assert!(auth.admit(&headers("x-api-key", "other"), Scope::Flags).is_ok());
        assert_eq!(auth.environment_of(&token).as_deref(), Some("staging"));
        auth.reload(&Config { auth_required: Some(true), ..Config::default() });
        assert_eq!(auth.environment_of(&token), None);
        assert_eq!(auth.admit(&HeaderMap::new(), Scope::Flags).err(), Some(Refusal::Unknown));
    }
}
