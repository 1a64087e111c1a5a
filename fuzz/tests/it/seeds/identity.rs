//! Names, certificates and keys. Keys are fixed and Ed25519, whose signatures are always the same.

use leno_identity::Bundle;
use leno_identity::rustls::pki_types::PrivatePkcs8KeyDer;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType, SerialNumber, date_time_ymd,
};

use super::{Seeds, named};

pub(super) fn ids() -> Seeds {
    named(
        &[
            ("account", "spiffe://cluster.local/ns/shop/sa/web"),
            ("domain", "spiffe://td"),
            ("path", "spiffe://t-d_1.x/A/b.c/..."),
        ],
        &[
            ("scheme", "SPIFFE://td/x"),
            ("capitals", "spiffe://TD/x"),
            ("port", "spiffe://td:80/x"),
            ("user", "spiffe://user@td/x"),
            ("trailing-slash", "spiffe://td/x/"),
            ("empty-segment", "spiffe://td//x"),
            ("dots", "spiffe://td/../x"),
            ("encoded", "spiffe://td/x%2fy"),
            ("query", "spiffe://td/x?y"),
            ("empty", ""),
        ],
    )
}

pub(super) fn tokens() -> Seeds {
    named(
        &[
            ("token", "leno-join-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIj"),
            ("with-newline", "leno-join-__________________________________________-_-_-_\n"),
        ],
        &[
            ("short", "leno-join-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISI"),
            ("other-alphabet", "leno-join-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIS+/"),
            ("prefix", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIj"),
            ("empty", ""),
        ],
    )
}

/// A key made of one byte.
fn key(byte: u8) -> KeyPair {
    let beginning = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let der = PrivatePkcs8KeyDer::from([&beginning[..], &[byte; 32]].concat());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).unwrap()
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2036, 1, 1);
    params.serial_number = Some(SerialNumber::from(7_u64));
    params
}

fn root() -> CertificateParams {
    let mut params = params("root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// The certificate of a leaf that is as it should be, but for `change`.
fn leaf(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = params("leaf");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![uri("spiffe://td/ns/a/sa/b")];
    change(&mut params);
    let issuer = Issuer::new(root(), key(1));
    params.signed_by(&key(2), &issuer).unwrap().der().to_vec()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn seeds<const N: usize>(seeds: [(&str, Vec<u8>); N]) -> Seeds {
    seeds.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}

pub(super) fn certificates() -> Seeds {
    let names = |names: Vec<SanType>| leaf(|params| params.subject_alt_names = names);
    let usages = |usages: Vec<KeyUsagePurpose>| leaf(|params| params.key_usages = usages);
    let dns = SanType::DnsName("a.example".try_into().unwrap());
    seeds([
        ("ok-leaf", leaf(|_| {})),
        ("ok-without-purposes", leaf(|params| params.extended_key_usages.clear())),
        ("ok-more-names", names(vec![dns, uri("spiffe://td/x"), SanType::IpAddress([10, 0, 0, 1].into())])),
        ("ok-more-usages", usages(vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment])),
        ("bad-two-uris", names(vec![uri("spiffe://td/x"), uri("spiffe://td/y")])),
        ("bad-no-uri", names(Vec::new())),
        ("bad-other-uri", names(vec![uri("https://td/x")])),
        ("bad-no-path", names(vec![uri("spiffe://td")])),
        ("bad-authority", leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("bad-signer", usages(vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign])),
        ("bad-no-usage", usages(Vec::new())),
        ("bad-only-server", leaf(|params| drop(params.extended_key_usages.pop()))),
        ("bad-cut", leaf(|_| {})[..200].to_vec()),
        ("bad-text", b"-----BEGIN CERTIFICATE-----".to_vec()),
    ])
}

pub(super) fn requests() -> Seeds {
    let request = |names: Vec<SanType>| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = names;
        params.serialize_request(&key(2)).unwrap().der().to_vec()
    };
    let plain = request(Vec::new());
    let mut damaged = plain.clone();
    *damaged.last_mut().unwrap() ^= 1;
    seeds([
        ("ok-plain", plain.clone()),
        ("ok-with-names", request(vec![uri("spiffe://td/x")])),
        ("bad-signature", damaged),
        ("bad-cut", plain[..plain.len() - 1].to_vec()),
        ("bad-certificate", leaf(|_| {})),
    ])
}

pub(super) fn texts() -> Seeds {
    let der = root().self_signed(&key(1)).unwrap().der().clone();
    let root = Bundle::new("td".parse().unwrap(), [der], 1).unwrap().to_pem();
    let leaf = leaf(|_| {});
    let chain = pem("CERTIFICATE", &leaf);
    let key = pem("PRIVATE KEY", &key(2).serialize_der());
    seeds([
        ("ok-root", root.clone().into()),
        ("ok-roots", format!("# two\n{root}{root}").into()),
        ("ok-pair", format!("{key}{chain}").into()),
        ("ok-chain", format!("{chain}{root}{key}").into()),
        ("bad-leaf-alone", chain.clone().into()),
        ("bad-key-alone", key.clone().into()),
        ("bad-two-keys", format!("{key}{key}{chain}").into()),
        ("bad-other-key", format!("{root}{key}").replace("CERTIFICATE", "X CERTIFICATE").into()),
        ("bad-cut", chain[..100].into()),
        ("bad-empty", Vec::new()),
    ])
}

fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for (at, three) in der.chunks(3).enumerate() {
        let bits =
            three.iter().chain([0, 0].iter()).take(3).fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        for digit in 0..4 {
            let code = DIGITS[bits >> (18 - 6 * digit) & 63];
            text.push(if digit > three.len() { '=' } else { char::from(code) });
        }
        if at % 16 == 15 {
            text.push('\n');
        }
    }
    format!("{}\n-----END {label}-----\n", text.trim_end())
}
