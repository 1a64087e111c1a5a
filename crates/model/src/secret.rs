//! Secret material on its way from a source to the proxy that needs it.

use std::fmt;
use std::sync::Arc;

/// Bytes that must appear in no log, dump, metric or error.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SecretBytes(Arc<[u8]>);

impl SecretBytes {
    /// Takes the bytes in.
    #[must_use]
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the one who uses them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A certificate with its key, and roots for client certificates where they are asked for. All PEM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsSecret {
    /// Certificate chain, leaf first.
    pub chain: Arc<str>,
    /// The private key.
    pub key: SecretBytes,
    /// Roots that client certificates must come from.
    pub client_roots: Option<Arc<str>>,
}
