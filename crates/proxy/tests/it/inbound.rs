//! What a peer of the mesh can and cannot reach through a workload's own proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use leno_model::name::WorkloadName;
use leno_model::service::Protocol;
use leno_model::spiffe::SpiffeId;
use leno_model::unit::{Answer, Question};
use leno_wire::open::{self, Refusal, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::app::{echo, serving};
use crate::world::{OWN, World, deny, dial, open_to, rest, soon, workload};

#[tokio::test]
async fn a_declared_port_is_reached_on_loopback_and_on_the_own_address() {
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), OWN] {
        let app = serving(ip, echo).await;
        let world = World::new();
        let proxy = world.app(workload(&[(app.port(), Protocol::Tcp)], Vec::new())).await;
        let open = open_to(SocketAddr::new(OWN, app.port()), open::Protocol::Opaque);
        let mut stream = dial(&proxy, &world, "web", &open).await;
        stream.write_all(b"ping").await.unwrap();
        let mut answer = [0xff; 5];
        soon(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"\0ping");
    }
}

/// Debuggers and admin interfaces listen on loopback, trusting that nobody else gets there.
#[tokio::test]
async fn an_undeclared_port_on_loopback_is_out_of_reach_by_any_address() {
    let secret = serving(Ipv4Addr::LOCALHOST, echo).await;
    let world = World::new();
    let proxy = world.app(workload(&[(1, Protocol::Tcp)], Vec::new())).await;
    let addresses: [IpAddr; 6] = [
        OWN,
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv4Addr::LOCALHOST.into(),
        Ipv6Addr::LOCALHOST.into(),
        Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
    ];
    for ip in addresses {
        let open = open_to(SocketAddr::new(ip, secret.port()), open::Protocol::Opaque);
        let mut stream = dial(&proxy, &world, "web", &open).await;
        let _refused = stream.write_all(b"ping").await;
        let answer = rest(&mut stream).await;
        let refusal = answer.first().map(|byte| Verdict::from_byte(*byte));
        // An undeclared port is accepted before it is dialled: then the connection ends without a byte.
        let harmless = matches!(refusal, Some(Verdict::Refused(Refusal::Forbidden))) || answer == [0];
        assert!(harmless, "{ip}: {answer:?}");
    }
}

fn from(net: &str) -> leno_model::policy::Source {
    let mut source = leno_model::policy::Source::default();
    source.ips.any.push(net.parse().unwrap());
    source
}

/// A Unix socket tells no address: the caller's is where the control plane knows it to be.
#[tokio::test]
async fn a_policy_about_addresses_is_about_where_the_proved_caller_is() {
    let app = serving(OWN, echo).await;
    let world = World::new();
    let unit = workload(&[(app.port(), Protocol::Tcp)], vec![deny(vec![from("10.0.0.0/8")])]);
    let proxy = world.app(unit).await;
    let known = |account: &str, ip: [u8; 4]| Answer::Workload {
        identity: format!("spiffe://cluster.local/ns/default/sa/{account}").parse().unwrap(),
        addresses: vec![ip.into()],
    };
    let named =
        |name: &str| Question::Workload(WorkloadName { namespace: "default".into(), name: name.into() });
    world.answer(named("near-0"), known("near", [240, 0, 0, 1]));
    world.answer(named("far-0"), known("far", [10, 0, 0, 1]));
    let gateway = "spiffe://cluster.local/ns/default/sa/gateway".parse().unwrap();
    world.answer(named("gateway"), Answer::Workload { identity: gateway, addresses: Vec::new() });
    for (account, claimed, allowed) in [
        ("near", "near-0", true),
        ("gateway", "gateway", true),
        ("far", "far-0", false),
        // What it says of itself belongs to another identity, or to nobody.
        ("far", "near-0", false),
        ("near", "far-0", false),
        ("near", "near-1", false),
        ("near", "", false),
    ] {
        let mut open = open_to(SocketAddr::new(OWN, app.port()), open::Protocol::Opaque);
        open.source.workload = claimed.into();
        let mut stream = dial(&proxy, &world, account, &open).await;
        let verdict = Verdict::from_byte(soon(stream.read_u8()).await.unwrap());
        let expected = if allowed { Verdict::Accepted } else { Verdict::Refused(Refusal::Denied) };
        assert_eq!(verdict, expected, "{account} as {claimed:?}");
    }
}

/// The connections of before are judged by it, too, and those that it is not about go on.
#[tokio::test]
async fn a_policy_about_addresses_that_comes_later_finds_out_who_is_there() {
    let app = serving(OWN, echo).await;
    let world = World::new();
    let proxy = world.app(workload(&[(app.port(), Protocol::Tcp)], Vec::new())).await;
    let identity: SpiffeId = "spiffe://cluster.local/ns/default/sa/web".parse().unwrap();
    for (name, ip) in [("web-0", [240, 0, 0, 1]), ("web-1", [10, 0, 0, 1])] {
        let question = Question::Workload(WorkloadName { namespace: "default".into(), name: name.into() });
        let answer = Answer::Workload { identity: identity.clone(), addresses: vec![ip.into()] };
        world.answer(question, answer);
    }
    let mut streams = Vec::new();
    for name in ["web-0", "web-1"] {
        let mut open = open_to(SocketAddr::new(OWN, app.port()), open::Protocol::Opaque);
        open.source.workload = name.into();
        let mut stream = dial(&proxy, &world, "web", &open).await;
        assert_eq!(soon(stream.read_u8()).await.unwrap(), 0);
        streams.push(stream);
    }
    let unit = workload(&[(app.port(), Protocol::Tcp)], vec![deny(vec![from("10.0.0.0/8")])]);
    world.tell([leno_wire::Unit::Workload(unit.into())]);
    assert_eq!(rest(&mut streams[1]).await, b"", "it is cut");
    let stream = &mut streams[0];
    stream.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"ping");
}
