//! The load generator: its schedule, its honesty about latency, and how it counts failures.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::odd::{always, leaving, nobody, request, server, stalling};
use crate::process::{Printed, finish, interrupt, run, serve, start};

/// `load URL` with JSON output.
async fn load(url: &str, more: &[&str]) -> Printed {
    run(&[&["load", url, "--output=json"], more].concat()).await
}

/// Failures by kind that aren't zero.
fn failures(report: &Value) -> Value {
    let kinds = report["failures"].as_object().unwrap();
    kinds
        .iter()
        .filter(|(_, seen)| seen["count"] != 0)
        .map(|(kind, seen)| (kind.clone(), seen["count"].clone()))
        .collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[tokio::test]
async fn the_open_loop_keeps_its_rate() {
    let service = serve("any", &["--version", "v4"]).await;
    for (url, more) in [
        (service.url("http", "/bytes/10"), &[][..]),
        (service.url("h2c", "/bytes/10"), &["--connections=2"]),
        (service.url("grpc", "/Pricing/Quote?book=2"), &["--connections=2", "--streams=4"]),
    ] {
        let printed = load(&url, &[&["--rate=400", "--duration=1500ms"], more].concat()).await;
        let report = printed.json();
        assert_eq!(
            (printed.code, &report["sent"], &report["ok"]),
            (Some(0), &json!(600), &json!(600)),
            "{report:#}"
        );
        let rate = number(&report["achieved_rate"]);
        assert!((350.0..=450.0).contains(&rate), "{rate}");
        assert_eq!(report["versions"]["v4"]["count"], 600);
        assert!(number(&report["versions"]["v4"]["last_ms"]) > 1400.0);
        assert_eq!(report["statuses"], json!({"200": 600}));
        assert_eq!(report["latency_us"]["count"], 600);
        let expected = if url.starts_with("grpc") { json!({"0": 600}) } else { json!({}) };
        assert_eq!(report["grpc_statuses"], expected);
    }
}

#[tokio::test]
async fn requests_arrive_when_they_are_due_by_the_servers_clock() {
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&arrivals);
    let server = server(move |mut stream, _| {
        let seen = Arc::clone(&seen);
        async move {
            while request(&mut stream).await {
                seen.lock().unwrap().push(Instant::now());
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
        }
    })
    .await;
    let report = load(&server.url("http"), &["--rate=500", "--requests=500"]).await.json();
    assert_eq!(report["ok"], 500, "{report:#}");
    let mut arrivals = arrivals.lock().unwrap().clone();
    arrivals.sort_unstable();
    // How far each is from its place in the schedule; the median forgives a machine that pauses now and then.
    let late = |(n, at): (u32, &Instant)| (*at - arrivals[0]).as_secs_f64() - f64::from(n) / 500.0;
    let mut late: Vec<f64> = (0..).zip(&arrivals).map(late).collect();
    late.sort_by(f64::total_cmp);
    assert!(late[250].abs() < 0.01, "{late:?}");
}

#[tokio::test]
async fn a_stall_shows_in_the_latencies_of_all_who_came_meanwhile() {
    let server = stalling(300, Duration::from_millis(200)).await;
    let printed = load(&server.url("http"), &["--rate=1000", "--duration=1s", "--connections=4"]).await;
    let report = printed.json();
    assert_eq!((&report["sent"], &report["ok"]), (&json!(1000), &json!(1000)), "{report:#}");
    // A fifth of the requests were due during the stall and waited 100 ms on average, though only 4 were sent in it.
    let latency = &report["latency_us"];
    assert!(number(&latency["p90"]) > 80_000.0, "{report:#}");
    assert!(number(&latency["p99"]) > 180_000.0, "{report:#}");
    assert!(number(&latency["max"]) >= 200_000.0, "{report:#}");
    // Measured from the sending, the stall all but vanishes: that is the error the open loop avoids.
    assert!(number(&report["service_us"]["p99"]) < 150_000.0, "{report:#}");
    assert_eq!(report["generator"]["kept_up"], false);
    assert!(number(&report["generator"]["waited_for_connection"]) > 100.0);
    assert!(
        report["generator"]["notes"].to_string().contains("their latency counts from when they were due")
    );
}

#[tokio::test]
async fn what_was_due_and_never_sent_counts_too() {
    let server = server(|stream, _| async move {
        let _silent = stream;
        std::future::pending().await
    })
    .await;
    let printed =
        load(&server.url("http"), &["--rate=100", "--duration=500ms", "--connections=1", "--timeout=1200ms"])
            .await;
    let report = printed.json();
    let (sent, unsent) = (number(&report["sent"]), number(&report["unsent"]));
    assert_eq!((printed.code, sent + unsent), (Some(1), 50.0), "{report:#}");
    assert!((1.0..=2.0).contains(&sent), "{report:#}");
    assert_eq!(report["latency_us"]["count"], 50);
    assert!(number(&report["latency_us"]["p50"]) > 700_000.0, "{report:#}");
    assert_eq!(report["generator"]["kept_up"], false);
}

#[tokio::test]
async fn failures_are_told_apart() {
    let nobody = nobody();
    let gone = &nobody.address;
    let service = serve("any", &[]).await;
    let cut = always("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", true).await;
    let gone_at_once = always("", true).await;
    let garbage = always("220 smtp.example ESMTP\r\n\r\n", false).await;
    let excess = always("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokmore", false).await;
    for (url, kind, more) in [
        (format!("http://{gone}/"), "connect", &[][..]),
        (format!("h2c://{gone}/"), "connect", &[]),
        (cut.url("http"), "cut", &[]),
        (gone_at_once.url("http"), "reset", &[]),
        (garbage.url("http"), "protocol", &[]),
        (excess.url("http"), "protocol", &[]),
        (garbage.url("h2c"), "reset", &[]),
        (service.url("http", "/status/503"), "status", &[]),
        (service.url("h2c", "/status/404"), "status", &[]),
        (service.url("http", "/delay/60000"), "timeout", &["--timeout=30ms"]),
        (service.url("h2c", "/delay/60000"), "timeout", &["--timeout=30ms"]),
        (service.url("grpc", "/Pricing/Quote?book=77"), "grpc", &[]),
    ] {
        let printed = load(&url, &[&["--rate=200", "--requests=6", "--connections=2"], more].concat()).await;
        let report = printed.json();
        assert_eq!(
            (printed.code, &report["sent"], &report["failed"]),
            (Some(1), &json!(6), &json!(6)),
            "{url}: {report:#}"
        );
        assert_eq!(failures(&report), json!({kind: 6}), "{url}: {report:#}");
        assert_eq!(report["failure_samples"].as_array().unwrap().len(), 6);
    }
}

#[tokio::test]
async fn connections_are_opened_again() {
    let closing = always("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", true).await;
    let until_end = always("HTTP/1.1 200 OK\r\nx-version: v9\r\n\r\nas long as it lasts", true).await;
    for server in [closing, until_end] {
        let report =
            load(&server.url("http"), &["--rate=200", "--requests=20", "--connections=2"]).await.json();
        assert_eq!((&report["ok"], &report["failed"]), (&json!(20), &json!(0)), "{report:#}");
        assert!(number(&report["generator"]["connections_opened"]) >= 20.0);
    }
    // A connection that the server closes while it is idle isn't used.
    let idle = always("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true).await;
    let report = load(&idle.url("http"), &["--rate=5", "--requests=5", "--connections=1"]).await.json();
    assert_eq!(
        (&report["ok"], &report["generator"]["connections_opened"]),
        (&json!(5), &json!(5)),
        "{report:#}"
    );
}

#[tokio::test]
async fn a_goaway_loses_nothing() {
    let server = leaving(10).await;
    for (scheme, path) in [("h2c", ""), ("grpc", "Pricing/Quote")] {
        let url = format!("{}{path}", server.url(scheme));
        let printed = load(&url, &["--rate=1000", "--requests=300", "--connections=2", "--streams=8"]).await;
        let report = printed.json();
        assert_eq!((&report["ok"], &report["failed"]), (&json!(300), &json!(0)), "{report:#}");
        assert!(number(&report["generator"]["connections_opened"]) > 3.0, "{report:#}");
    }
}

#[tokio::test]
async fn the_closed_loop_says_what_it_is() {
    let service = serve("any", &[]).await;
    for scheme in ["http", "h2c"] {
        let url = service.url(scheme, "/echo");
        let printed =
            load(&url, &["--closed", "--requests=200", "--connections=4", "--body-size=1000"]).await;
        let report = printed.json();
        assert_eq!(
            (&report["mode"], &report["ok"], &report["workers"]),
            (&json!("closed"), &json!(200), &json!(4)),
            "{report:#}"
        );
        assert_eq!(report["intended_rate"], Value::Null);
        assert!(report["generator"]["notes"].to_string().contains("closed loop"));
    }
    let report =
        load(&service.url("http", "/delay/20"), &["--closed", "--duration=200ms", "--connections=2"])
            .await
            .json();
    assert!((2.0..=20.0).contains(&number(&report["sent"])), "{report:#}");
}

#[tokio::test]
async fn streams_go_on_until_every_offer_is_answered() {
    let service = serve("any", &[]).await;
    let often = ["--closed", "--requests=6", "--connections=2", "--streams=2", "--messages=50"];
    for window in ["--window=1", "--window=7", "--window=1000"] {
        let url = service.url("grpc", "/Pricing/Haggle?book=2&cents=500");
        let printed = load(&url, &[&often[..], &["--body-size=100", window]].concat()).await;
        let report = printed.json();
        assert_eq!(
            (printed.code, &report["ok"], &report["messages"]),
            (Some(0), &json!(6), &json!(300)),
            "{report:#}"
        );
        assert_eq!(report["grpc_statuses"], json!({"0": 6}));
        // Every note comes back.
        assert!(number(&report["body_bytes"]) > 300.0 * 100.0, "{report:#}");
    }
    let report = load(&service.url("grpc", "/Pricing/Haggle?book=77"), &often).await.json();
    assert_eq!((failures(&report), &report["messages"]), (json!({"grpc": 6}), &json!(0)), "{report:#}");
    // A server that says OK and hasn't answered.
    let short = leaving(1000).await;
    let one = ["--closed", "--requests=2", "--connections=1", "--messages=1"];
    let report = load(&format!("{}Pricing/Haggle", short.url("grpc")), &one).await.json();
    assert_eq!(failures(&report), json!({"protocol": 2}), "{report:#}");
}

#[tokio::test]
async fn an_interrupted_run_still_reports() {
    let service = serve("any", &[]).await;
    let child =
        start(&["load", &service.url("http", "/healthz"), "--rate=200", "--duration=1h", "--output=json"]);
    // The service's own count isn't visible; a run of the same kind shows when about 50 requests have passed.
    load(&service.url("http", "/healthz"), &["--rate=200", "--requests=50"]).await;
    interrupt(&child);
    let report = finish(child).await.json();
    assert_eq!(
        (&report["generator"]["interrupted"], &report["failed"]),
        (&json!(true), &json!(0)),
        "{report:#}"
    );
    assert!(number(&report["sent"]) > 0.0);
}

#[tokio::test]
async fn requests_carry_what_was_asked_for() {
    let service = serve("any", &[]).await;
    let report = load(
        "http://shop.example/echo",
        &[
            "--connect",
            service.address(),
            "--closed",
            "--requests=1",
            "--connections=1",
            "-H",
            "x-shop-a: b",
            "-d",
            "hello",
        ],
    )
    .await
    .json();
    assert_eq!((&report["ok"], &report["address"]), (&json!(1), &json!(service.address())), "{report:#}");
    let printed = run(&["load", &service.url("h2c", "/bytes/5"), "--rate=100", "--requests=5"]).await;
    for expected in ["open loop to h2c://", "ok        5", "statuses  200: 5", "latency   p50"] {
        assert!(printed.out.contains(expected), "{expected:?} isn't in {}", printed.out);
    }
}

#[tokio::test]
async fn large_answers_are_counted() {
    let service = serve("any", &[]).await;
    for scheme in ["http", "h2c"] {
        let url = service.url(scheme, "/bytes/20000000");
        let report = load(&url, &["--closed", "--requests=2", "--connections=1"]).await.json();
        assert_eq!((&report["ok"], &report["body_bytes"]), (&json!(2), &json!(40_000_000)), "{report:#}");
    }
}
