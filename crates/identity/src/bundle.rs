//! Trust bundles: the roots that a trust domain's identities lead to (SPIFFE Trust Domain and Bundle §4).
//!
//! Bundles of different trust domains are never merged: an identity is verified against its own domain's roots alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use leno_model::spiffe::TrustDomain;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use crate::error::Error;
use crate::limits::MAX_ROOTS;
use crate::svid::Violation;
use crate::{pem, svid};

/// One trust domain's roots. Several at once let a root be replaced without a gap. No roots at all is a valid bundle
/// and means that nobody of that domain is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    trust_domain: TrustDomain,
    roots: Vec<Root>,
    sequence: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Root {
    der: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Bundle {
    /// Makes a bundle; equal roots count once. `sequence` grows with every change of the domain's roots.
    ///
    /// # Errors
    /// [`Error::NotRoot`] or [`Error::TooMany`].
    pub fn new(
        trust_domain: TrustDomain,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
        sequence: u64,
    ) -> Result<Self, Error> {
        let mut bundle = Self { trust_domain, roots: Vec::new(), sequence };
        for der in roots {
            if bundle.roots().any(|known| *known == der) {
                continue;
            }
            if bundle.roots.len() == MAX_ROOTS {
                let subject = bundle.trust_domain.to_string();
                return Err(Error::TooMany { subject, what: "roots of trust", limit: MAX_ROOTS });
            }
            let not_root = |source| Error::NotRoot { subject: bundle.trust_domain.to_string(), source };
            let (not_before, not_after) =
                svid::signer(&der, bundle.trust_domain.as_str()).map_err(not_root)?;
            let anchor = webpki::anchor_from_trusted_cert(&der)
                .map_err(|_detail| not_root(Violation::Malformed))?
                .to_owned();
            bundle.roots.push(Root { der, anchor, not_before, not_after });
        }
        Ok(bundle)
    }

    /// Reads the roots from a PEM text; at least one.
    ///
    /// # Errors
    /// As [`Bundle::new`], and [`Error::Pem`]. `subject` says in the latter where the text came from.
    pub fn from_pem(
        trust_domain: TrustDomain,
        pem: &[u8],
        sequence: u64,
        subject: &str,
    ) -> Result<Self, Error> {
        Self::new(trust_domain, pem::certificates(pem, subject)?, sequence)
    }

    /// Reads the roots from a PEM file, as sequence 0.
    ///
    /// # Errors
    /// As [`Bundle::from_pem`], and [`Error::File`].
    pub fn load(trust_domain: TrustDomain, path: &Path) -> Result<Self, Error> {
        Self::from_pem(trust_domain, &pem::read(path)?, 0, &path.display().to_string())
    }

    /// The domain whose roots these are.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The roots.
    pub fn roots(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.roots.iter().map(|root| &root.der)
    }

    /// How often the domain's roots have changed; a lower number is an older bundle.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The roots as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::certificates_text(self.roots())
    }

    /// The roots that are valid now, as path validation takes them.
    pub(crate) fn anchors(&self, now: SystemTime) -> Vec<TrustAnchor<'_>> {
        let valid = |root: &&Root| (root.not_before..=root.not_after).contains(&now);
        self.roots.iter().filter(valid).map(|root| root.anchor.clone()).collect()
    }
}

/// The bundles that a workload holds: its own domain's and those of federated domains. Immutable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundles(BTreeMap<String, Arc<Bundle>>);

impl Bundles {
    /// Collects bundles of different trust domains.
    ///
    /// # Errors
    /// [`Error::DuplicateTrustDomain`].
    pub fn new(bundles: impl IntoIterator<Item = Arc<Bundle>>) -> Result<Self, Error> {
        let mut all = BTreeMap::new();
        for bundle in bundles {
            let trust_domain = bundle.trust_domain.to_string();
            if all.insert(trust_domain.clone(), bundle).is_some() {
                return Err(Error::DuplicateTrustDomain { trust_domain });
            }
        }
        Ok(Self(all))
    }

    /// The bundle of a trust domain.
    #[must_use]
    pub fn bundle(&self, trust_domain: &str) -> Option<&Arc<Bundle>> {
        self.0.get(trust_domain)
    }

    /// Every bundle, by trust domain.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Bundle>> {
        self.0.values()
    }
}

impl From<Bundle> for Bundles {
    fn from(bundle: Bundle) -> Self {
        Self(BTreeMap::from([(bundle.trust_domain.to_string(), Arc::new(bundle))]))
    }
}
