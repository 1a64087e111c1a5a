//! TLS as this crate configures it: rustls with aws-lc-rs, certificates judged by the caller's clock.
//!
//! Inside the mesh ([`mesh`]) only TLS 1.3 with SPIFFE identities; towards others ([`outside`]) and at gateways
//! ([`gateway`]) TLS 1.2 or newer with names. Nothing resumes sessions: a full handshake proves the peer's identity,
//! expiry and trust every time. The crate makes configurations and judges certificates; it moves no bytes.

pub mod gateway;
pub mod key_log;
pub mod mesh;
pub mod outside;
pub mod peer;
pub mod roots;
mod verify;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::{TLS12, TLS13};
use rustls::{NoKeyLog, SupportedProtocolVersion};

/// What a configuration takes from its surroundings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The clock that judges validity.
    pub clock: Arc<dyn TimeProvider>,
    /// Where session secrets are written, for tests that decrypt what they recorded. Nothing but code sets it.
    pub key_log: Arc<dyn rustls::KeyLog>,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Arc::new(DefaultTimeProvider), key_log: Arc::new(NoKeyLog {}) }
    }
}

/// The oldest version of TLS that is spoken with clients and servers outside the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// TLS 1.2, and newer.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Version {
    fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        static SINCE_TLS12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        static SINCE_TLS13: [&SupportedProtocolVersion; 1] = [&TLS13];
        match self {
            Self::Tls12 => &SINCE_TLS12,
            Self::Tls13 => &SINCE_TLS13,
        }
    }
}

/// Post-quantum key exchange first; classical groups for peers without it. AES-128 comes first among ciphers, being
/// as strong as the rest of the handshake and the fastest in hardware.
static MESH: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    use aws_lc_rs::{cipher_suite as suite, kx_group};
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    })
});

static OUTSIDE: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// Cryptography inside the mesh.
pub(crate) fn mesh_provider() -> Arc<CryptoProvider> {
    Arc::clone(&MESH)
}

/// Cryptography towards clients and servers outside the mesh.
pub(crate) fn outside_provider() -> Arc<CryptoProvider> {
    Arc::clone(&OUTSIDE)
}

/// The signature algorithms that certificates and handshakes may use.
pub(crate) fn signature_algorithms() -> WebPkiSupportedAlgorithms {
    MESH.signature_verification_algorithms
}
