//! Trace context on requests that pass two proxies.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use leno_model::service::{Address, Protocol, Transport};
use leno_proxy::traces::{self, Collector, Endpoint, Settings};
use leno_telemetry::propagation::{Format, Propagation};
use leno_telemetry::sampling::Sampler;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::app::{self, answer, mirror, serving};
use crate::world::{OWN, World, service, soon, workload};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn settings(formats: &[Format], ratio: f64) -> Settings {
    Settings {
        propagation: Propagation::of(formats.iter().copied()).unwrap(),
        sampler: Sampler::of(ratio),
        collector: None,
        service: None,
        attributes: Vec::new(),
    }
}

/// What the application behind two proxies gets to see of these headers.
async fn seen(tracing: Option<Settings>, headers: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
    let app = serving(OWN, mirror).await;
    let mut world = World::new();
    world.tracing = tracing;
    let path = world.app(workload(&[(app.port(), Protocol::Http)], Vec::new())).await;
    let native = Transport::Native(Address::Unix(path));
    let web = world.web(service(Protocol::Http, native, app), 2).await;
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut stream = TcpStream::connect(web).await.unwrap();
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: app\r\n{lines}\r\n").as_bytes()).await.unwrap();
    let (status, seen) = soon(answer(&mut stream)).await.unwrap();
    assert_eq!(status, 200);
    let mut fields = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in seen.lines().filter_map(|line| line.split_once(": ")) {
        fields.entry(name.to_ascii_lowercase()).or_default().push(value.to_owned());
    }
    fields
}

fn one<'f>(fields: &'f BTreeMap<String, Vec<String>>, name: &str) -> Option<&'f str> {
    let values = fields.get(name)?;
    assert_eq!(values.len(), 1, "{name} {values:?}");
    values.first().map(String::as_str)
}

#[tokio::test]
async fn a_trace_goes_on_and_an_invalid_one_begins_anew() {
    let tracing = || Some(settings(&[Format::W3c], 1.0));
    let fields =
        seen(tracing(), &[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]).await;
    let sent = one(&fields, "traceparent").unwrap();
    assert!(sent.starts_with(&format!("00-{TRACE}-")) && sent.ends_with("-01"), "{sent}");
    assert_ne!(sent, PARENT);
    assert_eq!(one(&fields, "tracestate"), Some("a=1,b=2"));
    let wrong = [("traceparent", "00-nonsense"), ("tracestate", "a=1"), ("b3", "untouched")];
    for headers in [&wrong[..], &[("traceparent", PARENT), ("traceparent", PARENT), ("tracestate", "a=1")]] {
        let fields = seen(tracing(), headers).await;
        let sent = one(&fields, "traceparent").unwrap();
        assert!(sent.len() == 55 && !sent.contains(TRACE) && sent.ends_with("-03"), "{sent}");
        assert_eq!(one(&fields, "tracestate"), None);
        assert_eq!(
            one(&fields, "b3"),
            headers.iter().find(|(name, _)| *name == "b3").map(|(_, value)| *value)
        );
    }
}

#[tokio::test]
async fn several_formats_say_the_same() {
    let tracing = settings(&[Format::W3c, Format::B3, Format::B3Multi], 0.0);
    let fields = seen(Some(tracing), &[("X-B3-TraceId", TRACE), ("X-B3-SpanId", "00f067aa0ba902b7")]).await;
    let parent = one(&fields, "traceparent").unwrap();
    let span = one(&fields, "x-b3-spanid").unwrap();
    assert_eq!(parent, format!("00-{TRACE}-{span}-00"), "nobody wanted it recorded");
    assert_eq!(one(&fields, "x-b3-traceid"), Some(TRACE));
    assert_eq!(one(&fields, "x-b3-sampled"), Some("0"));
    let caller = one(&fields, "x-b3-parentspanid").unwrap();
    assert_eq!(one(&fields, "b3"), Some(format!("{TRACE}-{span}-0-{caller}").as_str()));
    assert_ne!(caller, "00f067aa0ba902b7", "there is a proxy in between");
}

#[tokio::test]
async fn who_takes_no_part_leaves_everything_as_it_is() {
    let headers = [("traceparent", "00-nonsense"), ("tracestate", "A=1"), ("b3", "x"), ("x-b3-traceid", "y")];
    let fields = seen(None, &headers).await;
    assert!(headers.iter().all(|(name, value)| one(&fields, name) == Some(value)), "{fields:?}");
    assert_eq!(one(&seen(None, &[]).await, "traceparent"), None);
}

/// A collector that takes connections and says nothing.
async fn silent(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

/// Traces go to this address, all of them.
fn told_to(address: SocketAddr, protocol: traces::Protocol) -> Settings {
    let endpoint = Endpoint::parse(&format!("http://{address}"), protocol).unwrap();
    let collector = Collector { endpoint, headers: Vec::new(), by_egress: false, roots: None };
    Settings { collector: Some(collector), ..settings(&[Format::W3c], 1.0) }
}

#[tokio::test]
async fn a_collector_that_is_gone_or_hangs_costs_no_request_and_little_memory() {
    let hanging = serving(Ipv4Addr::LOCALHOST, silent).await;
    let gone = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        listener.local_addr().unwrap()
    };
    for (collector, protocol) in [(hanging, traces::Protocol::Grpc), (gone, traces::Protocol::HttpProtobuf)] {
        let app = serving(OWN, mirror).await;
        let mut world = World::new();
        world.tracing = Some(told_to(collector, protocol));
        let web = world.web(service(Protocol::Http, Transport::Plain, app), 1).await;
        let mut stream = TcpStream::connect(web).await.unwrap();
        let agent = "x".repeat(200);
        let request = format!("GET / HTTP/1.1\r\nhost: app\r\nuser-agent: {agent}\r\n\r\n");
        let mut sent = 0;
        while world.count("web", "leno_trace_spans_total", &[("outcome", "dropped")]).await < 100.0 {
            for _ in 0..500 {
                stream.write_all(request.as_bytes()).await.unwrap();
                let (status, _) = soon(answer(&mut stream)).await.unwrap();
                assert_eq!(status, 200);
            }
            sent += 500;
            assert!(sent < 20_000, "nothing is dropped");
        }
        let backlog = world.count("web", "leno_trace_backlog_bytes", &[]).await;
        assert!(backlog > 0.0 && backlog <= leno_telemetry::limits::TRACE_BACKLOG as f64, "{backlog}");
    }
}

#[tokio::test]
async fn a_collector_that_is_busy_gets_the_same_again() {
    let (tx, mut exports) = tokio::sync::mpsc::channel::<(String, Vec<u8>)>(8);
    let statuses = Arc::new(Mutex::new(vec!["200 OK", "503 Service Unavailable"]));
    let collector = serving(Ipv4Addr::LOCALHOST, move |mut stream: TcpStream| {
        let (tx, statuses) = (tx.clone(), Arc::clone(&statuses));
        async move {
            while let Some(head) = app::head(&mut stream).await {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                let mut body = vec![0; length.parse().unwrap()];
                stream.read_exact(&mut body).await.unwrap();
                tx.send((head, body)).await.unwrap();
                let status = statuses.lock().unwrap().pop().unwrap_or("200 OK");
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    let collector = collector.await;
    let app = serving(OWN, mirror).await;
    let mut world = World::new();
    world.tracing = Some(told_to(collector, traces::Protocol::HttpProtobuf));
    let web = world.web(service(Protocol::Http, Transport::Plain, app), 1).await;
    let mut stream = TcpStream::connect(web).await.unwrap();
    let request = format!("GET /books?id=secret HTTP/1.1\r\nhost: app\r\ntraceparent: {PARENT}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(soon(answer(&mut stream)).await.unwrap().0, 200);
    let (head, first) = soon(exports.recv()).await.unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
    let context = head.lines().find_map(|line| line.strip_prefix("traceparent: ")).unwrap();
    assert!(context.ends_with("-00") || context.ends_with("-02"), "an export isn't sampled: {context}");
    let (_, second) = soon(exports.recv()).await.unwrap();
    assert_eq!(first, second);
    let holds = |text: &[u8]| first.windows(text.len()).any(|window| window == text);
    assert!(holds(&0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes()), "the trace's id");
    assert!(holds(&0x00f0_67aa_0ba9_02b7_u64.to_be_bytes()), "the parent's id");
    assert!(holds(b"web-0.default") && holds(b"/books") && !holds(b"secret"));
    soon(async {
        while world.count("web", "leno_trace_spans_total", &[("outcome", "exported")]).await < 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
