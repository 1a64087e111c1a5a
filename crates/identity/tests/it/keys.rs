//! Keys and chains from files, and what of them is printed.

use std::path::Path;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use leno_identity::{Bundle, Credential, Error, Identities, KeyPair, Svid};
use rustls::pki_types::{PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

use crate::forge::{authority, bundles, svid, trust_domain};
use crate::scratch::Scratch;

#[test]
fn every_usual_encoding_round_trips() {
    let pkcs8 = rcgen::KeyPair::generate().unwrap().serialize_der();
    let p256 =
        aws_lc_rs::signature::EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING);
    let sec1 = p256
        .unwrap()
        .private_key()
        .as_der()
        .map(|der: aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_>| der.as_ref().to_vec());
    let rsa =
        aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap().as_ref().to_vec();
    // PKCS #8 wraps PKCS #1 behind 26 bytes of algorithm (RFC 5208 §5).
    let pkcs1 = rsa[26..].to_vec();
    for (label, der) in [
        ("PRIVATE KEY", PrivatePkcs8KeyDer::from(pkcs8).into()),
        ("EC PRIVATE KEY", PrivateSec1KeyDer::from(sec1.unwrap()).into()),
        ("PRIVATE KEY", PrivatePkcs8KeyDer::from(rsa).into()),
        ("RSA PRIVATE KEY", PrivatePkcs1KeyDer::from(pkcs1).into()),
    ] {
        let key = KeyPair::from_der(der, "test").unwrap();
        let pem = key.to_pem();
        assert!(pem.starts_with(&format!("-----BEGIN {label}-----\n")), "{label}");
        assert!(pem.lines().all(|line| line.len() <= 64));
        assert_eq!(KeyPair::from_pem(pem.as_bytes(), "test").unwrap().public_key(), key.public_key());
    }
}

#[test]
fn an_svid_and_a_bundle_come_back_from_files() {
    let scratch = Scratch::new();
    let authority = authority("td");
    let svid = svid(&authority, "/web");
    let chain = scratch.write("chain.pem", &svid.credential().chain_pem());
    let key = scratch.write("key.pem", &svid.credential().key_pem());
    let both = scratch.write("both.pem", &(svid.credential().chain_pem() + &svid.credential().key_pem()));
    for loaded in [Svid::load(&chain, &key).unwrap(), Svid::load(&both, &both).unwrap()] {
        assert_eq!(loaded.id(), svid.id());
        assert_eq!(loaded.credential().chain(), svid.credential().chain());
    }
    let roots = scratch.write("roots.pem", &authority.trusted().to_pem());
    let bundle = Bundle::load(trust_domain("td"), &roots).unwrap();
    assert!(bundle.roots().eq(authority.trusted().roots()));
}

#[test]
fn wrong_files_are_named_with_what_is_wrong() {
    let scratch = Scratch::new();
    let authority = authority("td");
    let svid = svid(&authority, "/web");
    let chain = scratch.write("chain.pem", &svid.credential().chain_pem());
    let key = scratch.write("key.pem", &svid.credential().key_pem());
    let other = scratch.write("other.pem", &KeyPair::generate().unwrap().to_pem());
    let two = scratch.write(
        "two.pem",
        &[svid.credential().key_pem(), KeyPair::generate().unwrap().to_pem()]
            .map(|pem| pem.to_string())
            .concat(),
    );
    let torn = scratch.write("torn.pem", &svid.credential().key_pem()[..100]);
    let junk = scratch.write("junk.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let empty = scratch.write("empty.pem", "");
    let signer = scratch.write("signer.pem", &authority.trusted().to_pem());
    let missing = scratch.path().join("missing.pem");
    let cases: &[(&Path, &Path, &str)] = &[
        (&missing, &key, "cannot read {}/missing.pem"),
        (&chain, &missing, "cannot read {}/missing.pem"),
        (&empty, &key, "{}/empty.pem: no certificate in it"),
        (&chain, &empty, "{}/empty.pem: no private key in it"),
        (&key, &key, "{}/key.pem: no certificate in it"),
        (&chain, &two, "{}/two.pem: more than one private key in it"),
        (&chain, &torn, "{}/torn.pem: not well-formed PEM"),
        (
            &chain,
            &junk,
            "{}/junk.pem: the private key is not RSA, ECDSA or Ed25519 in PKCS #8, PKCS #1 or SEC 1 encoding",
        ),
        (&chain, &other, "{}/chain.pem: the private key is not the certificate's"),
        (&signer, &key, "{}/signer.pem: the private key is not the certificate's"),
    ];
    for (chain, key, expected) in cases {
        let error = Svid::load(chain, key).unwrap_err().to_string();
        assert_eq!(error, expected.replace("{}", &scratch.path().display().to_string()));
    }
    let error = Bundle::load(trust_domain("td"), &chain).unwrap_err();
    assert!(matches!(error, Error::NotRoot { .. }), "{error}");
    let error = Bundle::load(trust_domain("other"), &signer).unwrap_err();
    assert!(matches!(error, Error::NotRoot { .. }), "another trust domain's root: {error}");
}

#[test]
fn no_secret_is_printed() {
    let authority = authority("td");
    let svid = svid(&authority, "/web");
    let pem = svid.credential().key_pem();
    let identities = Identities::default();
    identities.install(svid.clone(), bundles(&[&authority])).unwrap();
    let der = rustls::pki_types::PrivateKeyDer::try_from(base64_body(&pem)).unwrap();
    let secret = format!("{:?}", der.secret_der());
    let part = &secret[200..260];
    let credential: Credential = svid.credential().clone();
    for printed in [
        format!("{:?}", credential.key()),
        format!("{credential:?}"),
        format!("{svid:?}"),
        format!("{identities:?}"),
        format!("{authority:?}"),
    ] {
        assert!(!printed.contains(part) && !printed.contains(&pem[60..100]), "{printed}");
    }
    assert_eq!(format!("{:?}", credential.key()), "KeyPair(ECDSA, secret)");
}

fn base64_body(pem: &str) -> Vec<u8> {
    use base64::Engine;
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}
