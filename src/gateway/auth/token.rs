//! Tokens: what a browser shows to open an event stream. Whose, where, until when, and a code that only we can make.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::key::{from_hex, to_hex};

/// Makes tokens, and reads them.
pub struct Tokens(Vec<u8>);

impl Tokens {
    /// By a secret that replicas have in common; without one by one of our own.
    pub fn new(secret: &str) -> Result<Self, String> {
        let mut own = vec![0; 32];
        if secret.is_empty() {
            getrandom::fill(&mut own).map_err(|problem| format!("no randomness for tokens: {problem}"))?;
        } else {
            own = secret.as_bytes().to_vec();
        }
        Ok(Self(own))
    }

    /// A token.
    pub fn make(&self, id: &str, environment: &str, until: u64) -> String {
        let said = format!("{id}.{}.{until}", to_hex(environment.as_bytes()));
        match self.code(&said) {
            Some(code) => format!("{said}.{}", to_hex(&code.finalize().into_bytes())),
            None => said,
        }
    }

    /// Whose a token is, and where; none if it is over or not ours.
    pub fn read(&self, token: &str, now: u64) -> Option<(String, String)> {
        let (said, code) = token.rsplit_once('.')?;
        // In a time that does not tell where the codes differ.
        self.code(said)?.verify_slice(&from_hex(code)?).ok()?;
        let mut parts = said.split('.');
        let (id, environment, until) = (parts.next()?, parts.next()?, parts.next()?);
        let environment = String::from_utf8(from_hex(environment)?).ok()?;
        (until.parse::<u64>().ok()? > now).then(|| (id.to_owned(), environment))
    }

    fn code(&self, said: &str) -> Option<Hmac<Sha256>> {
        let mut code = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        code.update(said.as_bytes());
        Some(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_tokens_are_read() {
        let (ours, theirs) = (Tokens::new("a").unwrap(), Tokens::new("").unwrap());
        let token = ours.make("shop", "production", 100);
        assert_eq!(ours.read(&token, 99), Some(("shop".to_owned(), "production".to_owned())));
        assert_eq!(ours.read(&token, 100), None);
        assert_eq!(theirs.read(&token, 0), None);
        assert_eq!(ours.read(&token.replace(".100.", ".999."), 99), None);
        for wrong in ["", ".", "a.b.c.d", &token[..token.len() - 1]] {
            assert_eq!(ours.read(wrong, 0), None, "{wrong}");
        }
    }
}
