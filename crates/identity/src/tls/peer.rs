//! Who is at the other end of a mesh connection.

use std::fmt;
use std::time::SystemTime;

use leno_model::spiffe::SpiffeId;
use rustls::pki_types::CertificateDer;

pub use super::verify::{Side, trusted};
use crate::bundle::Bundles;
use crate::error::Error;
use crate::octets::{self, Hex};
use crate::svid;

/// A peer, as its certificate shows it. Relying on it presumes that a mesh configuration's handshake verified the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub id: SpiffeId,
    /// Last second of its certificate's validity.
    pub not_after: SystemTime,
    /// SHA-256 of its certificate.
    pub fingerprint: Fingerprint,
}

/// SHA-256 of a certificate's DER; prints as the lower-case hex of XFCC's `Hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of any certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(octets::sha256(certificate))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl Peer {
    /// Reads the peer's leaf. `certificates` is what the connection's `peer_certificates()` returns after the handshake.
    ///
    /// # Errors
    /// [`Error::NoPeerIdentity`] without a certificate, [`Error::NotSvid`] for one that no mesh handshake lets pass.
    pub fn of(certificates: Option<&[CertificateDer<'_>]>) -> Result<Self, Error> {
        let leaf = certificates.and_then(<[_]>::first).ok_or(Error::NoPeerIdentity)?;
        let not_svid = |source| Error::NotSvid { subject: "the peer's certificate".to_owned(), source };
        let found = svid::leaf(leaf).map_err(not_svid)?;
        Ok(Self { id: found.id, not_after: found.not_after, fingerprint: Fingerprint::of(leaf) })
    }

    /// Requires the peer to be one of these. Compare before the first byte of a new connection.
    ///
    /// # Errors
    /// [`Error::WrongIdentity`]; always when `expected` is empty.
    pub fn require(&self, expected: &[SpiffeId]) -> Result<(), Error> {
        if expected.contains(&self.id) {
            return Ok(());
        }
        Err(Error::WrongIdentity { actual: self.id.clone(), expected: expected.to_vec() })
    }
}

/// Judges again the chain of an open connection, after bundles have changed.
///
/// # Errors
/// As [`trusted`], and [`Error::NoPeerIdentity`] without a certificate.
pub fn still_trusted(
    bundles: &Bundles,
    certificates: Option<&[CertificateDer<'_>]>,
    side: Side,
    now: SystemTime,
) -> Result<(), Error> {
    let (leaf, intermediates) = certificates.and_then(<[_]>::split_first).ok_or(Error::NoPeerIdentity)?;
    trusted(bundles, leaf, intermediates, side, now).map(drop)
}
