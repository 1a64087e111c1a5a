//! The X.509-SVID rules that path validation doesn't know (X509-SVID specification §2–§5).

use std::time::SystemTime;

use leno_model::spiffe::{ParseError, SpiffeId};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::clock;

/// The tag of a `uniformResourceIdentifier` among general names (RFC 5280 §4.2.1.6).
const URI: u32 = 6;

/// A rule that a certificate breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The bytes are not one DER certificate with well-formed extensions.
    #[error("not a well-formed certificate")]
    Malformed,
    /// A leaf needs exactly one URI SAN (§2).
    #[error("it names {0} URIs, and an SVID names exactly one")]
    UriCount(usize),
    /// The URI is not a SPIFFE id.
    #[error("its URI is not a SPIFFE id")]
    Uri(#[source] ParseError),
    /// A leaf's id has a path; one without is a trust domain's own (§4.1).
    #[error("its id has no path, as only an authority's may")]
    NoPath,
    /// A leaf is not an authority (§4.1).
    #[error("it is an authority's certificate")]
    Authority,
    /// A leaf has a critical key usage with `digitalSignature` and without `keyCertSign` and `cRLSign` (§4.3).
    #[error(
        "its key usage is not that of a leaf: critical, digitalSignature, neither keyCertSign nor cRLSign"
    )]
    LeafKeyUsage,
    /// Where extended key usage is present, it holds both TLS server and TLS client authentication (§4.4).
    #[error("its extended key usage lacks TLS server or client authentication")]
    ExtendedKeyUsage,
    /// A signing certificate is an authority with `keyCertSign` (§4.1, §4.3).
    #[error("it is not an authority's certificate that may sign others")]
    NotSigner,
    /// A signing certificate's id is the trust domain's own (§3.2).
    #[error("its id is not that of its trust domain")]
    SignerId,
    /// It has no validity that this machine can represent.
    #[error("its validity is out of range")]
    Validity,
}

/// What an X.509-SVID says about its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The holder.
    pub id: SpiffeId,
    /// First instant of its validity.
    pub not_before: SystemTime,
    /// Last second of its validity.
    pub not_after: SystemTime,
}

/// Checks the rules for leaves and reads the id. This says nothing about trust: that takes a path to a root.
///
/// # Errors
/// The first rule that is broken.
pub fn leaf(der: &[u8]) -> Result<Leaf, Violation> {
    let certificate = parse(der)?;
    let id = sole_uri(&certificate)?;
    if id.path().is_empty() {
        return Err(Violation::NoPath);
    }
    if is_authority(&certificate)? {
        return Err(Violation::Authority);
    }
    let usage =
        certificate.key_usage().map_err(|_detail| Violation::Malformed)?.ok_or(Violation::LeafKeyUsage)?;
    if !usage.critical
        || !usage.value.digital_signature()
        || usage.value.key_cert_sign()
        || usage.value.crl_sign()
    {
        return Err(Violation::LeafKeyUsage);
    }
    let extended = certificate.extended_key_usage().map_err(|_detail| Violation::Malformed)?;
    if extended.is_some_and(|usage| !usage.value.server_auth || !usage.value.client_auth) {
        return Err(Violation::ExtendedKeyUsage);
    }
    let (not_before, not_after) = validity(&certificate)?;
    Ok(Leaf { id, not_before, not_after })
}

/// Checks the rules for roots and intermediates, and reads the validity.
///
/// # Errors
/// The first rule that is broken.
pub(crate) fn signer(der: &[u8], trust_domain: &str) -> Result<(SystemTime, SystemTime), Violation> {
    let certificate = parse(der)?;
    if !is_authority(&certificate)? {
        return Err(Violation::NotSigner);
    }
    // Roots older than SPIFFE may lack key usage altogether; one that has it must allow signing.
    let usage = certificate.key_usage().map_err(|_detail| Violation::Malformed)?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(Violation::NotSigner);
    }
    if uris(&certificate)?
        .iter()
        .any(|uri| uri.strip_prefix("spiffe://").is_some_and(|own| own != trust_domain))
    {
        return Err(Violation::SignerId);
    }
    validity(&certificate)
}

/// A certificate with nothing after it.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Violation> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(Violation::Malformed),
    }
}

/// First and last second of a certificate's validity.
pub(crate) fn validity(certificate: &X509Certificate<'_>) -> Result<(SystemTime, SystemTime), Violation> {
    let validity = certificate.validity();
    let not_before = clock::from_unix(validity.not_before.timestamp()).ok_or(Violation::Validity)?;
    let not_after = clock::from_unix(validity.not_after.timestamp()).ok_or(Violation::Validity)?;
    if not_after < not_before { Err(Violation::Validity) } else { Ok((not_before, not_after)) }
}

fn is_authority(certificate: &X509Certificate<'_>) -> Result<bool, Violation> {
    let constraints = certificate.basic_constraints().map_err(|_detail| Violation::Malformed)?;
    Ok(constraints.is_some_and(|constraints| constraints.value.ca))
}

fn uris<'a>(certificate: &'a X509Certificate<'a>) -> Result<Vec<&'a str>, Violation> {
    let names = certificate.subject_alternative_name().map_err(|_detail| Violation::Malformed)?;
    let mut uris = Vec::new();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            // A URI that can't be read is one too many all the same.
            GeneralName::Invalid(tag, _) if tag.0 == URI => return Err(Violation::Malformed),
            _ => {}
        }
    }
    Ok(uris)
}

fn sole_uri(certificate: &X509Certificate<'_>) -> Result<SpiffeId, Violation> {
    match *uris(certificate)? {
        [uri] => uri.parse().map_err(Violation::Uri),
        ref uris => Err(Violation::UriCount(uris.len())),
    }
}
