//! Destinations whose endpoints fail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use leno_model::destination::{Balancer, TrafficPolicy};
use leno_model::outlier::OutlierDetection;
use leno_model::pool::{ConnectionPool, Ping, Upgrade};
use leno_model::service::{Protocol, Transport};
use leno_runtime::task;
use leno_wire::Unit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::app::{answer, echo, head, mirror, serving};
use crate::world::{World, service, soon};

/// The service with these endpoints, `app-0` and on, and these settings.
fn service_of(protocol: Protocol, policy: TrafficPolicy, endpoints: &[SocketAddr]) -> [Unit; 2] {
    let [Unit::Host(mut host), Unit::Endpoints(mut unit)] = service(protocol, Transport::Plain, endpoints[0])
    else {
        unreachable!("that is what it returns");
    };
    Arc::make_mut(&mut host).destination.policy = policy;
    let all = Arc::make_mut(&mut unit);
    let first = all.endpoints[0].clone();
    all.endpoints = (0..)
        .zip(endpoints)
        .map(|(number, address)| {
            let mut endpoint = first.clone();
            endpoint.uid = format!("default/app-{number}").into();
            endpoint.ip = address.ip();
            endpoint.ports = vec![(80, address.port())];
            endpoint
        })
        .collect();
    [Unit::Host(host), Unit::Endpoints(unit)]
}

fn ejecting() -> TrafficPolicy {
    TrafficPolicy {
        balancer: Some(Balancer::RoundRobin),
        outlier: Some(OutlierDetection { server_errors: 3, ..OutlierDetection::default() }),
        ..TrafficPolicy::default()
    }
}

async fn status(proxy: SocketAddr) -> u16 {
    status_of(proxy, "GET").await
}

async fn status_of(proxy: SocketAddr, method: &str) -> u16 {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let request = format!("{method} / HTTP/1.1\r\nhost: app\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    soon(answer(&mut stream)).await.unwrap().0
}

#[tokio::test]
async fn an_endpoint_that_answers_with_errors_is_ejected() {
    let world = World::new();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let bad = serving([127, 0, 0, 1], move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            while head(&mut stream).await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
                let _gone = stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let good = serving([127, 0, 0, 1], mirror).await;
    let proxy = world.web(service_of(Protocol::Http, ejecting(), &[bad, good]), 1).await;
    let mut errors = 0;
    for _ in 0..40 {
        errors += u32::from(status(proxy).await == 500);
    }
    assert_eq!((errors, asked.load(Ordering::SeqCst)), (3, 3), "three errors in a row, and no more");
    world.counted("web", "leno_outlier_ejections_total", &[], 1.0).await;
    let shown = world.admin_page("web", "/config").await;
    assert!(shown.contains("\"ejected\": {\n            \"80\": "), "{shown}");
}

#[tokio::test]
async fn an_endpoint_whose_answers_break_off_is_ejected() {
    let world = World::new();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let bad = serving([127, 0, 0, 1], move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            let _head = head(&mut stream).await;
            count.fetch_add(1, Ordering::SeqCst);
            let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na part").await;
        }
    })
    .await;
    let good = serving([127, 0, 0, 1], mirror).await;
    let proxy = world.web(service_of(Protocol::Http, ejecting(), &[bad, good]), 1).await;
    for _ in 0..40 {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _broken = soon(stream.read_to_end(&mut answer)).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3, "a good head does not make up for a broken body");
}

#[tokio::test]
async fn an_endpoint_that_refuses_opaque_connections_is_ejected() {
    let world = World::new();
    let refusing = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        listener.local_addr().unwrap()
    };
    let good = serving([127, 0, 0, 1], echo).await;
    let proxy = world.web(service_of(Protocol::Tcp, ejecting(), &[refusing, good]), 1).await;
    let mut failed = 0;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        failed += u32::from(!echoes(&mut stream).await);
    }
    assert_eq!(failed, 3);
}

/// Answers requests one after the other, each after a while, and counts its connections.
async fn slow(connections: Arc<AtomicU32>) -> SocketAddr {
    serving([127, 0, 0, 1], move |mut stream| {
        connections.fetch_add(1, Ordering::SeqCst);
        async move {
            while head(&mut stream).await.is_some() {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    })
    .await
}

/// How many of requests at once are answered, and how many are refused.
async fn at_once(proxy: SocketAddr, count: usize) -> (usize, usize) {
    let requests: Vec<_> = (0..count).map(|_| task::spawn("request", status(proxy))).collect();
    let (mut answered, mut refused) = (0, 0);
    for request in requests {
        match request.await.unwrap() {
            200 => answered += 1,
            503 => refused += 1,
            other => panic!("{other}"),
        }
    }
    (answered, refused)
}

fn limited(pool: ConnectionPool) -> TrafficPolicy {
    TrafficPolicy { pool: Some(pool), ..TrafficPolicy::default() }
}

#[tokio::test]
async fn requests_wait_for_the_only_connection_and_no_more_of_them_than_may() {
    let world = World::new();
    let connections = Arc::new(AtomicU32::new(0));
    let app = slow(Arc::clone(&connections)).await;
    let pool = ConnectionPool { connections: Some(1), pending: Some(2), ..ConnectionPool::default() };
    let proxy = world.web(service_of(Protocol::Http, limited(pool), &[app]), 1).await;
    assert_eq!(at_once(proxy, 6).await, (3, 3), "one is served and two wait");
    world.counted("web", "leno_upstream_overflows_total", &[("limit", "pending")], 3.0).await;
    world.counted("web", "istio_requests_total", &[("response_flags", "UO")], 3.0).await;
    assert_eq!(at_once(proxy, 3).await, (3, 0), "all places are free again");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn no_more_requests_than_may_are_under_way() {
    let world = World::new();
    let app = slow(Arc::default()).await;
    let pool = ConnectionPool { requests: Some(2), ..ConnectionPool::default() };
    let proxy = world.web(service_of(Protocol::Http, limited(pool), &[app]), 1).await;
    assert_eq!(at_once(proxy, 5).await, (2, 3));
    assert_eq!(at_once(proxy, 2).await, (2, 0));
}

#[tokio::test]
async fn a_connection_carries_no_more_requests_than_it_may() {
    let world = World::new();
    let connections = Arc::new(AtomicU32::new(0));
    let app = slow(Arc::clone(&connections)).await;
    let pool = ConnectionPool { requests_per_connection: Some(2), ..ConnectionPool::default() };
    let proxy = world.web(service_of(Protocol::Http, limited(pool), &[app]), 1).await;
    for _ in 0..4 {
        assert_eq!(status(proxy).await, 200);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_rests_no_longer_than_it_may_and_no_request_is_cut_for_it() {
    // The application takes twice as long to answer.
    let idle = Duration::from_millis(50);
    for protocol in [Protocol::Http, Protocol::Http2] {
        let world = World::new();
        let connections = Arc::new(AtomicU32::new(0));
        let app = match protocol {
            Protocol::Http => slow(Arc::clone(&connections)).await,
            _ => slow_http2(Arc::clone(&connections)).await,
        };
        let pool = ConnectionPool { http_idle: Some(idle), ..ConnectionPool::default() };
        let proxy = world.web(service_of(protocol, limited(pool), &[app]), 1).await;
        for _ in 0..3 {
            assert_eq!(status(proxy).await, 200, "{protocol:?}");
            tokio::time::sleep(idle * 4).await;
        }
        // One of HTTP/2, which says when it goes away, may rest until the next sweep.
        let expected = if protocol == Protocol::Http { 3 } else { 1 };
        assert_eq!(connections.load(Ordering::SeqCst), expected, "{protocol:?}");
    }
}

#[tokio::test]
async fn opaque_connections_beyond_the_limit_are_closed() {
    let world = World::new();
    let app = serving([127, 0, 0, 1], echo).await;
    let pool = ConnectionPool { connections: Some(1), ..ConnectionPool::default() };
    let proxy = world.web(service_of(Protocol::Tcp, limited(pool), &[app]), 1).await;
    let mut first = TcpStream::connect(proxy).await.unwrap();
    assert!(echoes(&mut first).await);
    assert!(!echoes(&mut TcpStream::connect(proxy).await.unwrap()).await);
    assert!(echoes(&mut first).await, "the first goes on");
    drop(first);
    let again = async {
        while !echoes(&mut TcpStream::connect(proxy).await.unwrap()).await {
            tokio::task::yield_now().await;
        }
    };
    soon(again).await;
}

async fn echoes(stream: &mut TcpStream) -> bool {
    let mut echoed = [0; 4];
    // What is closed may be so before or after this is written.
    let _gone = stream.write_all(b"ping").await;
    soon(stream.read_exact(&mut echoed)).await.is_ok()
}

#[tokio::test]
async fn a_silent_opaque_connection_is_cut_and_a_busy_one_is_not() {
    let world = World::new();
    let app = serving([127, 0, 0, 1], echo).await;
    let idle = Duration::from_millis(800);
    let pool = ConnectionPool { opaque_idle: Some(idle), ..ConnectionPool::default() };
    let proxy = world.web(service_of(Protocol::Tcp, limited(pool), &[app]), 1).await;
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let began = Instant::now();
    while began.elapsed() < idle * 2 {
        assert!(echoes(&mut stream).await);
        tokio::time::sleep(idle / 20).await;
    }
    let silent = Instant::now();
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap_or_default(), 0);
    assert!(silent.elapsed() >= idle / 2, "{:?}", silent.elapsed());
}

#[tokio::test]
async fn a_kept_connection_that_may_be_closing_gives_its_place_to_what_can_not_be_repeated() {
    let world = World::new();
    let connections = Arc::new(AtomicU32::new(0));
    let app = slow(Arc::clone(&connections)).await;
    let pool = ConnectionPool { connections: Some(1), ..ConnectionPool::default() };
    let proxy = world.web(service_of(Protocol::Http, limited(pool), &[app]), 1).await;
    assert_eq!(status_of(proxy, "DELETE").await, 200);
    tokio::time::sleep(leno_proxy::limits::POOL_IDLE_UNREPEATABLE).await;
    assert_eq!(status_of(proxy, "DELETE").await, 200);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

/// Speaks HTTP/2 only, answers each request after a while, and counts its connections.
async fn slow_http2(connections: Arc<AtomicU32>) -> SocketAddr {
    serving([127, 0, 0, 1], move |stream| {
        connections.fetch_add(1, Ordering::SeqCst);
        async move {
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            while let Some(Ok((_request, mut respond))) = connection.accept().await {
                task::spawn("answer", async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let _gone = respond.send_response(http::Response::new(()), true);
                })
                .detach();
            }
        }
    })
    .await
}

#[tokio::test]
async fn streams_wait_for_room_on_the_only_connection() {
    let world = World::new();
    let connections = Arc::new(AtomicU32::new(0));
    let app = slow_http2(Arc::clone(&connections)).await;
    let pool = ConnectionPool {
        connections: Some(1),
        pending: Some(3),
        streams: Some(1),
        // The port says no more than HTTP.
        upgrade: Some(Upgrade::Http2),
        ..ConnectionPool::default()
    };
    let proxy = world.web(service_of(Protocol::Http, limited(pool), &[app]), 1).await;
    assert_eq!(at_once(proxy, 3).await, (3, 0));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_http2_connection_is_replaced_after_so_many_requests() {
    let world = World::new();
    let connections = Arc::new(AtomicU32::new(0));
    let app = slow_http2(Arc::clone(&connections)).await;
    let pool = ConnectionPool { requests_per_connection: Some(2), ..ConnectionPool::default() };
    let proxy = world.web(service_of(Protocol::Http2, limited(pool), &[app]), 1).await;
    for _ in 0..4 {
        assert_eq!(status(proxy).await, 200);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

/// Cores share nothing but the count: one's idle connection must not keep another's request waiting.
#[tokio::test]
async fn all_cores_together_keep_the_limit_and_none_starves() {
    for protocol in [Protocol::Http, Protocol::Http2] {
        let mut world = World::new();
        world.cores = 3;
        let (open, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let counted = (Arc::clone(&open), Arc::clone(&most));
        let app = serving([127, 0, 0, 1], move |stream| {
            let (open, most) = (Arc::clone(&counted.0), Arc::clone(&counted.1));
            async move {
                most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                match protocol {
                    Protocol::Http2 => echo_http2(stream).await,
                    _ => mirror(stream).await,
                }
                open.fetch_sub(1, Ordering::SeqCst);
            }
        })
        .await;
        let pool = ConnectionPool { connections: Some(1), ..ConnectionPool::default() };
        let proxy = world.web(service_of(protocol, limited(pool), &[app]), 1).await;
        for _ in 0..5 {
            assert_eq!(at_once(proxy, 12).await, (12, 0), "{protocol:?}");
        }
        // The app hears of a closed connection a little after the next was made.
        assert!(most.load(Ordering::SeqCst) <= 2, "{protocol:?} {most:?}");
    }
}

async fn echo_http2(stream: TcpStream) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((_request, mut respond))) = connection.accept().await {
        let _gone = respond.send_response(http::Response::new(()), true);
    }
}

/// A peer that answers no PING is given up, and its requests with it.
#[tokio::test]
async fn a_silent_http2_peer_is_found_by_pings() {
    let world = World::new();
    let frozen = serving([127, 0, 0, 1], |stream| async move {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        let _request = connection.accept().await;
        // Whoever doesn't look at the connection answers nothing.
        std::future::pending().await
    })
    .await;
    let ping = Ping { interval: Duration::from_millis(50), timeout: Some(Duration::from_millis(50)) };
    let policy = TrafficPolicy {
        pool: Some(ConnectionPool { ping: Some(ping), ..ConnectionPool::default() }),
        ..TrafficPolicy::default()
    };
    let proxy = world.web(service_of(Protocol::Http2, policy, &[frozen]), 1).await;
    assert_eq!(status_of(proxy, "POST").await, 503);
}
