//! TLS towards servers outside the mesh: Istio's SIMPLE and MUTUAL modes.
//!
//! Servers are verified by name unless configuration says otherwise in so many words ([`Trust::Unverified`]).

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::roots::Roots;
use super::{Options, Version, outside_provider};
use crate::credential::Credential;
use crate::error::Error;

/// Which servers are believed.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those whose certificate leads to one of these authorities and bears an expected name.
    Verified(Roots, Names),
    /// Any (`insecureSkipVerify`): encryption without knowing to whom. The handshake's signature is still checked.
    Unverified,
}

/// The names that a verified server's certificate must bear.
#[derive(Clone, Debug)]
pub enum Names {
    /// The one that was dialled: the [`ServerName`] given to the connection.
    Dialled,
    /// Any of these; with none in the list no server is right.
    AnyOf(Vec<San>),
}

/// A condition on one subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum San {
    /// A DNS name, which a certificate's wildcard may cover, an IP address or a URI.
    Exact(String),
    /// The end of a DNS name or URI, compared as text. DNS names ignore case.
    Suffix(String),
}

/// How to dial a server outside the mesh.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which servers are believed.
    pub trust: Trust,
    /// What to show when the server asks who is calling (MUTUAL).
    pub credential: Option<Credential>,
    /// ALPN names offered, the preferred one first; none means no ALPN.
    pub protocols: Vec<Vec<u8>>,
    /// Oldest version spoken.
    pub oldest: Version,
}

impl Settings {
    /// SIMPLE: verify the dialled name, show nothing, offer no ALPN.
    #[must_use]
    pub fn simple(roots: Roots) -> Self {
        Self {
            trust: Trust::Verified(roots, Names::Dialled),
            credential: None,
            protocols: Vec::new(),
            oldest: Version::Tls12,
        }
    }
}

/// The configuration to dial with.
///
/// # Errors
/// [`Error::TlsConfiguration`].
pub fn client_config(settings: &Settings, options: &Options) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_details(outside_provider(), Arc::clone(&options.clock))
        .with_protocol_versions(settings.oldest.and_newer())
        .map_err(|source| Error::TlsConfiguration { subject: "an outside server".to_owned(), source })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier(settings.trust.clone())));
    let mut config = match &settings.credential {
        Some(credential) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(credential.certified())))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols.clone_from(&settings.protocols);
    config.resumption = Resumption::disabled();
    config.key_log = Arc::clone(&options.key_log);
    Ok(config)
}

/// The name to dial: a DNS name is also sent as SNI, an IP address is not.
///
/// # Errors
/// [`Error::ServerName`].
pub fn server_name(name: &str) -> Result<ServerName<'static>, Error> {
    let name = name.strip_suffix('.').unwrap_or(name);
    ServerName::try_from(name.to_owned()).map_err(|_detail| Error::ServerName { name: name.to_owned() })
}

#[derive(Debug)]
struct Verifier(Trust);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Trust::Verified(roots, names) = &self.0 else {
            return Ok(ServerCertVerified::assertion());
        };
        let algorithms = super::signature_algorithms().all;
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            roots.store(),
            intermediates,
            now,
            algorithms,
        )?;
        match names {
            Names::Dialled => verify_server_name(&certificate, name)?,
            Names::AnyOf(expected) if any_matches(expected, &certificate, end_entity) => {}
            Names::AnyOf(_) => return Err(CertificateError::NotValidForName.into()),
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &super::signature_algorithms(),
        )
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

fn any_matches(expected: &[San], parsed: &ParsedCertificate<'_>, der: &CertificateDer<'_>) -> bool {
    let Ok(names) = webpki::EndEntityCert::try_from(der) else { return false };
    expected.iter().any(|san| match san {
        San::Exact(text) => {
            names.valid_uri_names().any(|uri| uri == text)
                || server_name(text).is_ok_and(|name| verify_server_name(parsed, &name).is_ok())
        }
        San::Suffix(text) => {
            let dns_suffix = text.to_ascii_lowercase();
            names.valid_uri_names().any(|uri| uri.ends_with(text.as_str()))
                || names.valid_dns_names().any(|dns| dns.to_ascii_lowercase().ends_with(&dns_suffix))
        }
    })
}
