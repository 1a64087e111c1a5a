//! Which servers outside the mesh are believed.

use std::sync::Arc;

use leno_identity::tls::Version;
use leno_identity::tls::outside::{Names, San, Settings, Trust, client_config, server_name};
use leno_identity::tls::roots::Roots;
use leno_identity::{Credential, alpn};
use rcgen::{CertificateParams, SanType};
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::forge::{Forger, now, server_params};
use crate::handshake::{Outcome, at, named};

fn server(credential: &Credential, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(credential.certified())))
}

async fn dial(settings: &Settings, server: &ServerConfig, name: &str) -> Outcome {
    let client = Arc::new(client_config(settings, &at(now())).expect("a client configuration"));
    let name = server_name(name).expect("a server name");
    let (near, far) = named(&client, &Arc::new(server.clone()), name).await;
    assert_eq!(near.is_ok(), far.is_ok());
    near
}

fn roots(forger: &Forger) -> Roots {
    Roots::from_pem(forger.root_pem().as_bytes(), "the forger").expect("roots")
}

#[tokio::test(flavor = "current_thread")]
async fn a_servers_name_is_verified() {
    let forger = Forger::new();
    let mut params = server_params(&["api.example.com", "*.shop.example.com", "10.1.2.3"]);
    params.subject_alt_names.push(SanType::URI("spiffe://partner/api".try_into().expect("ASCII")));
    let server = server(&forger.sign(&params), rustls::ALL_VERSIONS);
    let exact = |text: &str| San::Exact(text.to_owned());
    let suffix = |text: &str| San::Suffix(text.to_owned());
    let cases: &[(&str, Names, bool)] = &[
        ("api.example.com", Names::Dialled, true),
        ("API.example.com.", Names::Dialled, true),
        ("a.shop.example.com", Names::Dialled, true),
        ("a.b.shop.example.com", Names::Dialled, false),
        ("other.example.com", Names::Dialled, false),
        ("10.1.2.3", Names::Dialled, true),
        ("10.1.2.4", Names::Dialled, false),
        ("other.example.com", Names::AnyOf(vec![exact("x"), exact("api.example.com")]), true),
        ("other.example.com", Names::AnyOf(vec![exact("b.shop.example.com")]), true),
        ("other.example.com", Names::AnyOf(vec![exact("spiffe://partner/api")]), true),
        ("other.example.com", Names::AnyOf(vec![exact("10.1.2.3")]), true),
        ("api.example.com", Names::AnyOf(vec![exact("spiffe://partner/ap")]), false),
        ("api.example.com", Names::AnyOf(vec![exact("example.com")]), false),
        ("api.example.com", Names::AnyOf(vec![]), false),
        ("x.y", Names::AnyOf(vec![suffix(".Example.com")]), true),
        ("x.y", Names::AnyOf(vec![suffix("/api")]), true),
        ("x.y", Names::AnyOf(vec![suffix(".example.org")]), false),
    ];
    for (name, names, believed) in cases {
        let trust = Trust::Verified(roots(&forger), names.clone());
        let outcome = dial(&Settings { trust, ..Settings::simple(roots(&forger)) }, &server, name).await;
        assert_eq!(outcome.is_ok(), *believed, "{name} {names:?}: {outcome:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn only_unverified_believes_strangers() {
    let (forger, stranger) = (Forger::new(), Forger::new());
    let server = server(&stranger.sign(&server_params(&["api.example.com"])), rustls::ALL_VERSIONS);
    let settings = Settings::simple(roots(&forger));
    let error = dial(&settings, &server, "api.example.com").await.expect_err("a refusal");
    assert!(error.contains("UnknownIssuer"), "{error}");
    let mut names_only = settings.clone();
    names_only.trust =
        Trust::Verified(roots(&forger), Names::AnyOf(vec![San::Exact("api.example.com".to_owned())]));
    assert!(dial(&names_only, &server, "api.example.com").await.is_err(), "a right name is no trust");
    let unverified = Settings { trust: Trust::Unverified, ..settings };
    dial(&unverified, &server, "anything.at.all").await.expect("asked for in so many words");
}

#[tokio::test(flavor = "current_thread")]
async fn versions_and_resumption_are_as_set() {
    let forger = Forger::new();
    let credential = forger.sign(&server_params(&["a.b"]));
    let mut settings = Settings::simple(roots(&forger));
    settings.protocols = alpn::HTTP.iter().map(|protocol| protocol.to_vec()).collect();
    for (versions, version) in [
        (&[&rustls::version::TLS12], ProtocolVersion::TLSv1_2),
        (&[&rustls::version::TLS13], ProtocolVersion::TLSv1_3),
    ] {
        let mut server = server(&credential, versions);
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        server.session_storage = ServerSessionMemoryCache::new(8);
        let client = Arc::new(client_config(&settings, &at(now())).expect("a configuration"));
        let server = Arc::new(server);
        for _ in 0..2 {
            let (near, _) = named(&client, &server, server_name("a.b").expect("a name")).await;
            let near = near.expect("a connection");
            assert_eq!((near.version, near.kind), (Some(version), Some(HandshakeKind::Full)));
            assert_eq!(near.alpn.as_deref(), Some(&b"http/1.1"[..]));
        }
    }
    settings.oldest = Version::Tls13;
    assert!(dial(&settings, &server(&credential, &[&rustls::version::TLS12]), "a.b").await.is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn mutual_shows_the_credential() {
    let forger = Forger::new();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut store = RootCertStore::empty();
    store.add(forger.root.clone()).expect("a root");
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider));
    let server = ServerConfig::builder_with_details(provider, at(now()).clock)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(clients.build().expect("a verifier"))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(
            forger.sign(&server_params(&["a.b"])).certified(),
        )));
    let mut settings = Settings::simple(roots(&forger));
    assert!(dial(&settings, &server, "a.b").await.is_err(), "the server asks");
    let mut params: CertificateParams = server_params(&["client"]);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    settings.credential = Some(forger.sign(&params));
    dial(&settings, &server, "a.b").await.expect("an answer to it");
}

#[test]
fn names_that_cannot_be_dialled_are_refused() {
    for wrong in ["", "a b", "*.example.com", "-", "a..b", "[::1]", "a/b"] {
        assert!(server_name(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn roots_say_what_is_wrong_with_them() {
    let error = Roots::from_pem(b"nothing", "roots of x").expect_err("no roots");
    assert_eq!(error.to_string(), "roots of x: no certificate in it");
    if let Err(error) = Roots::system() {
        assert!(error.to_string().contains("/etc/"), "{error}");
    }
}
