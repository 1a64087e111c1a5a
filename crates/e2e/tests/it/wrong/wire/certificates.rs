//! A trust domain of the test's own.

use std::{fs, path::Path};

use leno_identity::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

/// A certificate and its key.
pub(in super::super) struct Pair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// What peers present.
pub(in super::super) struct Peers {
    /// An identity of the mesh.
    pub(super) member: Pair,
    /// The same name, signed by nobody known.
    pub(super) stranger: Pair,
    /// Signed by the mesh's root, without an identity in it.
    pub(super) nameless: Pair,
}

const MEMBER: &str = "spiffe://cluster.local/ns/default/sa/client";

/// Writes `root.pem`, `root.key`, `web.pem`, `web.key` and `other.key`; further certificates are for peers.
pub(in super::super) fn write(folder: &Path) -> Peers {
    let (root, root_key) = root();
    fs::write(folder.join("root.pem"), root.pem()).unwrap();
    fs::write(folder.join("root.key"), root_key).unwrap();
    let (web, key) = leaf(&root, Some("spiffe://cluster.local/ns/default/sa/web"));
    fs::write(folder.join("web.pem"), web.pem()).unwrap();
    fs::write(folder.join("web.key"), key.serialize_pem()).unwrap();
    fs::write(folder.join("other.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let pair = |(certificate, key): (rcgen::Certificate, KeyPair)| Pair {
        chain: vec![certificate.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    };
    Peers {
        member: pair(leaf(&root, Some(MEMBER))),
        stranger: pair(leaf(&self::root().0, Some(MEMBER))),
        nameless: pair(leaf(&root, None)),
    }
}

fn root() -> (CertifiedIssuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let text = key.serialize_pem();
    (CertifiedIssuer::self_signed(params, key).unwrap(), text)
}

fn leaf(root: &CertifiedIssuer<'_, KeyPair>, id: Option<&str>) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.subject_alt_names = vec![match id {
        Some(id) => SanType::URI(id.try_into().unwrap()),
        None => SanType::DnsName("web.example".try_into().unwrap()),
    }];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    (params.signed_by(&key, root).unwrap(), key)
}
