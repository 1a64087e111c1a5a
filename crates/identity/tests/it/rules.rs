//! Which certificates are X.509-SVIDs.

use leno_identity::svid::{self, Violation};
use leno_model::spiffe::ParseError;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};

use crate::forge::{Forger, HOUR, authority, now, svid, svid_params};

const WEB: &str = "spiffe://td/ns/a/sa/web";

#[test]
fn each_rule_for_leaves_is_kept() {
    type Bend = fn(&mut CertificateParams);
    let cases: &[(&str, Bend, Result<(), Violation>)] = &[
        ("as it should be", |_| {}, Ok(())),
        (
            "with DNS names too",
            |p| p.subject_alt_names.push(SanType::DnsName("x.y".try_into().unwrap())),
            Ok(()),
        ),
        ("without extended key usage", |p| p.extended_key_usages.clear(), Ok(())),
        ("without basic constraints", |p| p.is_ca = IsCa::NoCa, Ok(())),
        ("with key agreement", |p| p.key_usages.push(KeyUsagePurpose::KeyAgreement), Ok(())),
        ("no URI", |p| p.subject_alt_names.clear(), Err(Violation::UriCount(0))),
        (
            "two URIs",
            |p| p.subject_alt_names.push(SanType::URI("spiffe://td/other".try_into().unwrap())),
            Err(Violation::UriCount(2)),
        ),
        (
            "two URIs, one of them not SPIFFE",
            |p| p.subject_alt_names.push(SanType::URI("https://td/".try_into().unwrap())),
            Err(Violation::UriCount(2)),
        ),
        (
            "not a SPIFFE id",
            |p| p.subject_alt_names = vec![SanType::URI("https://td/x".try_into().unwrap())],
            Err(Violation::Uri(ParseError::Scheme)),
        ),
        (
            "a relative path",
            |p| p.subject_alt_names = vec![SanType::URI("spiffe://td/ns/../sa".try_into().unwrap())],
            Err(Violation::Uri(ParseError::Path)),
        ),
        (
            "no path",
            |p| p.subject_alt_names = vec![SanType::URI("spiffe://td".try_into().unwrap())],
            Err(Violation::NoPath),
        ),
        ("an authority", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), Err(Violation::Authority)),
        ("no key usage", |p| p.key_usages.clear(), Err(Violation::LeafKeyUsage)),
        (
            "no digital signature",
            |p| p.key_usages = vec![KeyUsagePurpose::KeyAgreement],
            Err(Violation::LeafKeyUsage),
        ),
        (
            "may sign certificates",
            |p| p.key_usages.push(KeyUsagePurpose::KeyCertSign),
            Err(Violation::LeafKeyUsage),
        ),
        (
            "may sign revocations",
            |p| p.key_usages.push(KeyUsagePurpose::CrlSign),
            Err(Violation::LeafKeyUsage),
        ),
        (
            "for servers only",
            |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            Err(Violation::ExtendedKeyUsage),
        ),
        (
            "for clients only",
            |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            Err(Violation::ExtendedKeyUsage),
        ),
    ];
    let forger = Forger::new();
    for (name, bend, expected) in cases {
        let mut params = svid_params(&[WEB]);
        bend(&mut params);
        let credential = forger.sign(&params);
        let found = svid::leaf(&credential.chain()[0]);
        assert_eq!(found.map(|leaf| assert_eq!(leaf.id.as_str(), WEB)), *expected, "{name}");
    }
}

#[test]
fn a_real_svid_has_its_id_and_dates() {
    let svid = svid(&authority("td"), "/ns/a/sa/web");
    assert_eq!(svid.id().as_str(), WEB);
    assert_eq!(svid.not_after(), now() + HOUR);
    assert!(svid.not_before() < now());
    assert!(!svid.expired(now()) && !svid.expired(svid.not_after()));
    assert!(svid.expired(svid.not_after() + std::time::Duration::from_secs(1)));
}

#[test]
fn bytes_after_or_instead_of_a_certificate_are_refused() {
    let svid = svid(&authority("td"), "/web");
    let der = svid.credential().chain()[0].to_vec();
    let longer = [der.as_slice(), &[0]].concat();
    for wrong in [&[][..], b"x", &longer, &der[..der.len() - 1], &der[1..]] {
        assert_eq!(svid::leaf(wrong), Err(Violation::Malformed));
    }
}

proptest! {
    /// A changed certificate is read or refused, never a panic.
    #[test]
    fn changed_certificates_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        static DER: std::sync::LazyLock<Vec<u8>> =
            std::sync::LazyLock::new(|| svid(&authority("td"), "/web").credential().chain()[0].to_vec());
        let mut der = DER.clone();
        for (at, byte) in edits {
            let at = at.index(der.len());
            der[at] = byte;
        }
        svid::leaf(&der).ok();
    }
}
