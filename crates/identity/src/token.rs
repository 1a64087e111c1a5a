//! Join tokens: how a workload without an SVID gets its first one.
//!
//! A token is a random secret bound to one identity and a short life. The control side keeps a hash of it only, so its
//! state gives nobody an identity, and compares in constant time. A token travels by inherited descriptor or file,
//! never in arguments or environment.

mod file;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leno_model::spiffe::SpiffeId;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::limits::{MAX_TOKEN_LIFE, MAX_TOKENS};
use crate::octets::Hex;
use crate::{clock, octets};

const PREFIX: &str = "leno-join-";
const SELECTOR_BYTES: usize = 12;
const SECRET_BYTES: usize = 24;
const TOKEN_BYTES: usize = SELECTOR_BYTES + SECRET_BYTES;

/// A token, as its bearer holds it. Prints as its public part; wiped when dropped.
#[derive(Clone)]
pub struct JoinToken(Zeroizing<[u8; TOKEN_BYTES]>);

/// The text is not a join token at all. It is not repeated, since it may be a mistyped one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a join token: it begins with `leno-join-` and 48 characters of A-Z, a-z, 0-9, '-' and '_' follow"
)]
pub struct NotToken;

impl JoinToken {
    fn generate() -> Result<Self, Error> {
        Ok(Self(Zeroizing::new(octets::random()?)))
    }

    /// The token as text, wiped when dropped: whoever copies it owns a secret.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        // Room for all of it, since growing would leave an unwiped copy behind.
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + TOKEN_BYTES * 2));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(self.0.as_ref(), &mut text);
        text
    }

    /// The public part, which finds the record.
    fn selector(&self) -> Selector {
        let (selector, _secret) = self.0.split_first_chunk().unwrap_or((&[0; SELECTOR_BYTES], &[]));
        Selector(*selector)
    }

    fn digest(&self) -> [u8; 32] {
        octets::sha256(self.0.as_ref())
    }
}

impl FromStr for JoinToken {
    type Err = NotToken;

    fn from_str(text: &str) -> Result<Self, NotToken> {
        let body = text.trim_ascii().strip_prefix(PREFIX).ok_or(NotToken)?;
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        match URL_SAFE_NO_PAD.decode_slice(body, bytes.as_mut()) {
            Ok(TOKEN_BYTES) => Ok(Self(bytes)),
            _ => Err(NotToken),
        }
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({}, secret)", Hex(&self.selector().0))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Selector([u8; SELECTOR_BYTES]);

/// How often a token may be redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uses {
    /// Once; a token that was seen on the way is worth nothing afterwards.
    Once,
    /// Until it expires: for workloads that must come back after their SVID has ended.
    Many,
}

/// Why a token gives no identity. The bearer is told nothing but that it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It was never issued, was redeemed or revoked, or its secret is wrong.
    #[error("the join token is unknown, used up or revoked")]
    Unknown,
    /// Its life has ended.
    #[error("the join token has expired")]
    Expired,
}

/// The control side's record of tokens. It holds nothing that could be redeemed.
#[derive(Debug, Default)]
pub struct Tokens(HashMap<Selector, Record>);

#[derive(Debug)]
struct Record {
    digest: [u8; 32],
    id: SpiffeId,
    expires: SystemTime,
    uses: Uses,
}

impl Tokens {
    /// Makes a token for one identity, good for `life` (at most [`MAX_TOKEN_LIFE`]). Forgets expired ones.
    ///
    /// # Errors
    /// [`Error::TooMany`] when [`MAX_TOKENS`] are outstanding, [`Error::Crypto`].
    pub fn issue(
        &mut self,
        id: SpiffeId,
        life: Duration,
        uses: Uses,
        now: SystemTime,
    ) -> Result<JoinToken, Error> {
        self.0.retain(|_, record| now < record.expires);
        if self.0.len() >= MAX_TOKENS {
            let subject = "the token registry".to_owned();
            return Err(Error::TooMany { subject, what: "outstanding join tokens", limit: MAX_TOKENS });
        }
        let token = JoinToken::generate()?;
        let expires = clock::whole_seconds(now.checked_add(life.min(MAX_TOKEN_LIFE)).unwrap_or(now));
        self.0.insert(token.selector(), Record { digest: token.digest(), id, expires, uses });
        Ok(token)
    }

    /// The identity that a token stands for. A token good for once is gone afterwards.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn redeem(&mut self, token: &JoinToken, now: SystemTime) -> Result<SpiffeId, Refused> {
        let selector = token.selector();
        let record = self.0.get(&selector).ok_or(Refused::Unknown)?;
        verify_slices_are_equal(&record.digest, &token.digest()).map_err(|_different| Refused::Unknown)?;
        if now >= record.expires {
            self.0.remove(&selector);
            return Err(Refused::Expired);
        }
        let id = record.id.clone();
        if record.uses == Uses::Once {
            self.0.remove(&selector);
        }
        Ok(id)
    }

    /// Makes every token of an identity worthless.
    pub fn revoke(&mut self, id: &SpiffeId) {
        self.0.retain(|_, record| record.id != *id);
    }

    /// How many tokens are outstanding, expired ones included until the next is issued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no token is outstanding.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
