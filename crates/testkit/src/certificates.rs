//! Certificates that a test makes itself: right ones, and such as nobody may accept.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

/// An authority of a test's own.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Where a certificate and its key were written.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate, in PEM.
    pub chain: PathBuf,
    /// The key, in PEM.
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// An authority that nobody else has.
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its root certificate, in PEM.
    pub fn root(&self) -> String {
        self.0.pem()
    }

    /// An SVID that is good for long: `NAME.pem` and `NAME.key` in the folder.
    pub fn svid(&self, folder: &Path, name: &str, id: &str) -> Files {
        self.issue(folder, name, id, |_params| {})
    }

    /// An SVID whose time is over.
    pub fn expired(&self, folder: &Path, name: &str, id: &str) -> Files {
        self.issue(folder, name, id, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 2);
        })
    }

    /// An SVID that is good until then.
    pub fn until(&self, end: SystemTime, folder: &Path, name: &str, id: &str) -> Files {
        let since = end.duration_since(UNIX_EPOCH).unwrap();
        self.issue(folder, name, id, |params| params.not_after = date_time_ymd(1970, 1, 1) + since)
    }

    fn issue(
        &self,
        folder: &Path,
        name: &str,
        id: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Files {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let files =
            Files { chain: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
        std::fs::write(&files.chain, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&files.key, Permissions::from_mode(0o600)).unwrap();
        files
    }
}
