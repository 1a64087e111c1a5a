//! Tokens that come with the bootstrap: whoever starts the proxies makes them and tells the control plane.
//!
//! Only hashes are kept, so that a dump of the process gives nobody an identity.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use leno_model::spiffe::SpiffeId;
use leno_wire::Subject;

use crate::limits::{MAX_GIVEN_TOKENS, TOKEN_BYTES};
use crate::server::JoinToken;

/// Whom a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Its identity.
    pub identity: SpiffeId,
    /// The one workload or gateway that its bearer speaks for.
    pub subject: Subject,
}

/// Why a token is not taken. It is never shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Anybody could guess it, or it is no token.
    #[error("the join token of {0} does not have {min} to {max} bytes", min = TOKEN_BYTES.start(), max = TOKEN_BYTES.end())]
    Length(Subject),
    /// Two subjects have the same.
    #[error("the join token of {0} is another's too")]
    Shared(Subject),
    /// There are too many.
    #[error("more than {MAX_GIVEN_TOKENS} join tokens are given")]
    TooMany,
}

/// The tokens that are given.
#[derive(Debug, Default)]
pub struct Given(Mutex<HashMap<[u8; 32], Binding>>);

impl Given {
    /// Takes a token, in the place of an earlier one of its subject.
    ///
    /// # Errors
    /// When it could be guessed, is another's, or is one too many.
    pub fn add(&self, token: &JoinToken) -> Result<(), NotTaken> {
        let secret = token.token.expose();
        if !TOKEN_BYTES.contains(&secret.len()) {
            return Err(NotTaken::Length(token.subject.clone()));
        }
        let binding = Binding { identity: token.identity.clone(), subject: token.subject.clone() };
        let mut tokens = self.lock();
        let digest = sha256(secret);
        match tokens.get(&digest) {
            Some(known) if known.subject != binding.subject => {
                return Err(NotTaken::Shared(token.subject.clone()));
            }
            None if tokens.len() >= MAX_GIVEN_TOKENS => return Err(NotTaken::TooMany),
            Some(_) | None => {}
        }
        tokens.retain(|_, known| known.subject != binding.subject);
        tokens.insert(digest, binding);
        Ok(())
    }

    /// Forgets the tokens of a subject.
    pub fn remove(&self, subject: &Subject) {
        self.lock().retain(|_, binding| binding.subject != *subject);
    }

    /// Whom a token stands for. It is found by its hash, so how long that takes tells nothing of it.
    #[must_use]
    pub fn find(&self, token: &[u8]) -> Option<Binding> {
        self.lock().get(&sha256(token)).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Binding>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.iter_mut().zip(digest(&SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    hash
}
