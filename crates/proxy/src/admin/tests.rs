use std::time::Duration;

use leno_telemetry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::*;

/// Runs a test on one thread with its tasks.
async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

/// A registry whose text is longer than what sockets hold.
fn large() -> Registry {
    let registry = Registry::new();
    let family = registry.counters("leno_large_total", "Large.", &["of"]);
    for of in 0..500 {
        family.with([&format!("{of}{}", "x".repeat(2_000))]).inc();
    }
    registry
}

/// A connection to a server of nothing but a registry's metrics.
fn open(registry: Registry, format: Format) -> (UnixStream, Task<()>) {
    let (client, server) = UnixStream::pair().unwrap();
    let server: Box<dyn Io> = Box::new(server);
    let serving = async move {
        connection(server, async |exchange: Exchange| metrics(&registry, format, exchange.reply).await).await;
    };
    (client, task::spawn_local("admin", serving))
}

/// Reads up to and with `end`.
async fn until(client: &mut UnixStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        read.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap()
}

/// What chunks hold.
fn unchunked(mut chunked: &str) -> String {
    let mut text = String::new();
    loop {
        let (size, rest) = chunked.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&rest[..size]);
        chunked = rest[size..].strip_prefix("\r\n").unwrap();
        if size == 0 {
            assert_eq!(chunked, "");
            return text;
        }
    }
}

#[tokio::test]
async fn metrics_come_in_chunks_and_the_connection_stays() {
    local(async {
        let registry = large();
        let expected = registry.encode_to_string(Format::OpenMetrics);
        assert!(expected.len() > 1_000_000 && expected.ends_with("# EOF\n"));
        let (mut client, _serving) = open(registry, Format::OpenMetrics);
        for _ in 0..2 {
            client.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let head = until(&mut client, "\r\n\r\n").await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
            assert!(head.contains("transfer-encoding: chunked"), "{head}");
            let body = until(&mut client, "\r\n0\r\n\r\n").await;
            assert!(unchunked(&body) == expected, "another text than the registry's");
        }
    })
    .await;
}

#[tokio::test]
async fn old_clients_get_metrics_without_chunks() {
    local(async {
        let registry = large();
        let expected = registry.encode_to_string(Format::Text);
        let (mut client, serving) = open(registry, Format::Text);
        client.write_all(b"GET /metrics HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("chunked") && !head.contains("keep-alive"), "{head}");
        assert!(body == expected, "another text than the registry's");
        drop(client);
        serving.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_stops_reading_loses_the_place() {
    local(async {
        let (mut client, mut serving) = open(large(), Format::Text);
        client.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(timeout(ADMIN_TIME - Duration::from_secs(1), &mut serving).await.is_err(), "cut early");
        timeout(Duration::from_secs(2), serving).await.expect("not cut").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.len() > 1_000 && !answer.ends_with("0\r\n\r\n"));
    })
    .await;
}

#[tokio::test]
async fn who_leaves_needs_no_answer() {
    local(async {
        let (mut client, serving) = open(large(), Format::Text);
        client.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        until(&mut client, "# TYPE").await;
        drop(client);
        timeout(Duration::from_secs(10), serving).await.expect("goes on").unwrap();
    })
    .await;
}
