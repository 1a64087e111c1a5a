//! Trace context on requests that pass two proxies.

use std::collections::BTreeMap;

use leno_model::service::{Address, Protocol, Transport};
use leno_proxy::traces::Settings;
use leno_telemetry::propagation::{Format, Propagation};
use leno_telemetry::sampling::Sampler;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::app::{answer, mirror, serving};
use crate::world::{OWN, World, service, soon, workload};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn settings(formats: &[Format], ratio: f64) -> Settings {
    Settings { propagation: Propagation::of(formats.iter().copied()).unwrap(), sampler: Sampler::of(ratio) }
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
