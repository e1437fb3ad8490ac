//! Tokens: what a browser shows to open an event stream, or a session of the console. Whose, for what, until when, and a code
//! that only we can make.

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

    /// Tokens for another purpose, by the same secret: one is never taken for the other.
    pub fn apart(&self, purpose: &str) -> Self {
        Self(self.sign(purpose).unwrap_or_default().into_bytes())
    }

    /// A token of a key for something, like an environment.
    pub fn make(&self, id: &str, about: &str, until: u64) -> String {
        let said = format!("{id}.{}.{until}", to_hex(about.as_bytes()));
        match self.sign(&said) {
            Some(code) => format!("{said}.{code}"),
            None => said,
        }
    }

    /// The code of a text, in hexadecimal digits.
    pub fn sign(&self, said: &str) -> Option<String> {
        Some(to_hex(&self.code(said)?.finalize().into_bytes()))
    }

    /// Whether a code is that of a text, in a time that does not tell where they differ.
    pub fn is_signed(&self, said: &str, code: &str) -> bool {
        let code = from_hex(code).and_then(|code| Some((self.code(said)?, code)));
        code.is_some_and(|(ours, theirs)| ours.verify_slice(&theirs).is_ok())
    }

    /// Whose a token is, and for what; none if it is over or not ours.
    pub fn read(&self, token: &str, now: u64) -> Option<(String, String)> {
        let (said, code) = token.rsplit_once('.')?;
        if !self.is_signed(said, code) {
            return None;
        }
        let mut parts = said.split('.');
        let (id, about, until) = (parts.next()?, parts.next()?, parts.next()?);
        let about = String::from_utf8(from_hex(about)?).ok()?;
        (until.parse::<u64>().ok()? > now).then(|| (id.to_owned(), about))
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
        assert_eq!(ours.apart("console").read(&token, 0), None);
        let session = ours.apart("console").make("shop", "ann", 100);
        assert_eq!(ours.read(&session, 0), None);
        assert!(Tokens::new("a").unwrap().apart("console").read(&session, 0).is_some());
        assert_eq!(ours.read(&token.replace(".100.", ".999."), 99), None);
        for wrong in ["", ".", "a.b.c.d", &token[..token.len() - 1]] {
            assert_eq!(ours.read(wrong, 0), None, "{wrong}");
        }
    }
}
