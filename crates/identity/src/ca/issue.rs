//! The certificates themselves: what a root, an intermediate and a leaf say (X509-SVID §2–§4).

use std::time::SystemTime;

use leno_model::spiffe::{SpiffeId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::error::Error;
use crate::key::{CertificateSigner, KeyPair};
use crate::octets::Hex;
use crate::{clock, octets};

/// First and last second of a certificate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

/// A self-signed root. It may sign intermediates, and they only leaves.
pub(super) fn root(
    trust_domain: &TrustDomain,
    key: &KeyPair,
    validity: Validity,
) -> Result<CertificateDer<'static>, Error> {
    let subject = format!("the root of {trust_domain}");
    let signer = CertificateSigner::new(key, &subject)?;
    let params = authority(trust_domain, "root", 1, validity)?;
    let certificate = params.self_signed(&signer).map_err(|source| Error::Sign { subject, source })?;
    Ok(certificate.der().clone())
}

/// An intermediate that may sign leaves.
pub(super) fn intermediate(
    trust_domain: &TrustDomain,
    key: &KeyPair,
    validity: Validity,
    root: &Issuer<'_, CertificateSigner>,
) -> Result<CertificateDer<'static>, Error> {
    let subject = format!("the intermediate of {trust_domain}");
    let signer = CertificateSigner::new(key, &subject)?;
    let params = authority(trust_domain, "intermediate", 0, validity)?;
    let certificate = params.signed_by(&signer, root).map_err(|source| Error::Sign { subject, source })?;
    Ok(certificate.der().clone())
}

/// An SVID for a workload.
pub(super) fn leaf(
    id: &SpiffeId,
    public: &impl PublicKeyData,
    validity: Validity,
    intermediate: &Issuer<'_, CertificateSigner>,
) -> Result<CertificateDer<'static>, Error> {
    let subject = id.to_string();
    let failed = |source| Error::Sign { subject: subject.clone(), source };
    let mut params = params(validity)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().map_err(failed)?)];
    let certificate = params.signed_by(public, intermediate).map_err(failed)?;
    Ok(certificate.der().clone())
}

fn authority(
    trust_domain: &TrustDomain,
    kind: &str,
    path_length: u8,
    validity: Validity,
) -> Result<CertificateParams, Error> {
    let mut params = params(validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Subjects must differ between authorities, or path builders try the wrong one first.
    params.distinguished_name.push(DnType::OrganizationName, "Leno");
    let name = format!("{kind} {}", Hex(&octets::random::<8>()?));
    params.distinguished_name.push(DnType::CommonName, name);
    let uri = format!("spiffe://{trust_domain}");
    let uri = uri.as_str().try_into().map_err(|source| Error::Sign { subject: uri.clone(), source })?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    Ok(params)
}

fn params(validity: Validity) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.not_before = date(validity.not_before)?;
    params.not_after = date(validity.not_after)?;
    params.serial_number = Some(serial()?);
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn date(time: SystemTime) -> Result<OffsetDateTime, Error> {
    let seconds = i64::try_from(clock::unix_seconds(time)).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_range| Error::Sign {
        subject: "a date out of range".to_owned(),
        source: rcgen::Error::Time,
    })
}

/// A random positive serial number of 16 bytes (RFC 5280 §4.1.2.2).
fn serial() -> Result<SerialNumber, Error> {
    let mut bytes = octets::random::<16>()?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}
