//! The judge of peers' SVIDs, for both ends of a handshake (X509-SVID §5).
//!
//! A peer is trusted when its leaf keeps SPIFFE's rules and its chain leads to a root of *its own* trust domain at the
//! given time. Whether it is the peer that was wanted is compared after the handshake (see [`super::peer`]).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};

use crate::bundle::Bundles;
use crate::clock;
use crate::error::Error;
use crate::limits::MAX_CHAIN;
use crate::svid::{self, Leaf, Violation};

/// What the peer does in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It dialled.
    Client,
    /// It was dialled.
    Server,
}

/// Judges a chain, leaf first, at a time. `Ok` is the leaf's content, which may be relied on now.
///
/// # Errors
/// [`Error::NotSvid`], [`Error::UnknownTrustDomain`], [`Error::Untrusted`] or [`Error::TooMany`].
pub fn trusted(
    bundles: &Bundles,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    side: Side,
    now: SystemTime,
) -> Result<Leaf, Error> {
    const SUBJECT: &str = "the peer's certificate";
    if intermediates.len() >= MAX_CHAIN {
        let subject = SUBJECT.to_owned();
        return Err(Error::TooMany { subject, what: "certificates in a chain", limit: MAX_CHAIN });
    }
    let not_svid = |source| Error::NotSvid { subject: SUBJECT.to_owned(), source };
    let found = svid::leaf(leaf).map_err(not_svid)?;
    let trust_domain = found.id.trust_domain();
    let bundle = bundles
        .bundle(trust_domain)
        .ok_or_else(|| Error::UnknownTrustDomain { trust_domain: trust_domain.to_owned() })?;
    let usage = match side {
        Side::Client => webpki::KeyUsage::client_auth(),
        Side::Server => webpki::KeyUsage::server_auth(),
    };
    let certificate =
        webpki::EndEntityCert::try_from(leaf).map_err(|_detail| not_svid(Violation::Malformed))?;
    certificate
        .verify_for_usage(
            super::signature_algorithms().all,
            &bundle.anchors(now),
            intermediates,
            clock::unix_time(now),
            usage,
            None,
            None,
        )
        .map_err(|source| Error::Untrusted { id: found.id.clone(), source })?;
    Ok(found)
}

/// The verifier that mesh configurations hold.
pub(crate) struct Verifier {
    bundles: Arc<Bundles>,
    mandatory: bool,
}

impl Verifier {
    pub(crate) fn new(bundles: Arc<Bundles>, mandatory: bool) -> Arc<Self> {
        Arc::new(Self { bundles, mandatory })
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        side: Side,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let now = UNIX_EPOCH.checked_add(Duration::from_secs(now.as_secs())).unwrap_or(UNIX_EPOCH);
        match trusted(&self.bundles, leaf, intermediates, side, now) {
            Ok(_leaf) => Ok(()),
            Err(error) => Err(for_rustls(error).into()),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("mandatory", &self.mandatory).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates, Side::Server, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &super::signature_algorithms(),
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        super::signature_algorithms().supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Mesh clients have one certificate; hints would only cost bytes and tell names.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates, Side::Client, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        super::signature_algorithms().supported_schemes()
    }
}

/// The verdict in rustls's words, which choose the alert that the peer sees; ours stay as the source.
fn for_rustls(error: Error) -> CertificateError {
    match error {
        Error::Untrusted { source: webpki::Error::CertExpired { time, not_after }, .. } => {
            CertificateError::ExpiredContext { time, not_after }
        }
        Error::Untrusted { source: webpki::Error::CertNotValidYet { time, not_before }, .. } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        Error::Untrusted { source: webpki::Error::UnknownIssuer, .. } | Error::UnknownTrustDomain { .. } => {
            CertificateError::UnknownIssuer
        }
        Error::Untrusted { source: webpki::Error::InvalidSignatureForPublicKey, .. } => {
            CertificateError::BadSignature
        }
        Error::NotSvid { source: Violation::Malformed, .. } => CertificateError::BadEncoding,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
}
