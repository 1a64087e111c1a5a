//! SPIFFE ids: accepted exactly if they are in the language of the specification (SPIFFE-ID §2), and never changed.

use leno_model::spiffe::{MAX_ID_BYTES, MAX_TRUST_DOMAIN_BYTES, SpiffeId, TrustDomain};

use crate::Outcome;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::Refused };
    let Ok(id) = text.parse::<SpiffeId>() else {
        assert!(!is_id(text), "refused without need");
        return Outcome::Refused;
    };
    assert!(is_id(text), "accepted");
    assert_eq!(id.to_string(), text, "another id than was written");
    assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text, "its parts are not the whole");
    assert_eq!(format!("spiffe://{}", id.principal()), text);
    let domain: TrustDomain = id.trust_domain().parse().expect("a trust domain");
    if let Some((namespace, account)) = id.service_account() {
        assert_eq!(SpiffeId::for_service_account(&domain, namespace, account).as_ref(), Ok(&id));
    }
    // Whatever is put into the place of one segment stays one segment.
    let [namespace, account] = [id.principal(), id.path()];
    if let Ok(made) = SpiffeId::for_service_account(&domain, namespace, account) {
        assert_eq!(made.service_account(), Some((namespace, account)), "segments were smuggled in");
    }
    Outcome::Accepted
}

/// The specification's language, by the letter.
fn is_id(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("spiffe://") else { return false };
    let mut parts = rest.split('/');
    let domain = parts.next().unwrap_or_default();
    let in_domain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_');
    let in_path = |c: char| in_domain(c) || c.is_ascii_uppercase();
    let is_segment =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(in_path);
    text.len() <= MAX_ID_BYTES
        && (1..=MAX_TRUST_DOMAIN_BYTES).contains(&domain.len())
        && domain.chars().all(in_domain)
        && parts.all(is_segment)
}
