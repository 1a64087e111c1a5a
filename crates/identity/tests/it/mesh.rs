//! Who gets a connection inside the mesh.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_identity::holder::Transport;
use leno_identity::tls::Options;
use leno_identity::tls::key_log::KeyLogFile;
use leno_identity::tls::mesh::{ClientAuth, client_config, server_config};
use leno_identity::tls::outside::{self, Settings, Trust};
use leno_identity::tls::peer::{Peer, Side, still_trusted};
use leno_identity::{Bundle, Bundles, Error, Identities, Svid, alpn};
use leno_model::failure::Failure;
use leno_testkit::tls::Gullible;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use rustls::client::Resumption;
use rustls::server::ServerSessionMemoryCache;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, ServerConfig, SignatureScheme};

use crate::forge::{Forger, HOUR, authority, bundles, id, now, svid, svid_at, svid_params, trust_domain};
use crate::handshake::{Outcome, at, mesh};
use crate::scratch::Scratch;

const SECOND: Duration = Duration::from_secs(1);

fn client(svid: &Svid, bundles: &Arc<Bundles>, time: SystemTime) -> Arc<ClientConfig> {
    Arc::new(client_config(svid, bundles, alpn::MESH, &at(time)).expect("a client configuration"))
}

fn server(svid: &Svid, bundles: &Arc<Bundles>, time: SystemTime) -> Arc<ServerConfig> {
    let strict = ClientAuth::Required;
    Arc::new(server_config(svid, bundles, alpn::MESH, strict, &at(time)).expect("a server configuration"))
}

/// A mesh client that shows nothing.
fn anonymous() -> Arc<ClientConfig> {
    let settings = Settings {
        trust: Trust::Unverified,
        credential: None,
        protocols: vec![alpn::LENO.to_vec()],
        oldest: leno_identity::tls::Version::Tls12,
    };
    Arc::new(outside::client_config(&settings, &at(now())).expect("a client configuration"))
}

fn refused(outcome: &Outcome, reason: &str) {
    let error = outcome.as_ref().expect_err("a refusal");
    assert!(error.contains(reason), "{error:?} should say {reason:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn two_workloads_know_each_other() {
    let td = authority("td");
    let (web, db, bundles) = (svid(&td, "/web"), svid(&td, "/db"), bundles(&[&td]));
    let (near, far) = mesh(&client(&web, &bundles, now()), &server(&db, &bundles, now())).await;
    let (near, far) = (near.unwrap(), far.unwrap());
    for end in [&near, &far] {
        assert_eq!(end.version, Some(ProtocolVersion::TLSv1_3));
        assert_eq!(end.group, Some(NamedGroup::X25519MLKEM768));
        assert_eq!(end.kind, Some(HandshakeKind::Full), "no retry for the group");
        assert_eq!(end.alpn.as_deref(), Some(alpn::LENO));
    }
    let peer = Peer::of(near.peer.as_deref()).unwrap();
    assert_eq!((&peer.id, peer.not_after), (db.id(), db.not_after()));
    peer.require(&[id("td/other"), id("td/db")]).unwrap();
    let error = peer.require(&[id("td/web"), id("td/x")]).unwrap_err();
    assert_eq!(error.to_string(), "the peer is spiffe://td/db, expected spiffe://td/web or one of 1 others");
    assert!(peer.require(&[]).is_err(), "nobody expected, nobody right");
    assert_eq!(Peer::of(far.peer.as_deref()).unwrap().id, *web.id());
    assert!(matches!(Peer::of(None), Err(Error::NoPeerIdentity)));
}

#[tokio::test(flavor = "current_thread")]
async fn federated_domains_meet_and_strangers_do_not() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let (web, db) = (svid(&ours, "/web"), svid(&theirs, "/db"));
    let both = bundles(&[&ours, &theirs]);
    let (near, far) = mesh(&client(&web, &both, now()), &server(&db, &both, now())).await;
    assert!(near.is_ok() && far.is_ok());

    let (only_ours, only_theirs) = (bundles(&[&ours]), bundles(&[&theirs]));
    let (near, far) = mesh(&client(&web, &only_ours, now()), &server(&db, &both, now())).await;
    refused(&near, "UnknownIssuer");
    assert!(far.is_err());
    let (near, far) = mesh(&client(&web, &both, now()), &server(&db, &only_theirs, now())).await;
    refused(&far, "UnknownIssuer");
    refused(&near, "UnknownCA");
}

#[tokio::test(flavor = "current_thread")]
async fn one_domains_authority_cannot_speak_for_another() {
    // A second authority signs an id of the first one's domain; both are trusted, each for itself.
    let (ours, forger) = (authority("ours"), Forger::new());
    let forged = Svid::from_pem(
        forger.sign(&svid_params(&["spiffe://ours/admin"])).chain_pem().as_bytes(),
        &[],
        "forged",
    );
    assert!(forged.is_err(), "no key, no SVID");
    let credential = forger.sign(&svid_params(&["spiffe://ours/admin"]));
    let forged = Svid::new(credential.chain().to_vec(), credential.key().clone()).unwrap();
    let forgers = Bundle::new(trust_domain("theirs"), [forger.root.clone()], 1).unwrap();
    let both = Arc::new(Bundles::new([ours.trusted(), Arc::new(forgers)]).unwrap());
    let web = svid(&ours, "/web");
    let (_, far) = mesh(&client(&forged, &both, now()), &server(&web, &both, now())).await;
    refused(&far, "UnknownIssuer");
    let (near, _) = mesh(&client(&web, &both, now()), &server(&forged, &both, now())).await;
    refused(&near, "UnknownIssuer");
}

#[tokio::test(flavor = "current_thread")]
async fn time_is_judged_by_the_verifiers_clock() {
    let td = authority("td");
    let (web, db, bundles) = (svid(&td, "/web"), svid_at(&td, "/db", 2 * HOUR, now()), bundles(&[&td]));
    for (time, reason) in [
        (web.not_before() - SECOND, Some("certificate not valid yet")),
        (web.not_before(), None),
        (web.not_after(), None),
        (web.not_after() + SECOND, Some("certificate expired")),
    ] {
        let (near, far) = mesh(&client(&web, &bundles, now()), &server(&db, &bundles, time)).await;
        match reason {
            None => assert!(near.is_ok() && far.is_ok(), "{far:?}"),
            Some(reason) => refused(&far, reason),
        }
        let (near, far) = mesh(&client(&db, &bundles, time), &server(&web, &bundles, now())).await;
        match reason {
            None => assert!(near.is_ok() && far.is_ok(), "{near:?}"),
            Some(reason) => refused(&near, reason),
        }
    }
}

#[test]
fn a_root_that_has_ended_is_no_root() {
    for (end, valid) in [(now() + SECOND, true), (now() - SECOND, false)] {
        let forger = Forger::until(end);
        let credential = forger.sign(&svid_params(&["spiffe://td/web"]));
        let verdict = still_trusted(&forger.bundles("td"), Some(credential.chain()), Side::Client, now());
        assert_eq!(verdict.is_ok(), valid, "{verdict:?}");
    }
}

#[test]
fn identities_can_be_shared_between_cores() {
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<Identities>();
    shareable::<Arc<leno_identity::Current>>();
}

/// Configurations that show a credential whatever it is.
struct Impostor(Arc<ClientConfig>, Arc<ServerConfig>);

impl Impostor {
    fn new(forger: &Forger, params: &CertificateParams) -> Self {
        let td = authority("td");
        let (honest, bundles) = (svid(&td, "/web"), forger.bundles("td"));
        let shown = Arc::new(SingleCertAndKey::from(forger.sign(params).certified()));
        let mut client = client_config(&honest, &bundles, alpn::MESH, &at(now())).unwrap();
        client.client_auth_cert_resolver = Arc::<SingleCertAndKey>::clone(&shown);
        let mut server =
            server_config(&honest, &bundles, alpn::MESH, ClientAuth::Optional, &at(now())).unwrap();
        server.cert_resolver = shown;
        Self(Arc::new(client), Arc::new(server))
    }
}

#[tokio::test(flavor = "current_thread")]
async fn certificates_that_are_no_svids_are_refused_on_both_sides() {
    type Bend = fn(&mut CertificateParams);
    let cases: &[(&str, Bend, Option<&str>)] = &[
        ("as it should be", |_| {}, None),
        (
            "two URIs",
            |p| p.subject_alt_names.push(SanType::URI("spiffe://td/b".try_into().unwrap())),
            Some("UriCount(2)"),
        ),
        (
            "no URI",
            |p| p.subject_alt_names = vec![SanType::DnsName("db".try_into().unwrap())],
            Some("UriCount(0)"),
        ),
        ("an authority", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), Some("Authority")),
        ("may sign", |p| p.key_usages.push(KeyUsagePurpose::KeyCertSign), Some("LeafKeyUsage")),
        (
            "for one side only",
            |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning],
            Some("ExtendedKeyUsage"),
        ),
        (
            "a domain's own id",
            |p| p.subject_alt_names = vec![SanType::URI("spiffe://td".try_into().unwrap())],
            Some("NoPath"),
        ),
    ];
    let forger = Forger::new();
    let bundles = forger.bundles("td");
    let credential = forger.sign(&svid_params(&["spiffe://td/honest"]));
    let honest = Svid::new(credential.chain().to_vec(), credential.key().clone()).unwrap();
    for (name, bend, reason) in cases {
        let mut params = svid_params(&["spiffe://td/a"]);
        bend(&mut params);
        let Impostor(client_of, server_of) = Impostor::new(&forger, &params);
        let (near, far) = mesh(&client_of, &server(&honest, &bundles, now())).await;
        let (near_2, far_2) = mesh(&client(&honest, &bundles, now()), &server_of).await;
        if let Some(reason) = reason {
            refused(&far, reason);
            refused(&near_2, reason);
        } else {
            assert!(
                [&near, &far, &near_2, &far_2].iter().all(|end| end.is_ok()),
                "{name}: {near:?} {far_2:?}"
            );
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn without_an_identity_strict_refuses_and_permissive_knows() {
    let td = authority("td");
    let (db, bundles) = (svid(&td, "/db"), bundles(&[&td]));
    let (near, far) = mesh(&anonymous(), &server(&db, &bundles, now())).await;
    refused(&far, "peer sent no certificates");
    refused(&near, "CertificateRequired");

    let permissive = server_config(&db, &bundles, alpn::MESH, ClientAuth::Optional, &at(now())).unwrap();
    let (near, far) = mesh(&anonymous(), &Arc::new(permissive.clone())).await;
    assert!(near.is_ok());
    assert!(matches!(Peer::of(far.unwrap().peer.as_deref()), Err(Error::NoPeerIdentity)));

    let stranger = authority("stranger");
    let intruder = client(
        &svid(&stranger, "/web"),
        &Arc::new(Bundles::new([td.trusted(), stranger.trusted()]).unwrap()),
        now(),
    );
    let (_, far) = mesh(&intruder, &Arc::new(permissive)).await;
    refused(&far, "UnknownIssuer");
}

#[tokio::test(flavor = "current_thread")]
async fn older_tls_and_other_protocols_are_refused() {
    let td = authority("td");
    let (db, bundles) = (svid(&td, "/db"), bundles(&[&td]));
    let server = server(&db, &bundles, now());
    let old = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Gullible::new(&[SignatureScheme::ECDSA_NISTP256_SHA256]))
        .with_no_client_auth();
    let (near, far) = mesh(&Arc::new(old), &server).await;
    refused(&far, "Tls12NotOfferedOrEnabled");
    refused(&near, "ProtocolVersion");

    let other = client_config(&svid(&td, "/web"), &bundles, &[b"leno/9"], &at(now())).unwrap();
    let (near, _) = mesh(&Arc::new(other), &server).await;
    refused(&near, "NoApplicationProtocol");
    let hbone = client_config(&svid(&td, "/web"), &bundles, &[alpn::H2], &at(now())).unwrap();
    let (near, _) = mesh(&Arc::new(hbone), &server).await;
    assert_eq!(near.unwrap().alpn.as_deref(), Some(alpn::H2));
}

#[tokio::test(flavor = "current_thread")]
async fn no_session_is_ever_resumed() {
    let td = authority("td");
    let (web, db, bundles) = (svid(&td, "/web"), svid(&td, "/db"), bundles(&[&td]));
    let ours = (client(&web, &bundles, now()), server(&db, &bundles, now()));
    let mut eager_client = (*ours.0).clone();
    eager_client.resumption = Resumption::in_memory_sessions(8);
    let eager_client = Arc::new(eager_client);
    let mut eager_server = (*ours.1).clone();
    eager_server.session_storage = ServerSessionMemoryCache::new(8);
    eager_server.send_tls13_tickets = 2;
    let eager_server = Arc::new(eager_server);

    for (name, client, server, second) in [
        ("ours", &ours.0, &ours.1, HandshakeKind::Full),
        ("an eager client", &eager_client, &ours.1, HandshakeKind::Full),
        ("an eager server", &ours.0, &eager_server, HandshakeKind::Full),
        ("both eager: the control", &eager_client, &eager_server, HandshakeKind::Resumed),
    ] {
        for expected in [HandshakeKind::Full, second] {
            let (near, far) = mesh(client, server).await;
            assert_eq!(near.unwrap().kind, Some(expected), "{name}");
            assert_eq!(far.unwrap().kind, Some(expected), "{name}");
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn the_holder_swaps_whole_states_and_counts_them() {
    let td = authority("td");
    let options = Options { clock: at(now()).clock, ..Options::default() };
    let identities = Identities::new(options);
    assert_eq!(identities.usable(now()).err(), Some(Failure::NoIdentity));
    assert_eq!(identities.epoch(), 0);

    assert_eq!(identities.install(svid(&td, "/web"), bundles(&[&td])).unwrap(), 1);
    let first = identities.usable(now()).unwrap();
    let second_svid = svid_at(&td, "/web", 2 * HOUR, now());
    assert_eq!(identities.install(second_svid.clone(), bundles(&[&td])).unwrap(), 2);
    let second = identities.usable(now()).unwrap();
    assert_eq!((first.epoch(), second.epoch(), identities.epoch()), (1, 2, 2));
    assert_eq!((first.trust_epoch(), second.trust_epoch()), (1, 1), "the same roots");
    td.prepare_root(now()).unwrap();
    identities.install(second_svid, bundles(&[&td])).unwrap();
    let third = identities.usable(now()).unwrap();
    assert_eq!((third.epoch(), third.trust_epoch()), (3, 2));

    for (transport, alpn) in [
        (Transport::Leno, Some(alpn::LENO)),
        (Transport::Hbone, Some(alpn::H2)),
        (Transport::Any, Some(alpn::LENO)),
    ] {
        let (near, far) = mesh(&first.client(transport), &second.server(ClientAuth::Required)).await;
        assert_eq!(near.unwrap().alpn.as_deref(), alpn);
        assert_eq!(Peer::of(far.unwrap().peer.as_deref()).unwrap().id, *first.id());
    }
    let istio = second.server_for(ClientAuth::Required, alpn::ISTIO);
    let (near, _) = mesh(&first.client(Transport::Istio), &istio).await;
    assert!(near.unwrap().alpn.is_some_and(|alpn| alpn.starts_with(b"istio")));

    let end = third.svid().not_after();
    assert!(identities.usable(end).is_ok());
    assert_eq!(identities.usable(end + SECOND).err(), Some(Failure::IdentityExpired));
    assert!(identities.current().is_some());
}

#[tokio::test(flavor = "current_thread")]
async fn an_open_connection_can_be_judged_again() {
    let td = authority("td");
    let (web, db, trust) = (svid(&td, "/web"), svid(&td, "/db"), bundles(&[&td]));
    let (_, far) = mesh(&client(&web, &trust, now()), &server(&db, &trust, now())).await;
    let peer = far.unwrap().peer;
    let peer = peer.as_deref();
    still_trusted(&trust, peer, Side::Client, now()).unwrap();
    td.prepare_root(now()).unwrap();
    td.activate_root(now()).unwrap();
    still_trusted(&bundles(&[&td]), peer, Side::Client, now()).expect("the old root is still in the bundle");
    td.retire_roots().unwrap();
    let error = still_trusted(&bundles(&[&td]), peer, Side::Client, now()).unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }), "{error}");
    let nobody = Arc::new(Bundles::default());
    assert!(matches!(
        still_trusted(&nobody, peer, Side::Client, now()),
        Err(Error::UnknownTrustDomain { .. })
    ));
    let empty = Bundles::from(Bundle::new(trust_domain("td"), [], 9).unwrap());
    assert!(still_trusted(&empty, peer, Side::Client, now()).is_err(), "an empty bundle trusts nobody");
}

#[tokio::test(flavor = "current_thread")]
async fn a_key_log_is_written_where_code_asks_for_it() {
    let scratch = Scratch::new();
    let path = scratch.path().join("keys.log");
    let td = authority("td");
    let (web, db, bundles) = (svid(&td, "/web"), svid(&td, "/db"), bundles(&[&td]));
    let options = Options { key_log: Arc::new(KeyLogFile::append(&path).unwrap()), ..at(now()) };
    let client = client_config(&web, &bundles, alpn::MESH, &options).unwrap();
    let (near, _) = mesh(&Arc::new(client), &server(&db, &bundles, now())).await;
    near.unwrap();
    let log = std::fs::read_to_string(&path).unwrap();
    let line = log.lines().find(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 ")).unwrap();
    let lengths: Vec<_> = line.split(' ').map(str::len).collect();
    assert_eq!(lengths[1..], [64, 64], "client random and a SHA-256 secret");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}
