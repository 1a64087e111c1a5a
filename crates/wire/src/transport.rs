//! How the two sides reach each other: TLS or plaintext over TCP and Unix sockets, or in-process.

mod backoff;
mod dial;
pub(crate) mod io;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use leno_model::secret::SecretBytes;
use leno_model::spiffe::SpiffeId;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::server::Hub;

pub(crate) use backoff::Backoff;
pub use dial::DialError;
pub(crate) use dial::{Channel, dial, origin, request};

/// Where the control plane is.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// In another process.
    Remote(Remote),
    /// In this process: the same machines on both sides, without sockets between them.
    Memory(Hub),
}

/// A control plane in another process.
#[derive(Clone)]
pub struct Remote {
    /// Its address.
    pub address: Address,
    /// TLS towards it; `None` is plaintext.
    pub tls: Option<Arc<dyn ClientTls>>,
    /// A token that proves who this is, for as long as there is no certificate.
    pub token: Option<SecretBytes>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)
    }
}

/// An address of the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix stream socket's path.
    Unix(PathBuf),
    /// `HOST:PORT`; the name is looked up at each attempt.
    Tcp(Arc<str>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

/// TLS towards the control plane. Asked anew at every attempt, so a renewed certificate is used from the next one on.
pub trait ClientTls: Send + Sync + 'static {
    /// The configuration, with the client certificate if there is one yet. Its ALPN must be `h2`.
    fn config(&self) -> Arc<rustls::ClientConfig>;

    /// The name to ask for.
    fn server_name(&self) -> ServerName<'static>;

    /// Compares the verified chain with the identity expected, before the first byte is sent.
    ///
    /// # Errors
    /// A sentence, when it is not the control plane's.
    fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), String>;
}

/// TLS of the control plane's listener. Asked anew for every connection.
pub trait ServerTls: Send + Sync + 'static {
    /// The configuration. It verifies client certificates where they are shown, and lets callers without one in:
    /// they may still have a token. Its ALPN must be `h2`.
    fn config(&self) -> Arc<rustls::ServerConfig>;

    /// The identity in a verified chain.
    ///
    /// # Errors
    /// A sentence, when it has none; the connection is closed.
    fn identify(&self, chain: &[CertificateDer<'_>]) -> Result<SpiffeId, String>;
}

/// An error with everything that it came from, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
