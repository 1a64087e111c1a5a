//! What `docs/reference/resilience.md` says of how requests and their tries are counted, where no other test holds it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use leno_http::limits::REPLAY_BYTES;
use leno_model::name::Host;
use leno_model::retry::{Condition, RetryPolicy};
use leno_model::route::{Forward, Target};
use leno_model::service::{Address, Protocol, Transport};
use leno_model::unit::{Answer, EndpointUnit, HostUnit, Question};
use leno_proxy::listener::{Kind, Socket};
use leno_wire::Unit;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::app;
use crate::apps::{App, Does};
use crate::ask::ask;
use crate::routes::{forward, routed, table};
use crate::world::{OWN, World, service, workload};

fn retrying() -> Forward {
    let on = [Condition::ServerError, Condition::Reset].into_iter().collect();
    Forward { retry: Some(RetryPolicy { on, ..RetryPolicy::IMPLICIT }), ..forward() }
}

/// Waits until one request is counted with these flags, and one outcome of tries with this name; nothing else is.
async fn counted(world: &World, flags: &str, outcome: &str) {
    world.counted("web", "istio_requests_total", &[("response_flags", flags)], 1.0).await;
    world.counted("web", "istio_requests_total", &[], 1.0).await;
    world.counted("web", "leno_retries_total", &[("outcome", outcome)], 1.0).await;
    world.counted("web", "leno_retries_total", &[], 1.0).await;
}

#[tokio::test]
async fn what_is_not_repeatable_is_one_request_and_unsafe() {
    for (does, flags) in [(Does::Answer(503), "-"), (Does::Reset, "UC")] {
        let bad = App::new(Protocol::Http, does).await;
        let world = World::new();
        let web = world.web(routed(Protocol::Http, &[bad.address], retrying()), 1).await;
        assert_eq!(ask(web, "POST", "", "order").await.status, 503);
        assert_eq!(bad.hits(), 1);
        counted(&world, flags, "unsafe").await;
    }
}

#[tokio::test]
async fn what_has_too_little_time_left_is_one_request_and_time() {
    let bad = App::new(Protocol::Http, Does::Answer(503)).await;
    let mut routes = Forward { timeout: Some(Duration::from_secs(5)), ..retrying() };
    // Of all random pauses hardly any is shorter than the time for everything.
    routes.retry.as_mut().unwrap().backoff = Duration::from_secs(1_000_000);
    let world = World::new();
    let web = world.web(routed(Protocol::Http, &[bad.address], routes), 1).await;
    assert_eq!(ask(web, "GET", "", "").await.status, 503);
    assert_eq!(bad.hits(), 1);
    counted(&world, "-", "time").await;
}

#[tokio::test]
async fn what_has_no_body_left_is_one_request_and_body() {
    let bad = App::new(Protocol::Http, Does::Answer(503)).await;
    let world = World::new();
    let routes = Forward { repeatable: true, ..retrying() };
    let web = world.web(routed(Protocol::Http, &[bad.address], routes), 1).await;
    assert_eq!(ask(web, "PUT", "", &"x".repeat(REPLAY_BYTES + 1)).await.status, 503);
    assert_eq!(bad.hits(), 1);
    counted(&world, "-", "body").await;
}

/// The first request of a connection is answered there, the second on a new one.
#[tokio::test]
async fn what_is_sent_again_on_a_new_connection_is_one_request_and_stale() {
    let dying = App::new(Protocol::Http, Does::DieOnSecond).await;
    let world = World::new();
    let web = world.web(routed(Protocol::Http, &[dying.address], forward()), 1).await;
    for _ in 0..2 {
        assert_eq!(ask(web, "GET", "", "").await.status, 200);
    }
    assert_eq!(dying.hits(), 3, "one for each time that it arrives");
    world.counted("web", "istio_requests_total", &[("response_flags", "-")], 2.0).await;
    world.counted("web", "istio_requests_total", &[], 2.0).await;
    world.counted("web", "leno_retries_total", &[("outcome", "stale")], 1.0).await;
    world.counted("web", "leno_retries_total", &[], 1.0).await;
}

#[tokio::test]
async fn the_time_of_a_try_is_one_request() {
    let hanging = App::new(Protocol::Http, Does::Hang).await;
    let none = RetryPolicy { attempts: 0, ..RetryPolicy::IMPLICIT };
    let per_try_timeout = Some(Duration::from_millis(100));
    let world = World::new();
    let routes = Forward { retry: Some(none), per_try_timeout, ..forward() };
    let web = world.web(routed(Protocol::Http, &[hanging.address], routes), 1).await;
    assert_eq!(ask(web, "GET", "", "").await.status, 504);
    world.counted("web", "istio_requests_total", &[("response_flags", "UT")], 1.0).await;
    world.counted("web", "istio_requests_total", &[], 1.0).await;
    assert_eq!(world.count("web", "leno_retries_total", &[]).await, 0.0);
}

/// Istio's label is about calls of gRPC: what another answer says in a field of that name is its own affair.
#[tokio::test]
async fn the_status_of_grpc_is_that_of_calls() {
    let app = app::serving(OWN, |mut stream: TcpStream| async move {
        while app::head(&mut stream).await.is_some() {
            let answer = b"HTTP/1.1 200 OK\r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n";
            let _gone = stream.write_all(answer).await;
        }
    })
    .await;
    let world = World::new();
    let web = world.web(routed(Protocol::Http, &[app], forward()), 1).await;
    for (headers, protocol, status) in [("", "http", ""), ("content-type: application/grpc\r\n", "grpc", "5")]
    {
        assert_eq!(ask(web, "POST", headers, "").await.status, 200);
        let labels = [("request_protocol", protocol), ("grpc_response_status", status)];
        world.counted("web", "istio_requests_total", &labels, 1.0).await;
    }
}

/// An application that asks another one, with the id of the request that it serves, and answers as it was answered.
async fn middle(next: SocketAddr) -> SocketAddr {
    app::serving(OWN, move |mut stream: TcpStream| async move {
        while let Some(head) = app::head(&mut stream).await {
            let is_id = |line: &&str| line.to_ascii_lowercase().starts_with("x-request-id: ");
            let id = head.lines().find(is_id).expect("a request id").to_owned();
            let got = ask(next, "GET", &format!("{id}\r\n"), "").await;
            let answer = format!("HTTP/1.1 {} X\r\ncontent-length: 0\r\n\r\n", got.status);
            let _gone = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await
}

/// What was retried in vain one hop below is not retried above.
#[tokio::test]
async fn what_is_settled_below_is_one_request_and_settled() {
    let back: Host = "back.default.svc.cluster.local".parse().unwrap();
    let bad = App::new(Protocol::Http, Does::Answer(503)).await;
    let world = World::new();
    let mut below = retrying();
    below.backends[0].target = Target::Service { host: back.clone(), port: Some(80), subset: None };
    let [Unit::Host(unit), Unit::Endpoints(endpoints)] = routed(Protocol::Http, &[bad.address], below) else {
        panic!("a host and its endpoints");
    };
    let unit = HostUnit { host: back.clone(), name: "back".into(), ..HostUnit::clone(&unit) };
    let endpoints = EndpointUnit { host: back.clone(), ..EndpointUnit::clone(&endpoints) };
    world.tell([Unit::Host(Arc::new(unit)), Unit::Endpoints(Arc::new(endpoints))]);
    world.answer(Question::Name(back.as_str().into()), Answer::Service(back.clone()));

    let out = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let between = middle(out.local_addr().unwrap()).await;
    let path = world.path("app.sock");
    let mesh = Socket::Unix(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let own = workload(&[(between.port(), Protocol::Http)], Vec::new());
    let subject = leno_wire::Subject::Workload(own.name.clone());
    world.tell([Unit::Workload(Arc::new(own))]);
    let listeners = vec![(Kind::Mesh, mesh), (Kind::Service { host: back, port: 80 }, Socket::Tcp(out))];
    world.start(subject, "app", listeners);
    world.settled(1).await;

    let [Unit::Host(unit), endpoints] =
        service(Protocol::Http, Transport::Native(Address::Unix(path)), between)
    else {
        panic!("a host");
    };
    let unit = HostUnit { routes: vec![(80, table(retrying()))], ..HostUnit::clone(&unit) };
    let web = world.web([Unit::Host(Arc::new(unit)), endpoints], 2).await;
    assert_eq!(ask(web, "GET", "", "").await.status, 503);
    assert_eq!(bad.hits(), 3, "the hop below retries");
    counted(&world, "-", "settled").await;
    world.counted("app", "istio_requests_total", &[("reporter", "destination")], 1.0).await;
    world.counted("app", "leno_retries_total", &[("outcome", "exhausted")], 1.0).await;
}
