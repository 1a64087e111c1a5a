//! Destinations whose endpoints fail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use leno_model::destination::{Balancer, TrafficPolicy};
use leno_model::outlier::OutlierDetection;
use leno_model::service::{Protocol, Transport};
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
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n").await.unwrap();
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
        let mut echoed = [0; 4];
        // A refused connection may be cut before or after this is written.
        let _gone = stream.write_all(b"ping").await;
        failed += u32::from(soon(stream.read_exact(&mut echoed)).await.is_err());
    }
    assert_eq!(failed, 3);
}
