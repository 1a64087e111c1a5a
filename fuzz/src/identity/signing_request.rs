//! Signing requests: accepted only if everything that is said is signed by the key that it is about.

use leno_identity::limits::MAX_CSR_BYTES;
use leno_identity::request::SigningRequest;

use super::der::{SEQUENCE, element};
use crate::Outcome;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Ok(request) = SigningRequest::verify(data) else { return Outcome::Refused };
    assert_eq!(request.der(), data);
    assert!(data.len() <= MAX_CSR_BYTES, "larger than allowed");
    assert!(SigningRequest::verify(&[data, b"\0"].concat()).is_err(), "a byte too many");
    // The signature covers the first of the three parts (RFC 2986 §4.2), so nothing in it can change.
    let (outer, _) = element(data).expect("a sequence");
    let (signed, _) = element(outer.value).expect("what is signed");
    assert_eq!((outer.tag, signed.tag), (SEQUENCE, SEQUENCE));
    let begin = outer.whole.len() - outer.value.len();
    let step = signed.whole.len() / 8 + 1;
    for at in (begin..begin + signed.whole.len()).step_by(step) {
        let mut damaged = data.to_vec();
        damaged[at] ^= 1;
        assert!(SigningRequest::verify(&damaged).is_err(), "signed content may change at {at}");
    }
    Outcome::Accepted
}
