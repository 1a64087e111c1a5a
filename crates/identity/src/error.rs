//! What can go wrong with keys, certificates and tokens. Messages name the operation and its subject, never a secret.

use std::io;
use std::path::{Path, PathBuf};

use leno_model::spiffe::SpiffeId;

use crate::svid::Violation;

/// An operation of this crate that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of keys, certificates or state could not be used.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried: `read`, `write`, `create`, …
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A text does not hold the PEM sections it should.
    #[error("{subject}: {problem}")]
    Pem {
        /// The file or the part of the configuration.
        subject: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A private key of a kind or encoding that cannot be used.
    #[error("{subject}: the private key is not RSA, ECDSA or Ed25519 in PKCS #8, PKCS #1 or SEC 1 encoding")]
    UnusableKey {
        /// Where the key came from.
        subject: String,
    },
    /// A private key belongs to another certificate.
    #[error("{subject}: the private key is not the certificate's")]
    KeyMismatch {
        /// Where the pair came from.
        subject: String,
    },
    /// A certificate is not well-formed.
    #[error("{subject}: not a well-formed certificate")]
    MalformedCertificate {
        /// Where the certificate came from.
        subject: String,
    },
    /// A certificate is not an X.509-SVID.
    #[error("{subject}: not an X.509-SVID")]
    NotSvid {
        /// Where the certificate came from.
        subject: String,
        /// The rule that it breaks.
        source: Violation,
    },
    /// A certificate cannot be a root of trust.
    #[error("{subject}: not a root of trust")]
    NotRoot {
        /// The trust domain or file.
        subject: String,
        /// The rule that it breaks.
        source: Violation,
    },
    /// More items than this crate's limits allow.
    #[error("{subject}: more than {limit} {what}")]
    TooMany {
        /// What holds them.
        subject: String,
        /// What they are.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// No roots are known for the trust domain of an identity.
    #[error("no bundle for trust domain {trust_domain}")]
    UnknownTrustDomain {
        /// The trust domain's name.
        trust_domain: String,
    },
    /// Two bundles for one trust domain.
    #[error("two bundles for trust domain {trust_domain}")]
    DuplicateTrustDomain {
        /// The trust domain's name.
        trust_domain: String,
    },
    /// The peer showed no certificate.
    #[error("the peer has no mesh identity")]
    NoPeerIdentity,
    /// The peer is somebody else than expected.
    #[error("the peer is {actual}, expected {}", Expected(expected))]
    WrongIdentity {
        /// Who it is.
        actual: SpiffeId,
        /// Whom it should have been one of.
        expected: Vec<SpiffeId>,
    },
    /// A peer's chain does not lead to a root of its trust domain at this time.
    #[error("the certificate of {id} is not trusted")]
    Untrusted {
        /// Who it claims to be.
        id: SpiffeId,
        /// Why the path is not valid.
        source: webpki::Error,
    },
    /// A TLS configuration that rustls refuses.
    #[error("cannot make the TLS configuration for {subject}")]
    TlsConfiguration {
        /// Whose configuration it is.
        subject: String,
        /// Why.
        source: rustls::Error,
    },
    /// A name that cannot be a TLS server name or certificate name.
    #[error("{name:?} is not a DNS name or IP address")]
    ServerName {
        /// The name.
        name: String,
    },
    /// Another process uses the state directory.
    #[error("{} is in use by another process", path.display())]
    StateInUse {
        /// The directory.
        path: PathBuf,
    },
    /// A state file has content that this version didn't write.
    #[error("{}: {problem}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An authority was asked for an identity that it doesn't sign.
    #[error("the authority of {trust_domain} does not sign {id}")]
    NotOurs {
        /// The authority's trust domain.
        trust_domain: String,
        /// The identity that was asked for.
        id: SpiffeId,
    },
    /// The authority's root has ended, so nothing that it signs would be trusted.
    #[error("the root of {trust_domain} has expired")]
    RootExpired {
        /// The authority's trust domain.
        trust_domain: String,
    },
    /// The cryptographic library failed: no randomness or no memory.
    #[error("cannot {operation}: the cryptographic library failed")]
    Crypto {
        /// What was tried.
        operation: &'static str,
    },
    /// A certificate could not be assembled.
    #[error("cannot sign the certificate of {subject}")]
    Sign {
        /// Whose certificate it is.
        subject: String,
        /// Why.
        source: rcgen::Error,
    },
}

impl Error {
    /// A failed file operation.
    pub(crate) fn file(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { operation, path: path.to_owned(), source }
    }
}

struct Expected<'a>(&'a [SpiffeId]);

impl std::fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [] => f.write_str("nobody"),
            [one] => write!(f, "{one}"),
            [first, rest @ ..] => write!(f, "{first} or one of {} others", rest.len()),
        }
    }
}
