//! Which certificate a gateway's clients are shown, and whom it asks.

use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use leno_identity::tls::Version;
use leno_identity::tls::gateway::{Certificates, Clients, server_config};
use leno_identity::tls::outside::{self, Settings, Trust};
use leno_identity::tls::roots::Roots;
use leno_identity::{Credential, Error, KeyPair, alpn};
use leno_testkit::tls::Gullible;
use rustls::client::Resumption;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, HandshakeKind, ServerConfig, SignatureScheme};

use crate::forge::{Forger, now, server_params};
use crate::handshake::{at, named};

fn anonymous() -> ClientConfig {
    let settings = Settings {
        trust: Trust::Unverified,
        credential: None,
        protocols: vec![alpn::HTTP1.to_vec()],
        oldest: Version::Tls12,
    };
    outside::client_config(&settings, &at(now())).expect("a client configuration")
}

fn listener(certificates: &Arc<Certificates>, clients: &Clients) -> Arc<ServerConfig> {
    let config = server_config(Arc::clone(certificates), clients, alpn::HTTP, Version::Tls12, &at(now()));
    Arc::new(config.expect("a server configuration"))
}

/// The certificate shown for a name; `None` when the handshake fails.
async fn shown(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &str) -> Option<Vec<u8>> {
    let name = outside::server_name(name).expect("a server name");
    let (near, _) = named(client, server, name).await;
    near.ok().and_then(|end| Some(end.peer?.first()?.to_vec()))
}

fn leaf(credential: &Credential) -> Vec<u8> {
    credential.chain().first().expect("a leaf").to_vec()
}

#[tokio::test(flavor = "current_thread")]
async fn the_closest_pattern_wins_and_strangers_get_nothing() {
    let forger = Forger::new();
    let make = |name: &str| forger.sign(&server_params(&[name]));
    let (exact, inner, outer) = (make("www.example.com"), make("*.shop.example.com"), make("*.example.com"));
    let certificates = Arc::new(Certificates::default());
    let entries = [
        ("WWW.Example.com".to_owned(), exact.clone()),
        ("*.shop.example.com".to_owned(), inner.clone()),
        ("*.example.com".to_owned(), outer.clone()),
    ];
    certificates.replace(entries.clone()).expect("patterns");
    let (client, server) = (Arc::new(anonymous()), listener(&certificates, &Clients::Anonymous));
    for (name, expected) in [
        ("www.example.com", Some(&exact)),
        ("WWW.EXAMPLE.COM", Some(&exact)),
        ("a.shop.example.com", Some(&inner)),
        ("a.b.shop.example.com", Some(&inner)),
        ("shop.example.com", Some(&outer)),
        ("a.www.example.com", Some(&outer)),
        ("example.com", None),
        ("example.org", None),
        ("10.0.0.1", None),
    ] {
        assert_eq!(shown(&client, &server, name).await, expected.map(leaf), "{name}");
    }

    let fallback = make("fallback");
    certificates.replace([("*".to_owned(), fallback.clone())]).expect("a pattern");
    for name in ["www.example.com", "example.org", "10.0.0.1"] {
        assert_eq!(
            shown(&client, &server, name).await,
            Some(leaf(&fallback)),
            "after the replacement: {name}"
        );
    }
    let error = certificates.replace([("a b".to_owned(), exact)]).expect_err("not a name");
    assert!(matches!(error, Error::ServerName { .. }), "{error}");
    assert_eq!(
        shown(&client, &server, "x.y").await,
        Some(leaf(&fallback)),
        "a refused replacement changes nothing"
    );
    let many = std::iter::repeat_n(("x.y".to_owned(), fallback), 5);
    assert!(matches!(certificates.replace(many), Err(Error::TooMany { .. })));
}

#[tokio::test(flavor = "current_thread")]
async fn several_certificates_of_a_pattern_are_told_apart() {
    let forger = Forger::new();
    let ecdsa = forger.sign(&server_params(&["a.example.com"]));
    let other = forger.sign(&server_params(&["b.example.com"]));
    let rsa = rsa(&["a.example.com"]);
    let certificates = Arc::new(Certificates::default());
    let entries = [other.clone(), ecdsa.clone(), rsa.clone()];
    certificates
        .replace(entries.map(|credential| ("*.example.com".to_owned(), credential)))
        .expect("patterns");
    let server = listener(&certificates, &Clients::Anonymous);
    let client = Arc::new(anonymous());
    assert_eq!(shown(&client, &server, "a.example.com").await, Some(leaf(&ecdsa)));
    assert_eq!(shown(&client, &server, "b.example.com").await, Some(leaf(&other)));
    assert_eq!(
        shown(&client, &server, "c.example.com").await,
        Some(leaf(&other)),
        "none bears it: the first"
    );

    // A client that can't verify ECDSA.
    let old = ClientConfig::builder_with_details(Arc::clone(client.crypto_provider()), at(now()).clock)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Gullible::new(&[SignatureScheme::RSA_PSS_SHA256]))
        .with_no_client_auth();
    assert_eq!(shown(&Arc::new(old), &server, "a.example.com").await, Some(leaf(&rsa)));
}

fn rsa(names: &[&str]) -> Credential {
    let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
    let pkcs8 = PrivatePkcs8KeyDer::from(key.as_der().expect("an encoding").as_ref().to_vec());
    let signer =
        rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &rcgen::PKCS_RSA_SHA256).expect("a key");
    let certificate = server_params(names).self_signed(&signer).expect("a certificate").der().clone();
    let key = KeyPair::from_der(pkcs8.into(), "test").expect("a usable key");
    Credential::new(vec![certificate], key, "test").expect("a pair")
}

#[tokio::test(flavor = "current_thread")]
async fn clients_are_asked_as_configured_and_never_resumed() {
    let (forger, stranger) = (Forger::new(), Forger::new());
    let roots = Roots::from_pem(forger.root_pem().as_bytes(), "clients").expect("roots");
    let certificates = Arc::new(Certificates::default());
    let certificate = forger.sign(&server_params(&["a.b"]));
    certificates.replace([("a.b".to_owned(), certificate)]).expect("a pattern");
    let with = |signer: &Forger| {
        let mut params = server_params(&["client"]);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let settings = Settings {
            trust: Trust::Unverified,
            credential: Some(signer.sign(&params)),
            protocols: vec![alpn::H2.to_vec()],
            oldest: Version::Tls12,
        };
        outside::client_config(&settings, &at(now())).expect("a client configuration")
    };
    let clients = [("nobody", anonymous()), ("ours", with(&forger)), ("a stranger", with(&stranger))];
    for (asked, accepted) in [
        (Clients::Anonymous, [true, true, true]),
        (Clients::Optional(roots.clone()), [true, true, false]),
        (Clients::Required(roots), [false, true, false]),
    ] {
        let server = listener(&certificates, &asked);
        for ((name, client), accepted) in clients.iter().zip(accepted) {
            let mut client = client.clone();
            client.resumption = Resumption::in_memory_sessions(8);
            let client = Arc::new(client);
            for _ in 0..2 {
                let (near, far) = named(&client, &server, outside::server_name("a.b").expect("a name")).await;
                assert_eq!(near.is_ok() && far.is_ok(), accepted, "{asked:?} {name}: {far:?}");
                if let Ok(near) = near {
                    assert_eq!(near.kind, Some(HandshakeKind::Full));
                }
            }
        }
    }
}
