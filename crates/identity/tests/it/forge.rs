//! Certificates that the authority would never sign, and ordinary ones for servers outside the mesh.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leno_identity::ca::{BuiltIn, Order, Settings};
use leno_identity::request::SigningRequest;
use leno_identity::{Bundle, Bundles, Credential, KeyPair, Svid};
use leno_model::spiffe::{SpiffeId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// The instant at which the tests' certificates are made.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(crate) fn id(text: &str) -> SpiffeId {
    format!("spiffe://{text}").parse().expect("a SPIFFE id")
}

pub(crate) fn trust_domain(name: &str) -> TrustDomain {
    name.parse().expect("a trust domain")
}

/// The real authority.
pub(crate) fn authority(name: &str) -> BuiltIn {
    BuiltIn::ephemeral(trust_domain(name), Settings::default(), now()).expect("an authority")
}

/// A real SVID of a real authority.
pub(crate) fn svid(authority: &BuiltIn, path: &str) -> Svid {
    svid_at(authority, path, HOUR, now())
}

pub(crate) fn svid_at(authority: &BuiltIn, path: &str, lifetime: Duration, now: SystemTime) -> Svid {
    let key = KeyPair::generate().expect("a key");
    let request =
        SigningRequest::verify(&SigningRequest::make(&key).expect("a request")).expect("a good request");
    let order = Order { id: id(&format!("{}{path}", authority.trust_domain())), request, lifetime };
    Svid::new(authority.sign(&order, now).expect("a certificate").chain, key).expect("an SVID")
}

pub(crate) fn bundles(authorities: &[&BuiltIn]) -> Arc<Bundles> {
    Arc::new(Bundles::new(authorities.iter().map(|authority| authority.trusted())).expect("bundles"))
}

/// An authority without scruples.
pub(crate) struct Forger {
    issuer: Issuer<'static, rcgen::KeyPair>,
    pub(crate) root: CertificateDer<'static>,
}

impl Forger {
    pub(crate) fn new() -> Self {
        Self::until(now() + HOUR)
    }

    /// With a root that ends then.
    pub(crate) fn until(end: SystemTime) -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("forger {}", fastrand::u64(..)));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = date(end - 2 * HOUR);
        params.not_after = date(end);
        let root = params.self_signed(&key).expect("a root").der().clone();
        Self { issuer: Issuer::new(params, key), root }
    }

    /// Signs whatever it is given.
    pub(crate) fn sign(&self, params: &CertificateParams) -> Credential {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").der().clone();
        let der = PrivatePkcs8KeyDer::from(key.serialize_der());
        let key = KeyPair::from_der(der.into(), "a forged key").expect("a usable key");
        Credential::new(vec![certificate], key, "a forged pair").expect("a pair")
    }

    pub(crate) fn bundles(&self, name: &str) -> Arc<Bundles> {
        Arc::new(Bundle::new(trust_domain(name), [self.root.clone()], 1).expect("a bundle").into())
    }

    pub(crate) fn root_pem(&self) -> String {
        Bundle::new(trust_domain("any"), [self.root.clone()], 1).expect("a bundle").to_pem()
    }
}

/// An SVID's parameters as they should be; tests bend one at a time.
pub(crate) fn svid_params(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names =
        uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("ASCII"))).collect();
    params.not_before = date(now() - HOUR);
    params.not_after = date(now() + HOUR);
    params
}

/// A web server's parameters.
pub(crate) fn server_params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())
        .expect("DNS names and addresses");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date(now() - HOUR);
    params.not_after = date(now() + HOUR);
    params
}

pub(crate) fn date(time: SystemTime) -> OffsetDateTime {
    let seconds = time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).expect("in range")).expect("in range")
}
