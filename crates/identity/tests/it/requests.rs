//! Which signing requests are believed.

use std::ops::Range;
use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use leno_identity::KeyPair;
use leno_identity::ca::Order;
use leno_identity::request::{Refusal, SigningRequest};
use leno_identity::svid;
use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, SanType};
use rustls::pki_types::PrivatePkcs8KeyDer;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::forge::{HOUR, authority, id, now};

fn request(key: &rcgen::KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

#[test]
fn keys_of_usual_kinds_are_certified() {
    let rsa = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa = PrivatePkcs8KeyDer::from(rsa.as_der().unwrap().as_ref().to_vec());
    let from_rcgen = |algorithm| {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        KeyPair::from_der(PrivatePkcs8KeyDer::from(key.serialize_der()).into(), "test").unwrap()
    };
    let keys = [
        KeyPair::generate().unwrap(),
        from_rcgen(&rcgen::PKCS_ECDSA_P384_SHA384),
        from_rcgen(&rcgen::PKCS_ED25519),
        KeyPair::from_der(rsa.into(), "test").unwrap(),
    ];
    let authority = authority("td");
    for key in keys {
        let request = SigningRequest::verify(&SigningRequest::make(&key).unwrap()).expect("a good request");
        let order = Order { id: id("td/web"), request, lifetime: HOUR };
        let issued = authority.sign(&order, now()).unwrap();
        leno_identity::Svid::new(issued.chain, key).expect("the certificate is for this key");
    }
}

#[test]
fn what_a_request_says_about_its_sender_is_not_believed() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "admin");
    params.subject_alt_names = vec![SanType::URI("spiffe://td/admin".try_into().unwrap())];
    let der = params.serialize_request(&key).unwrap();
    let order =
        Order { id: id("td/web"), request: SigningRequest::verify(der.der()).unwrap(), lifetime: HOUR };
    let issued = authority("td").sign(&order, now()).unwrap();
    assert_eq!(svid::leaf(&issued.chain[0]).unwrap().id, id("td/web"));
    let printed = format!("{:?}", issued.chain[0].as_ref());
    assert!(
        !printed.contains(&format!("{:?}", b"admin").replace(['[', ']'], "")),
        "nothing of the subject is taken over"
    );
}

#[test]
fn requests_without_proof_are_refused() {
    let good = request(&rcgen::KeyPair::generate().unwrap());
    let mut unsigned = good.clone();
    *unsigned.last_mut().unwrap() ^= 1;
    // Another key's public half under this signature.
    let other = request(&rcgen::KeyPair::generate().unwrap());
    let at = good.windows(2).position(|pair| pair == [0x00, 0x04]).expect("the uncompressed point") + 1;
    let mut swapped = good.clone();
    swapped[at..at + 65].copy_from_slice(&other[at..at + 65]);
    let longer = [good.as_slice(), &[0]].concat();
    let p521 = request(&rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap());
    for (name, der, refusal) in [
        ("tampered", &unsigned, Refusal::Signature),
        ("another's key", &swapped, Refusal::Signature),
        ("bytes after it", &longer, Refusal::Malformed),
        ("nothing", &Vec::new(), Refusal::Malformed),
        ("huge", &vec![0x30; 9000], Refusal::TooLarge),
        ("a key of another kind", &p521, Refusal::Key),
    ] {
        assert_eq!(SigningRequest::verify(der).err(), Some(refusal), "{name}");
    }
    SigningRequest::verify(&good).expect("the original is good");
}

#[test]
fn keys_too_large_are_refused() {
    let key = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa8192).unwrap();
    let der = PrivatePkcs8KeyDer::from(key.as_der().unwrap().as_ref().to_vec());
    let key = KeyPair::from_der(der.into(), "test").unwrap();
    assert_eq!(SigningRequest::verify(&SigningRequest::make(&key).unwrap()).err(), Some(Refusal::Key));
}

/// A good request and where its signed part is.
static GOOD: LazyLock<(Vec<u8>, Range<usize>)> = LazyLock::new(|| {
    let der = request(&rcgen::KeyPair::generate().unwrap());
    let (_, parsed) = X509CertificationRequest::from_der(&der).unwrap();
    let signed = parsed.certification_request_info.raw;
    let start = der.windows(signed.len()).position(|window| window == signed).unwrap();
    let range = start..start + signed.len();
    (der, range)
});

proptest! {
    /// A changed request never causes a panic, and never passes when what it signs has changed.
    #[test]
    fn changed_requests_are_refused(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (good, signed) = &*GOOD;
        let mut der = good.clone();
        for (at, byte) in edits {
            let at = at.index(der.len());
            der[at] = byte;
        }
        let verdict = SigningRequest::verify(&der);
        prop_assert!(verdict.is_err() || der[signed.clone()] == good[signed.clone()]);
    }
}
