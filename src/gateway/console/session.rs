//! Who asks. People log in with a key; from then on a cookie says who they are, signed by the gateway and good for some hours.
//! Replicas with one `auth.token_secret` take each other's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hyper::header::{COOKIE, HeaderMap};

use super::fault::Fault;
use crate::auth::{Auth, Key, Tokens, now, to_hex};
use crate::config::Config;

/// Name of the cookie.
pub const COOKIE_NAME: &str = "flagscope_console";

/// Makes sessions, and knows those that ended before their time.
pub struct Sessions {
    tokens: Tokens,
    /// How long one lasts.
    pub seconds: u64,
    /// The tokens of those who logged out, until when they would have been good.
    ended: Mutex<HashMap<String, u64>>,
}

/// Somebody who has logged in.
pub struct Session {
    /// Their key.
    pub key: Arc<Key>,
    /// The name that they gave; may be empty where nothing can be done with the key.
    pub name: String,
    token: String,
}

impl Session {
    /// Who decides: the key is known, the name is what its owner says.
    pub fn actor(&self) -> String {
        if self.name.is_empty() { self.key.id.clone() } else { format!("{} ({})", self.name, self.key.id) }
    }
}

impl Sessions {
    /// As it is configured.
    pub fn new(config: &Config) -> Result<Self, String> {
        let tokens = Tokens::new(&config.token_secret)?.apart("console");
        Ok(Self { tokens, seconds: config.console_session.as_secs().max(1), ended: Mutex::default() })
    }

    /// The session that a request shows.
    pub fn of(&self, auth: &Auth, headers: &HeaderMap) -> Option<Session> {
        let token = cookie(headers)?;
        let (id, said) = self.tokens.read(token, now())?;
        let (_, name) = said.split_once(' ')?;
        if self.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains_key(token) {
            return None;
        }
        let key = auth.key(&id).filter(|key| key.reads())?;
        Some(Session { key, name: name.to_owned(), token: token.to_owned() })
    }

    /// What a form of a session's page has, and no other site can know.
    pub fn proof(&self, session: &Session) -> String {
        self.tokens.sign(&format!("form {}", session.token)).unwrap_or_default()
    }

    /// Whether a form is of a page of this session.
    pub fn is_proven(&self, session: &Session, proof: &str) -> bool {
        self.tokens.is_signed(&format!("form {}", session.token), proof)
    }

    /// The token of a new session.
    pub fn begin(&self, key: &Key, name: &str) -> Result<String, Fault> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|problem| Fault::Defect(problem.to_string()))?;
        Ok(self.tokens.make(&key.id, &format!("{} {name}", to_hex(&nonce)), now() + self.seconds))
    }

    /// Ends a session before its time.
    pub fn end(&self, session: &Session) {
        let mut ended = self.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = now();
        ended.retain(|_, until| *until > now);
        ended.insert(session.token.clone(), now + self.seconds);
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Scope, digest};
    use hyper::header::HeaderValue;

    fn config(scopes: Vec<Scope>) -> Config {
        let key =
            Key { id: "ops".to_owned(), sha256: digest(b"secret"), scopes, environments: Vec::new(), rate: None };
        Config { keys: vec![key], token_secret: "s".to_owned(), ..Config::default() }
    }

    fn shown(token: &str) -> HeaderMap {
        let value = HeaderValue::from_str(&format!("a=b; {COOKIE_NAME}={token}")).unwrap();
        HeaderMap::from_iter([(COOKIE, value)])
    }

    #[test]
    fn a_session_is_known_until_it_ends() {
        let config = config(vec![Scope::Operate]);
        let (auth, sessions) = (Auth::new(&config).unwrap(), Sessions::new(&config).unwrap());
        let token = sessions.begin(&auth.key("ops").unwrap(), "Ann Lee").unwrap();
        let session = sessions.of(&auth, &shown(&token)).unwrap();
        assert_eq!(session.actor(), "Ann Lee (ops)");
        assert!(sessions.is_proven(&session, &sessions.proof(&session)));
        let other = sessions.begin(&auth.key("ops").unwrap(), "Ann Lee").unwrap();
        let other = sessions.of(&auth, &shown(&other)).unwrap();
        assert!(!sessions.is_proven(&other, &sessions.proof(&session)));
        sessions.end(&session);
        assert!(sessions.of(&auth, &shown(&token)).is_none());
        assert!(sessions.of(&auth, &shown("ops.00.99999999999.00")).is_none());
        assert!(sessions.of(&auth, &HeaderMap::new()).is_none());
    }

    #[test]
    fn a_key_for_applications_opens_no_session() {
        let (people, applications) = (config(vec![Scope::Read]), config(vec![Scope::Flags]));
        let token = Sessions::new(&people).unwrap().begin(&people.keys[0], "").unwrap();
        let auth = Auth::new(&applications).unwrap();
        assert!(Sessions::new(&applications).unwrap().of(&auth, &shown(&token)).is_none());
        // Nor does the token of an event stream, which stands in addresses.
        let stream = Auth::new(&people).unwrap().token(&people.keys[0], "00 ann");
        assert!(Sessions::new(&people).unwrap().of(&Auth::new(&people).unwrap(), &shown(&stream)).is_none());
    }
}
