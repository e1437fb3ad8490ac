//! A webhook gets the row as it stands in the outbox. With a secret it can check who sent it, and when.

use std::time::UNIX_EPOCH;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::news::News;
use super::post::Message;

/// The message for a webhook.
pub fn message(news: &News, secret: &str) -> Message {
    let mut headers = news.headers();
    headers.push(("flagscope-kind", news.kind.to_owned()));
    if !secret.is_empty() {
        let time = news.at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        headers.push(("flagscope-signature", signature(secret, time, news.text)));
    }
    Message { body: news.text.as_bytes().to_vec(), headers }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 by the secret of the seconds, a point and the body.
fn signature(secret: &str, time: u64, body: &str) -> String {
    let Ok(mut code) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return format!("t={time}") };
    code.update(format!("{time}.{body}").as_bytes());
    let hex: String = code.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={time},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_with_its_time() {
        // Source: printf '1700000000.{"a": 1}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            signature("secret", 1_700_000_000, "{\"a\": 1}"),
            "t=1700000000,v1=942c6f7e34ef5c448cbbbf79276da392036d59f0bd9fb74ba14eb8e83e2bb6cd"
        );
    }
}
