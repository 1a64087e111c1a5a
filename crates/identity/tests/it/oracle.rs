//! What independent implementations say about our certificates.

use std::io::Write;
use std::process::{Command, Output};

use leno_identity::svid;
use leno_identity::tls::peer::Fingerprint;
use spiffe::{TrustDomain, X509Bundle, X509Svid};

use crate::forge::{Forger, authority, now, svid, svid_params};
use crate::scratch::Scratch;

#[test]
fn the_spiffe_crate_accepts_what_we_sign() {
    let authority = authority("cluster.local");
    let svid = svid(&authority, "/ns/shop/sa/web");
    let chain = svid.credential().chain().iter().flat_map(|der| der.to_vec()).collect::<Vec<_>>();
    let key = svid.credential().key_pem();
    let key = rustls::pki_types::pem::PemObject::from_pem_slice(key.as_bytes());
    let key: rustls::pki_types::PrivatePkcs8KeyDer<'_> = key.expect("a PKCS #8 key");
    let theirs = X509Svid::parse_from_der(&chain, key.secret_pkcs8_der()).expect("an SVID");
    assert_eq!(theirs.spiffe_id().to_string(), svid.id().as_str());
    assert_eq!(theirs.cert_chain().len(), 2);

    let domain = TrustDomain::new("cluster.local").expect("a trust domain");
    let roots = authority.trusted().roots().flat_map(|der| der.to_vec()).collect::<Vec<_>>();
    let bundle = X509Bundle::parse_from_der(domain, &roots).expect("a bundle");
    assert_eq!(bundle.authorities().len(), 1);
}

#[test]
fn whoever_we_refuse_as_a_leaf_the_spiffe_crate_refuses_too() {
    let forger = Forger::new();
    for (name, uris, authority, usage) in [
        ("two URIs", &["spiffe://td/a", "spiffe://td/b"][..], false, true),
        ("no URI", &[], false, true),
        ("an authority", &["spiffe://td/a"], true, true),
        ("no key usage", &["spiffe://td/a"], false, false),
    ] {
        let mut params = svid_params(uris);
        if authority {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        if !usage {
            params.key_usages.clear();
        }
        let credential = forger.sign(&params);
        let der = credential.chain().first().expect("a leaf");
        assert!(svid::leaf(der).is_err(), "{name}");
        let key = credential.key_pem();
        let key = rustls::pki_types::pem::PemObject::from_pem_slice(key.as_bytes());
        let key: rustls::pki_types::PrivatePkcs8KeyDer<'_> = key.expect("a PKCS #8 key");
        assert!(X509Svid::parse_from_der(der, key.secret_pkcs8_der()).is_err(), "{name}");
    }
}

#[test]
fn openssl_verifies_our_chains_strictly() {
    let Some(run) = openssl() else { return };
    let scratch = Scratch::new();
    let authority = authority("cluster.local");
    let svid = svid(&authority, "/ns/shop/sa/web");
    let roots = scratch.write("roots.pem", &authority.trusted().to_pem());
    let chain = scratch.write("chain.pem", &svid.credential().chain_pem());
    let key = scratch.write("key.pem", &svid.credential().key_pem());
    let (roots, chain, key) = (roots.to_str().unwrap(), chain.to_str().unwrap(), key.to_str().unwrap());
    let seconds = now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();

    for purpose in ["sslserver", "sslclient"] {
        let arguments = ["verify", "-x509_strict", "-purpose", purpose, "-attime", &seconds];
        let files = ["-CAfile", roots, "-untrusted", chain, chain];
        let output = run(&[&arguments[..], &files].concat());
        assert!(output.status.success(), "{purpose}: {}", text(&output));
    }
    let untrusted = run(&["verify", "-x509_strict", "-attime", &seconds, "-CAfile", chain, chain]);
    assert!(!untrusted.status.success(), "the check can fail");

    let shown = text(&run(&["x509", "-in", chain, "-noout", "-text"]));
    for expected in [
        "URI:spiffe://cluster.local/ns/shop/sa/web",
        "X509v3 Subject Alternative Name: critical",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "NIST CURVE: P-256",
    ] {
        assert!(shown.contains(expected), "{expected} is not in {shown}");
    }
    let fingerprint = Fingerprint::of(&svid.credential().chain()[0]).to_string();
    let theirs = text(&run(&["x509", "-in", chain, "-noout", "-fingerprint", "-sha256"]));
    assert!(theirs.to_lowercase().replace(':', "").contains(&format!("={fingerprint}")), "{theirs}");
    let public = run(&["pkey", "-in", key, "-pubout"]);
    assert_eq!(text(&public), text(&run(&["x509", "-in", chain, "-noout", "-pubkey"])));
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The command; loudly none where it isn't installed, which CI doesn't accept.
fn openssl() -> Option<impl Fn(&[&str]) -> Output> {
    let run = |arguments: &[&str]| Command::new("openssl").args(arguments).output();
    if run(&["version"]).is_ok_and(|output| output.status.success()) {
        return Some(move |arguments: &[&str]| run(arguments).expect("openssl runs"));
    }
    // Written past the test harness, which would keep it to itself.
    let skipped = b"SKIPPED: openssl is not installed, so it has not verified the chains\n";
    std::io::stderr().write_all(skipped).ok();
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "SKIPPED is a failure in CI");
    None
}
