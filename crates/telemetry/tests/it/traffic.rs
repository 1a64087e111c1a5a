//! Istio's metrics as a scraper sees them.

use std::thread;
use std::time::Duration;

use leno_runtime::Instant;
use leno_telemetry::Registry;
use leno_telemetry::exposition::Format;
use leno_telemetry::istio::{
    self, HttpMetrics, Labels, Reporter, RequestProtocol, Security, Service, TcpMetrics, Workload,
};
use leno_telemetry::limits::{CLASSES_PER_PAIR, SERIES_IDLE, TRAFFIC_PAIRS};

use crate::golden;
use crate::parse::{Sample, parse};

/// The pair of istio/proxy's testdata (`testdata/metric/client_request_total.yaml.tmpl`).
const LABELS: Labels<'_> = Labels {
    reporter: Reporter::Source,
    source: Workload {
        name: "productpage-v1",
        namespace: "default",
        principal: "",
        app: "productpage",
        version: "v1",
        cluster: "client-cluster",
        canonical_service: "productpage-v1",
        canonical_revision: "version-1",
    },
    destination: Workload {
        name: "ratings-v1",
        namespace: "default",
        principal: "",
        app: "ratings",
        version: "v1",
        cluster: "server-cluster",
        canonical_service: "ratings",
        canonical_revision: "version-1",
    },
    service: Service { host: "server.default.svc.cluster.local", name: "server", namespace: "default" },
    security: Security::Unknown,
};

const ISTIO_PAIR: &str = r#"reporter="source",source_workload="productpage-v1",source_canonical_service="productpage-v1",source_canonical_revision="version-1",source_workload_namespace="default",source_principal="unknown",source_app="productpage",source_version="v1",source_cluster="client-cluster",destination_workload="ratings-v1",destination_workload_namespace="default",destination_principal="unknown",destination_app="ratings",destination_version="v1",destination_service="server.default.svc.cluster.local",destination_canonical_service="ratings",destination_canonical_revision="version-1",destination_service_name="server",destination_service_namespace="default",destination_cluster="server-cluster""#;

fn to_service(name: &str) -> Labels<'_> {
    Labels { service: Service { name, ..LABELS.service }, ..LABELS }
}

fn samples(registry: &Registry, name: &str) -> Vec<Sample> {
    let families = parse(&registry.encode_to_string(Format::Text), false);
    families.into_iter().flat_map(|family| family.samples).filter(|sample| sample.name == name).collect()
}

fn values(registry: &Registry, name: &str, labels: &[&str]) -> Vec<(Vec<String>, f64)> {
    let label = |sample: &Sample, name: &&str| sample.label(name).unwrap().to_owned();
    samples(registry, name)
        .iter()
        .map(|sample| (labels.iter().map(|name| label(sample, name)).collect(), sample.value))
        .collect()
}

#[test]
fn series_are_istios_to_the_letter() {
    let registry = Registry::new();
    let shard = registry.shard();
    let http = HttpMetrics::new(&registry).resolve(&shard, &LABELS);
    http.start(Instant::now()).response_code = 200;
    let mut grpc = http.start(Instant::now());
    (grpc.protocol, grpc.response_code, grpc.grpc_status) = (RequestProtocol::Grpc, 200, Some(14));
    (grpc.response_flags, grpc.request_bytes) = ("UF", 7);
    grpc.request_messages(2);
    grpc.response_messages(3);
    drop(grpc);
    let tcp = TcpMetrics::new(&registry).resolve(&shard, &LABELS).open();
    tcp.sent(10);
    tcp.received(20);
    istio::build(&registry, "proxy", "1.2.3");

    let text = registry.encode_to_string(Format::Text);
    for line in [
        format!(
            r#"istio_requests_total{{{ISTIO_PAIR},request_protocol="http",response_code="200",grpc_response_status="",response_flags="-",connection_security_policy="unknown"}} 1"#
        ),
        format!(
            r#"istio_requests_total{{{ISTIO_PAIR},request_protocol="grpc",response_code="200",grpc_response_status="14",response_flags="UF",connection_security_policy="unknown"}} 1"#
        ),
        format!(r#"istio_request_messages_total{{{ISTIO_PAIR}}} 2"#),
        format!(r#"istio_response_messages_total{{{ISTIO_PAIR}}} 3"#),
        format!(
            r#"istio_tcp_connections_opened_total{{{ISTIO_PAIR},request_protocol="tcp",response_flags="-",connection_security_policy="unknown"}} 1"#
        ),
        r#"istio_build{component="proxy",tag="1.2.3"} 1"#.to_owned(),
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn histograms_are_golden() {
    let registry = Registry::new();
    let http = HttpMetrics::new(&registry).resolve(&registry.shard(), &LABELS);
    let started = Instant::now();
    for (micros, request, response) in [(499, 0, 3), (501, 400, 20_000), (7_500_000, 5_000_000, 100)] {
        let mut record = http.start(started);
        record.took = Some(Duration::from_micros(micros));
        (record.response_code, record.request_bytes, record.response_bytes) = (200, request, response);
    }
    let text = registry.encode_to_string(Format::Text).replace(ISTIO_PAIR, "PAIR");
    golden::check("tests/golden/traffic.txt", &text);
}

#[test]
fn what_is_not_known_says_so() {
    let registry = Registry::new();
    let nobody = Labels {
        reporter: Reporter::Destination,
        source: Workload::default(),
        destination: Workload::default(),
        service: Service::default(),
        security: Security::None,
    };
    let http = HttpMetrics::new(&registry).resolve(&registry.shard(), &nobody);
    drop(http.start(Instant::now()));
    let sample = &samples(&registry, "istio_requests_total")[0];
    for (name, value) in &sample.labels {
        let expected = match name.as_str() {
            "reporter" => "destination",
            "request_protocol" => "http",
            "response_code" => "0",
            "grpc_response_status" => "",
            "response_flags" => "-",
            "connection_security_policy" => "none",
            _ => "unknown",
        };
        assert_eq!(value, expected, "{name}");
    }
}

#[tokio::test]
async fn a_cancelled_request_counts() {
    let registry = Registry::new();
    let http = HttpMetrics::new(&registry).resolve(&registry.shard(), &LABELS);
    let mut request = Box::pin(async move {
        let mut record = http.start(Instant::now());
        record.response_flags = "DC";
        std::future::pending::<()>().await;
    });
    assert!(futures_pending(&mut request).await);
    assert!(samples(&registry, "istio_requests_total").is_empty());
    drop(request);
    let flags = values(&registry, "istio_requests_total", &["response_flags"]);
    assert_eq!(flags, [(vec!["DC".to_owned()], 1.0)]);
}

async fn futures_pending(future: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending()))
        .await
}

#[test]
fn a_request_counts_where_it_went() {
    let registry = Registry::new();
    let (metrics, shard) = (HttpMetrics::new(&registry), registry.shard());
    let (first, second) =
        (metrics.resolve(&shard, &to_service("first")), metrics.resolve(&shard, &to_service("second")));
    let mut record = first.start(Instant::now());
    record.move_to(second.clone());
    drop(record);
    let counted = values(&registry, "istio_requests_total", &["destination_service_name"]);
    assert_eq!(counted, [(vec!["second".to_owned()], 1.0)]);
}

#[test]
fn threads_count_apart_and_show_together() {
    const EACH: u64 = 10_000;
    let registry = Registry::new();
    let (http, tcp) = (HttpMetrics::new(&registry), TcpMetrics::new(&registry));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let shard = registry.shard();
                let http = http.resolve(&shard, &LABELS);
                let tcp = tcp.resolve(&shard, &LABELS);
                for i in 0..EACH {
                    let mut record = http.start(Instant::now());
                    record.response_code = if i % 2 == 0 { 200 } else { 404 };
                    record.request_messages(1);
                    let connection = tcp.open();
                    connection.sent(2);
                    tcp.failed("UF");
                }
            });
        }
        scope.spawn(|| (0..20).for_each(|_| drop(parse(&registry.encode_to_string(Format::Text), false))));
    });
    let all = (4 * EACH) as f64;
    for code in samples(&registry, "istio_requests_total") {
        assert_eq!(code.value, all / 2.0);
    }
    assert_eq!(samples(&registry, "istio_request_messages_total")[0].value, all);
    for (name, value) in [("opened", all), ("closed", all)] {
        let name = format!("istio_tcp_connections_{name}_total");
        let counted = values(&registry, &name, &["response_flags"]);
        assert_eq!(counted, [(vec!["-".to_owned()], value), (vec!["UF".to_owned()], value)]);
    }
    assert_eq!(samples(&registry, "istio_tcp_sent_bytes_total")[0].value, 2.0 * all);
}

#[test]
fn too_many_outcomes_count_in_one() {
    let registry = Registry::new();
    let http = HttpMetrics::new(&registry).resolve(&registry.shard(), &LABELS);
    let codes = 100..100 + u16::try_from(CLASSES_PER_PAIR).unwrap() + 3;
    for code in codes.clone().chain(codes) {
        http.start(Instant::now()).response_code = code;
    }
    let counted = values(&registry, "istio_requests_total", &["response_code"]);
    assert_eq!(counted.len(), CLASSES_PER_PAIR + 1);
    assert!(counted.contains(&(vec!["overflow".to_owned()], 6.0)));
    assert!(counted.contains(&(vec!["100".to_owned()], 2.0)));
    let spilled = values(&registry, "leno_metrics_overflow_total", &["metric"]);
    assert!(spilled.contains(&(vec!["istio_requests_total".to_owned()], 6.0)));
}

#[test]
fn too_many_pairs_count_in_one() {
    let registry = Registry::new();
    let (metrics, shard) = (HttpMetrics::new(&registry), registry.shard());
    for i in 0..TRAFFIC_PAIRS + 3 {
        let name = format!("s{i}");
        let http = metrics.resolve(&shard, &to_service(&name));
        http.start(Instant::now()).response_code = 200;
        http.start(Instant::now()).response_code = 503;
    }
    let text = registry.encode_to_string(Format::Text);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| {
            line.starts_with("istio_requests_total") && line.contains(r#"service_name="overflow""#)
        })
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines.iter().all(|line| line.ends_with(" 3") && line.contains(r#"reporter="overflow""#)),
        "{lines:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_idle_goes_and_comes_back() {
    let registry = Registry::new();
    let (metrics, shard) = (HttpMetrics::new(&registry), registry.shard());
    let held = metrics.resolve(&shard, &to_service("held"));
    drop(held.start(Instant::now()));
    drop(metrics.resolve(&shard, &to_service("idle")).start(Instant::now()));
    let names = || -> Vec<_> {
        let shown = values(&registry, "istio_requests_total", &["destination_service_name"]);
        shown.into_iter().map(|(mut name, value)| (name.remove(0), value)).collect()
    };
    let (kept, idle) = (("held".to_owned(), 1.0), ("idle".to_owned(), 1.0));
    assert_eq!(names(), [kept.clone(), idle.clone()]);
    tokio::time::advance(SERIES_IDLE - Duration::from_secs(1)).await;
    assert_eq!(names(), [kept.clone(), idle.clone()]);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(names(), std::slice::from_ref(&kept));
    drop(metrics.resolve(&shard, &to_service("idle")).start(Instant::now()));
    assert_eq!(names(), [kept, idle]);
}
