//! Who is let in, and what is signed.

use std::sync::Arc;
use std::time::Duration;

use leno_control::authority::{Authority, Parts, RootStep, Signing};
use leno_control::catalog::{Catalog, Memos};
use leno_control::compile::memo::Counts;
use leno_control::metrics::Metrics;
use leno_control::server::JoinToken;
use leno_identity::ca::{BuiltIn, Settings};
use leno_identity::request::SigningRequest;
use leno_identity::{KeyPair, svid};
use leno_model::name::WorkloadName;
use leno_model::secret::SecretBytes;
use leno_model::spiffe::SpiffeId;
use leno_telemetry::Registry;
use leno_wire::Subject;
use leno_wire::server::authority::Peer;
use leno_wire::server::{Authority as _, Caller, Credentials, SignError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::watch;

use crate::world;

const MESH: &str = "\
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web}
spec: {address: 10.0.0.1, serviceAccount: web}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: twin}
spec: {address: 10.0.0.2, serviceAccount: web}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: db}
spec: {address: 10.0.0.3, serviceAccount: db}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec: {gatewayClassName: leno, listeners: [{name: http, port: 80, protocol: HTTP}]}
";

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn id(account: &str) -> SpiffeId {
    format!("spiffe://cluster.local/ns/default/sa/{account}").parse().unwrap()
}

fn workload(name: &str) -> WorkloadName {
    WorkloadName { namespace: "default".into(), name: name.into() }
}

fn authority() -> (Authority, watch::Sender<Arc<Catalog>>) {
    let catalog = Arc::new(world::catalog(world::snapshot(MESH), &Arc::new(Memos::new(&Counts::default()))));
    let (sender, catalogs) = watch::channel(catalog);
    let now = std::time::SystemTime::now();
    let ca = BuiltIn::ephemeral("cluster.local".parse().unwrap(), Settings::default(), now).unwrap();
    let authority = Authority::new(Parts {
        trust_domain: "cluster.local".parse().unwrap(),
        signing: Signing::BuiltIn(Arc::new(ca)),
        lifetime: Duration::from_secs(3600),
        directory: None,
        catalogs,
        metrics: Metrics::new(&Registry::new()),
    })
    .unwrap();
    authority.given().add(&token(TOKEN, "web")).unwrap();
    (authority, sender)
}

fn token(text: &str, name: &str) -> JoinToken {
    let subject = Subject::Workload(workload(name));
    JoinToken { token: SecretBytes::new(text.as_bytes()), identity: id(name), subject }
}

fn authenticate(
    authority: &Authority,
    identity: Option<&str>,
    token: Option<&str>,
) -> Result<Caller, String> {
    let peer = Peer { identity: identity.map(|id| id.parse().unwrap()), address: None };
    let token = token.map(|token| SecretBytes::new(token.as_bytes()));
    authority.authenticate(&Credentials { peer: &peer, token }).map_err(|denied| denied.reason)
}

#[test]
fn callers_are_known_by_certificate_or_token() {
    let (authority, _catalogs) = authority();
    let web = "spiffe://cluster.local/ns/default/sa/web";
    let by_token = Caller { identity: id("web"), workload: Some(workload("web")) };
    let by_certificate = Caller { identity: id("web"), workload: None };
    assert_eq!(authenticate(&authority, None, Some(TOKEN)), Ok(by_token.clone()));
    assert_eq!(authenticate(&authority, Some(web), None), Ok(by_certificate.clone()));
    assert_eq!(authenticate(&authority, Some(web), Some(TOKEN)), Ok(by_token));
    assert_eq!(authenticate(&authority, Some(web), Some("expired, say")), Ok(by_certificate));
    for (identity, token, reason) in [
        (None, None, "neither a certificate nor a token was shown"),
        (None, Some("guess"), "the join token is unknown"),
        (None, Some(""), "the join token is unknown"),
        (Some("spiffe://elsewhere/ns/default/sa/web"), None, "another trust domain"),
        (Some("spiffe://elsewhere/ns/default/sa/web"), Some(TOKEN), "another trust domain"),
        (Some("spiffe://cluster.local/ns/default/sa/db"), Some(TOKEN), "the token another's"),
    ] {
        let refused = authenticate(&authority, identity, token).unwrap_err();
        assert!(refused.contains(reason) && !refused.contains(TOKEN), "{refused}");
    }
}

#[test]
fn nobody_gets_the_configuration_of_another_identity() {
    let (authority, _catalogs) = authority();
    let caller =
        |account: &str, name: Option<&str>| Caller { identity: id(account), workload: name.map(workload) };
    for (caller, subject, is_admitted) in [
        (caller("web", None), "workload:default/web", true),
        (caller("web", None), "workload:default/twin", true),
        (caller("web", Some("web")), "workload:default/web", true),
        (caller("web", Some("web")), "workload:default/twin", false),
        (caller("web", None), "workload:default/db", false),
        (caller("web", None), "workload:default/none", false),
        (caller("web", Some("none")), "workload:default/none", false),
        (caller("public-leno", None), "gateway:default/public", true),
        (caller("web", None), "gateway:default/public", false),
        (caller("public-leno", Some("web")), "gateway:default/public", false),
        (caller("public-leno", None), "gateway:default/none", false),
    ] {
        let admitted = authority.admit(&caller, &subject.parse().unwrap());
        assert_eq!(admitted.is_ok(), is_admitted, "{caller:?} {subject} {admitted:?}");
    }
}

#[test]
fn tokens_are_taken_and_forgotten() {
    let (authority, _catalogs) = authority();
    let given = authority.given();
    assert_eq!(given.add(&token(TOKEN, "web")), Ok(()), "the same again changes nothing");
    for (text, name, message) in [
        ("short", "web", "does not have 16 to 8192 bytes"),
        (&"x".repeat(9_000), "web", "does not have 16 to 8192 bytes"),
        (TOKEN, "db", "is another's too"),
    ] {
        let error = given.add(&token(text, name)).unwrap_err().to_string();
        assert!(error.contains(message) && !error.contains(text), "{error}");
    }
    let newer = "fedcba9876543210fedcba9876543210";
    given.add(&token(newer, "web")).unwrap();
    assert!(authenticate(&authority, None, Some(TOKEN)).is_err(), "the newer one is in its place");
    assert!(authenticate(&authority, None, Some(newer)).is_ok());
    given.remove(&Subject::Workload(workload("web")));
    assert!(authenticate(&authority, None, Some(newer)).is_err());

    let issued = authority.issue_token(id("vm"), Duration::from_secs(60)).unwrap();
    let caller = authenticate(&authority, None, Some(&issued.expose())).unwrap();
    assert_eq!(caller, Caller { identity: id("vm"), workload: None });
}

fn csr(key: &KeyPair) -> String {
    let der = SigningRequest::make(key).unwrap();
    let body = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(der)
    };
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
}

#[tokio::test]
async fn certificates_are_for_the_caller_and_no_longer_than_allowed() {
    let (authority, _catalogs) = authority();
    let caller = Caller { identity: id("web"), workload: None };
    let key = KeyPair::generate().unwrap();
    for (asked, seconds) in [(0, 3600), (60, 60), (1 << 30, 3600)] {
        let chain = authority.sign(&caller, &csr(&key), Duration::from_secs(asked)).await.unwrap();
        let chain: Vec<_> =
            chain.iter().map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).collect();
        let leaf = svid::leaf(&chain[0]).unwrap();
        assert_eq!(leaf.id, id("web"));
        let life = leaf.not_after.duration_since(leaf.not_before).unwrap();
        assert!(
            life >= Duration::from_secs(seconds) && life < Duration::from_secs(seconds * 5 / 4),
            "{life:?}"
        );
        let bundle = authority.bundles().borrow()[0].clone();
        assert_eq!(&**chain.last().unwrap(), &*bundle.roots[0], "the root comes last");
    }
    for csr in
        ["", "no request", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
    {
        let refused = authority.sign(&caller, csr, Duration::ZERO).await.unwrap_err();
        assert!(matches!(refused, SignError::Request(_)), "{refused}");
    }
    let stranger = Caller { identity: "spiffe://elsewhere/x".parse().unwrap(), workload: None };
    let refused = authority.sign(&stranger, &csr(&key), Duration::ZERO).await.unwrap_err();
    assert!(matches!(refused, SignError::Authority(_)), "{refused}");
}

#[test]
fn a_root_is_replaced_in_steps() {
    let (authority, _catalogs) = authority();
    let mut bundles = authority.bundles();
    let mut roots = |step| {
        authority.step(step).unwrap();
        let bundle = Arc::clone(&bundles.borrow_and_update()[0]);
        (bundle.roots.len(), bundle.sequence)
    };
    assert_eq!(roots(RootStep::Prepare), (2, 2));
    assert_eq!(roots(RootStep::Activate), (2, 2));
    assert_eq!(roots(RootStep::Retire), (1, 3));
}
