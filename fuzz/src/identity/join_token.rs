//! Join tokens: one spelling each, and nothing printed that could be redeemed.

use leno_identity::token::{JoinToken, Tokens};

use crate::Outcome;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::Refused };
    let token = match text.parse::<JoinToken>() {
        Ok(token) => token,
        Err(error) => {
            assert!(text.is_empty() || text.len() < 20 || !format!("{error} {error:?}").contains(text));
            return Outcome::Refused;
        }
    };
    let exposed = token.expose();
    assert_eq!(exposed.as_str(), text.trim_ascii(), "two spellings of one token");
    let printed = format!("{token:?}");
    let secret = exposed.split_at_checked("leno-join-".len() + 16).expect("its length is fixed").1;
    assert!(!printed.contains(secret), "the secret is printed");
    let now = std::time::SystemTime::UNIX_EPOCH;
    assert!(Tokens::default().redeem(&token, now).is_err(), "a token that nobody issued");
    Outcome::Accepted
}
