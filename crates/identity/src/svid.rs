//! X.509-SVIDs: a workload's certificate chain, its key, and the identity that they prove.

mod rules;

use std::path::Path;
use std::time::SystemTime;

use leno_model::spiffe::SpiffeId;
use rustls::pki_types::CertificateDer;

pub use rules::{Leaf, Violation, leaf};
pub(crate) use rules::{parse, signer};

use crate::credential::Credential;
use crate::error::Error;
use crate::key::KeyPair;

/// A workload's own X.509-SVID with its key. The leaf keeps SPIFFE's rules and the key is the leaf's; whether a peer
/// trusts it depends on the peer's bundle and clock.
#[derive(Clone, Debug)]
pub struct Svid {
    leaf: Leaf,
    credential: Credential,
}

impl Svid {
    /// Joins a chain (leaf first, without the root) and its key.
    ///
    /// # Errors
    /// [`Error::NotSvid`], [`Error::KeyMismatch`], or what [`Credential::new`] finds.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: KeyPair) -> Result<Self, Error> {
        Self::from_credential(Credential::new(chain, key, "an SVID")?, "an SVID")
    }

    /// Reads chain and key from PEM texts; they may be the same.
    ///
    /// # Errors
    /// As [`Svid::new`]; `subject` says in them where the texts came from.
    pub fn from_pem(chain: &[u8], key: &[u8], subject: &str) -> Result<Self, Error> {
        Self::from_credential(Credential::from_pem(chain, key, subject)?, subject)
    }

    /// Reads chain and key from PEM files; they may be the same.
    ///
    /// # Errors
    /// As [`Svid::new`], and [`Error::File`].
    pub fn load(chain: &Path, key: &Path) -> Result<Self, Error> {
        Self::from_credential(Credential::load(chain, key)?, &chain.display().to_string())
    }

    fn from_credential(credential: Credential, subject: &str) -> Result<Self, Error> {
        let not_svid = |source| Error::NotSvid { subject: subject.to_owned(), source };
        let first = credential.chain().first().ok_or_else(|| not_svid(Violation::Malformed))?;
        let leaf = leaf(first).map_err(not_svid)?;
        Ok(Self { leaf, credential })
    }

    /// Who this is.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.leaf.id
    }

    /// First instant of its validity.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.leaf.not_before
    }

    /// Last second of its validity.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.leaf.not_after
    }

    /// Whether peers with a right clock refuse it now.
    #[must_use]
    pub fn expired(&self, now: SystemTime) -> bool {
        now > self.leaf.not_after
    }

    /// Chain and key.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }
}
