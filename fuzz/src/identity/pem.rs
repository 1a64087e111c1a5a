//! PEM texts: bundles of roots, and chains with their keys. What is read can be written, within limits, and no error
//! repeats what may be a key.

use leno_identity::limits::{MAX_CHAIN, MAX_ROOTS};
use leno_identity::{Bundle, Credential, Error};

use crate::Outcome;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let bundle = Bundle::from_pem("td".parse().expect("a trust domain"), data, 1, "the text");
    let credential = Credential::from_pem(data, data, "the text");
    if let Ok(bundle) = &bundle {
        let roots: Vec<_> = bundle.roots().collect();
        assert!((1..=MAX_ROOTS).contains(&roots.len()), "{} roots", roots.len());
        assert!(roots.iter().enumerate().all(|(at, root)| !roots[..at].contains(root)), "a root twice");
        let again = Bundle::from_pem(bundle.trust_domain().clone(), bundle.to_pem().as_bytes(), 1, "again");
        assert_eq!(again.ok().as_ref(), Some(bundle), "a bundle doesn't survive");
    }
    if let Ok(credential) = &credential {
        assert!((1..=MAX_CHAIN).contains(&credential.chain().len()));
        let (chain, key) = (credential.chain_pem(), credential.key_pem());
        let again = Credential::from_pem(chain.as_bytes(), key.as_bytes(), "again").expect("it survives");
        assert_eq!(again.chain(), credential.chain());
        assert_eq!(again.key().public_key(), credential.key().public_key());
        is_silent(&format!("{credential:?}"), key.as_bytes());
    }
    for error in [bundle.as_ref().err(), credential.as_ref().err()].into_iter().flatten() {
        is_silent(&told(error), data);
    }
    Outcome::accepted_if(bundle.is_ok() || credential.is_ok())
}

fn told(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

/// No line that is long enough to be part of a key is repeated.
fn is_silent(text: &str, pem: &[u8]) {
    for line in pem.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        assert!(line.len() < 24 || line.starts_with("-----") || !text.contains(line), "repeated: {line}");
    }
}
