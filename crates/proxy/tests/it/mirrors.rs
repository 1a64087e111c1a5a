//! Copies of requests for mirrors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_http::limits::COPY_BYTES;
use leno_model::fault::WHOLE;
use leno_model::name::Host;
use leno_model::pool::ConnectionPool;
use leno_model::route::{Forward, Mirror, Target};
use leno_model::service::{Address, Protocol, Transport};
use leno_model::unit::{EndpointUnit, HostUnit};
use leno_wire::Unit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app;
use crate::apps::{App, Does, refusing};
use crate::ask::ask;
use crate::routes::{forward, routed};
use crate::world::{OWN, World, deny, service, soon, workload};

fn shadow() -> Host {
    "shadow.default.svc.cluster.local".parse().unwrap()
}

fn mirror(host: &Host, share: u32) -> Mirror {
    let target = Target::Service { host: host.clone(), port: Some(80), subset: None };
    Mirror { target, share, origin: deny(Vec::new()).origin }
}

/// Everything to the service, and copies to the other one.
fn mirrored() -> Forward {
    Forward { mirrors: vec![mirror(&shadow(), WHOLE)], ..forward() }
}

/// Tells of the other service, with this endpoint.
fn tell_shadow(world: &World, protocol: Protocol, target: SocketAddr) {
    tell(world, shadow_at(protocol, Transport::Plain, target));
}

fn shadow_at(protocol: Protocol, transport: Transport, target: SocketAddr) -> (HostUnit, EndpointUnit) {
    let [Unit::Host(unit), Unit::Endpoints(endpoints)] = service(protocol, transport, target) else {
        panic!("a host and its endpoints");
    };
    let unit = HostUnit { host: shadow(), name: "shadow".into(), ..HostUnit::clone(&unit) };
    let mut endpoints = EndpointUnit { host: shadow(), ..EndpointUnit::clone(&endpoints) };
    endpoints.endpoints[0].uid = "default/shadow-0".into();
    (unit, endpoints)
}

fn tell(world: &World, (unit, endpoints): (HostUnit, EndpointUnit)) {
    world.tell([Unit::Host(Arc::new(unit)), Unit::Endpoints(Arc::new(endpoints))]);
}

/// Waits until an app has had so many requests.
async fn had(app: &App, count: usize) {
    soon(async {
        while app.hits() < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(app.hits(), count);
}

async fn outcome(world: &World, outcome: &str, count: f64) {
    world.counted("web", "leno_mirrors_total", &[("outcome", outcome)], count).await;
    world.counted("web", "leno_mirrors_total", &[], count).await;
}

#[tokio::test]
async fn a_mirror_gets_the_request_and_the_client_the_other_answer() {
    let protocols = [Protocol::Http, Protocol::Http2];
    for (protocol, other) in protocols.iter().flat_map(|one| protocols.map(|other| (*one, other))) {
        let app = App::new(protocol, Does::Answer(200)).await;
        let copy = App::new(other, Does::Answer(500)).await;
        let world = World::new();
        tell_shadow(&world, other, copy.address);
        let web = world.web(routed(protocol, &[app.address], mirrored()), 1).await;
        for body in ["", "order"] {
            let got = ask(web, "POST", "x-color: green\r\n", body).await;
            assert_eq!((got.status, got.body.ends_with(body)), (200, true), "{protocol:?} {other:?} {got:?}");
        }
        had(&app, 2).await;
        had(&copy, 2).await;
        let seen = copy.seen();
        assert!(seen.iter().all(|seen| seen.contains("x-color: green")), "{seen:?}");
        assert!(seen.iter().any(|seen| seen.ends_with("order")), "{seen:?}");
        // The name stays as it was, as with Istio.
        assert!(seen.iter().all(|seen| !seen.contains("-shadow")), "{seen:?}");
        outcome(&world, "answered", 2.0).await;
        // At the source the copies are no requests of their own.
        world.counted("web", "istio_requests_total", &[("response_code", "200")], 2.0).await;
        world.counted("web", "istio_requests_total", &[], 2.0).await;
        assert_eq!(world.count("web", "leno_retries_total", &[]).await, 0.0);
    }
}

#[tokio::test]
async fn of_several_mirrors_each_has_its_share() {
    let app = App::new(Protocol::Http, Does::Answer(200)).await;
    let copy = App::new(Protocol::Http, Does::Answer(200)).await;
    let world = World::new();
    tell_shadow(&world, Protocol::Http, copy.address);
    let mirrors = vec![mirror(&shadow(), WHOLE), mirror(&shadow(), WHOLE / 2), mirror(&shadow(), 0)];
    let routes = Forward { mirrors, ..forward() };
    let web = world.web(routed(Protocol::Http, &[app.address], routes), 1).await;
    for _ in 0..100 {
        assert_eq!(ask(web, "GET", "", "").await.status, 200);
    }
    soon(async {
        while !(120..180).contains(&copy.hits()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(app.hits(), 100);
}

/// Whatever a mirror does, the request is none the worse, and the copy is counted once.
#[tokio::test]
async fn a_mirror_that_fails_harms_nobody_and_is_tried_once() {
    for protocol in [Protocol::Http, Protocol::Http2] {
        for does in [Does::Reset, Does::ResetMidBody, Does::Refuse] {
            let app = App::new(protocol, Does::Answer(200)).await;
            let copy = App::new(protocol, does).await;
            let world = World::new();
            tell_shadow(&world, protocol, copy.address);
            let web = world.web(routed(protocol, &[app.address], mirrored()), 1).await;
            let got = ask(web, "PUT", "", "order").await;
            assert_eq!((got.status, got.body.ends_with("order")), (200, true), "{protocol:?} {does:?}");
            outcome(&world, "failed", 1.0).await;
            assert_eq!(copy.hits(), 1, "{protocol:?} {does:?}");
        }
        let app = App::new(protocol, Does::Answer(200)).await;
        let (nobody, _held) = refusing();
        let world = World::new();
        tell_shadow(&world, protocol, nobody);
        let web = world.web(routed(protocol, &[app.address], mirrored()), 1).await;
        assert_eq!(ask(web, "PUT", "", "order").await.status, 200);
        outcome(&world, "failed", 1.0).await;
    }
}

#[tokio::test]
async fn a_mirror_that_hangs_is_given_up_after_the_route_s_time() {
    let app = App::new(Protocol::Http, Does::Answer(200)).await;
    let copy = App::new(Protocol::Http, Does::Hang).await;
    let world = World::new();
    tell_shadow(&world, Protocol::Http, copy.address);
    let timed = Forward { timeout: Some(Duration::from_millis(300)), ..mirrored() };
    let web = world.web(routed(Protocol::Http, &[app.address], timed), 1).await;
    let began = Instant::now();
    assert_eq!(ask(web, "GET", "", "").await.status, 200);
    assert!(began.elapsed() < Duration::from_millis(300), "it waited for its mirror");
    outcome(&world, "failed", 1.0).await;
    assert_eq!(copy.hits(), 1);
}

/// A mirror that doesn't read keeps the request's body neither up nor in memory.
#[tokio::test]
async fn a_mirror_that_lags_behind_is_given_up() {
    let app = App::new(Protocol::Http, Does::Answer(200)).await;
    let deaf = app::serving(OWN, |mut stream: TcpStream| async move {
        let _head = app::head(&mut stream).await;
        std::future::pending().await
    })
    .await;
    let world = World::new();
    tell_shadow(&world, Protocol::Http, deaf);
    let web = world.web(routed(Protocol::Http, &[app.address], mirrored()), 1).await;
    // More than the sockets to the mirror and the copy hold.
    let large = "x".repeat(32 * COPY_BYTES);
    let got = ask(web, "PUT", "", &large).await;
    assert_eq!((got.status, got.body.len() > large.len()), (200, true));
    outcome(&world, "lagging", 1.0).await;
    assert_eq!(world.count("web", "leno_buffered_bytes", &[]).await, 0.0);
}

#[tokio::test]
async fn what_the_client_breaks_off_is_broken_off_at_the_mirror() {
    let app = App::new(Protocol::Http, Does::Answer(200)).await;
    let copy = App::new(Protocol::Http, Does::Answer(200)).await;
    let world = World::new();
    tell_shadow(&world, Protocol::Http, copy.address);
    let web = world.web(routed(Protocol::Http, &[app.address], mirrored()), 1).await;
    let mut stream = TcpStream::connect(web).await.unwrap();
    stream.write_all(b"PUT / HTTP/1.1\r\nhost: app\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    drop(stream);
    outcome(&world, "cut", 1.0).await;
    assert_eq!((app.hits(), copy.hits()), (0, 0));
}

#[tokio::test]
async fn a_mirror_that_does_not_exist_gets_nothing() {
    let app = App::new(Protocol::Http, Does::Answer(200)).await;
    let invalid = Target::Invalid { reason: "no such service".into() };
    let broken = Mirror { target: invalid, ..mirror(&shadow(), WHOLE) };
    let world = World::new();
    let routes = Forward { mirrors: vec![broken, mirror(&shadow(), WHOLE)], ..forward() };
    let web = world.web(routed(Protocol::Http, &[app.address], routes), 1).await;
    assert_eq!(ask(web, "GET", "", "").await.status, 200);
    outcome(&world, "unreachable", 2.0).await;
}

/// A mirror's own limits hold, and hold nobody else up.
#[tokio::test]
async fn a_mirror_is_within_its_own_limits() {
    let app = App::new(Protocol::Http, Does::Answer(200)).await;
    let copy = App::new(Protocol::Http, Does::Hang).await;
    let world = World::new();
    let (mut unit, endpoints) = shadow_at(Protocol::Http, Transport::Plain, copy.address);
    unit.destination.policy.pool = Some(ConnectionPool { requests: Some(1), ..ConnectionPool::default() });
    tell(&world, (unit, endpoints));
    let web = world.web(routed(Protocol::Http, &[app.address], mirrored()), 1).await;
    for _ in 0..3 {
        assert_eq!(ask(web, "GET", "", "").await.status, 200);
    }
    outcome(&world, "limited", 2.0).await;
    had(&copy, 1).await;
}

#[tokio::test]
async fn upgrades_are_not_mirrored() {
    let app = app::serving(OWN, app::endless).await;
    let copy = App::new(Protocol::Http, Does::Answer(200)).await;
    let world = World::new();
    tell_shadow(&world, Protocol::Http, copy.address);
    let web = world.web(routed(Protocol::Http, &[app], mirrored()), 1).await;
    let mut stream = TcpStream::connect(web).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: app\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nping";
    stream.write_all(request).await.unwrap();
    assert!(soon(app::head(&mut stream)).await.unwrap().contains("101"));
    let mut echo = [0; 4];
    soon(stream.read_exact(&mut echo)).await.unwrap();
    assert_eq!((&echo, copy.hits()), (b"ping", 0));
    assert_eq!(world.count("web", "leno_mirrors_total", &[]).await, 0.0);
}

/// In the mesh a copy goes to the identity that is expected of the mirror, or not at all; where it arrives it counts.
#[tokio::test]
async fn a_mirror_in_the_mesh_is_who_it_should_be() {
    for (account, expected) in [("app", "answered"), ("somebody", "failed")] {
        let app = App::new(Protocol::Http, Does::Answer(200)).await;
        let copy = App::on(OWN, Protocol::Http, Does::Answer(200)).await;
        let world = World::new();
        let path = world.app(workload(&[(copy.address.port(), Protocol::Http)], Vec::new())).await;
        let native = Transport::Native(Address::Unix(path));
        let (unit, mut endpoints) = shadow_at(Protocol::Http, native, copy.address);
        let identity = format!("spiffe://cluster.local/ns/default/sa/{account}");
        endpoints.endpoints[0].identity = Some(identity.parse().unwrap());
        tell(&world, (unit, endpoints));
        let web = world.web(routed(Protocol::Http, &[app.address], mirrored()), 2).await;
        assert_eq!(ask(web, "GET", "", "").await.status, 200);
        outcome(&world, expected, 1.0).await;
        let arrived = f64::from(u8::from(expected == "answered"));
        world.counted("app", "istio_requests_total", &[("reporter", "destination")], arrived).await;
        assert_eq!(copy.hits(), usize::from(expected == "answered"));
    }
}
