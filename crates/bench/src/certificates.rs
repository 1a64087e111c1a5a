//! The certificates of a mesh of two: one root, one SVID per side.

use std::{fs, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};

/// The client's identity.
pub(crate) const CLIENT_ID: &str = "spiffe://cluster.local/ns/default/sa/client";
/// The server's.
pub(crate) const SERVER_ID: &str = "spiffe://cluster.local/ns/default/sa/server";

/// Writes `root.pem` and, for `client` and `server`, `NAME.pem` and `NAME.key`. Keys are P-256.
pub(crate) fn write(folder: &Path) -> Result<()> {
    let mut params = CertificateParams::new([])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(folder.join("root.pem"), root.pem())?;
    for (name, id) in [("client", CLIENT_ID), ("server", SERVER_ID)] {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([])?;
        params.subject_alt_names = vec![SanType::URI(id.try_into()?), SanType::DnsName(name.try_into()?)];
        // Who can't read identities goes by names.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &root)?;
        fs::write(folder.join(format!("{name}.pem")), certificate.pem())?;
        private(&folder.join(format!("{name}.key")), &key.serialize_pem())?;
    }
    Ok(())
}

/// Writes a file for its owner alone.
pub(crate) fn private(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("can't create {}", path.display()))?;
    Ok(std::io::Write::write_all(&mut file, text.as_bytes())?)
}
