//! A Prometheus that others wrote scrapes the whole mesh by one address, and finds Istio's metrics as dashboards ask
//! for them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use leno_testkit::mesh::{Declaration, Mesh, eventually};
use leno_testkit::programs::{PROMETHEUS, or_skip};
use serde_json::Value;

/// Every replica of the demo.
const SIDECARS: [&str; 9] = [
    "shop-v1",
    "catalog-v1",
    "reviews-v1",
    "reviews-v2",
    "reviews-v3",
    "ratings-v1",
    "pricing-v1",
    "orders-v1",
    "stock-v1",
];
/// Those that are called over HTTP or gRPC, and so report requests as destination.
const SERVERS: [&str; 8] = [
    "shop-v1",
    "catalog-v1",
    "reviews-v1",
    "reviews-v2",
    "reviews-v3",
    "ratings-v1",
    "pricing-v1",
    "orders-v1",
];
/// Those that call over HTTP or gRPC, and so report requests as source.
const CLIENTS: [&str; 6] = ["gateway", "shop-v1", "catalog-v1", "reviews-v2", "reviews-v3", "orders-v1"];
/// Those that call `stock` over TCP.
const TCP_CLIENTS: [&str; 3] = ["catalog-v1", "ratings-v1", "orders-v1"];

/// Labels of every standard metric that have a value whatever the traffic.
const LABELS: [&str; 19] = [
    "reporter",
    "source_workload",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_canonical_service",
    "source_canonical_revision",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "request_protocol",
];

#[test]
fn a_real_prometheus_finds_every_sidecar() {
    let Some(program) = or_skip(PROMETHEUS.find()) else { return };
    let mesh = Declaration::example("demo", "scraped").argument("--metrics").argument("127.0.0.1:0").start();
    let status = mesh.leno_json(&["status"]);
    let metrics: SocketAddr = status["metrics"].as_str().unwrap().parse().unwrap();
    traffic(&mesh);
    let prometheus = Prometheus::start(&program, metrics);
    everybody_is_up(&prometheus);
    for query in ["istio_requests_total", "istio_request_duration_milliseconds_bucket{le=\"+Inf\"}"] {
        reports(&prometheus, query, "destination", &SERVERS);
        reports(&prometheus, query, "source", &CLIENTS);
    }
    for metric in ["istio_request_bytes", "istio_response_bytes"] {
        for part in ["_bucket{le=\"+Inf\"}", "_sum", "_count"] {
            reports(&prometheus, &format!("{metric}{part}"), "destination", &SERVERS);
            reports(&prometheus, &format!("{metric}{part}"), "source", &CLIENTS);
        }
    }
    for metric in
        ["istio_tcp_sent_bytes_total", "istio_tcp_received_bytes_total", "istio_tcp_connections_opened_total"]
    {
        reports(&prometheus, metric, "destination", &["stock-v1"]);
        reports(&prometheus, metric, "source", &TCP_CLIENTS);
    }
    // The services keep theirs open.
    reports(&prometheus, "istio_tcp_connections_closed_total", "destination", &["stock-v1"]);
    reports(&prometheus, "istio_tcp_connections_closed_total", "source", &["catalog-v1"]);
    both_ends_count_the_same(&prometheus);
    dashboards_find_their_labels(&prometheus);
    a_silent_process_is_told(&mesh, &prometheus);
}

/// Every service and every version is called.
fn traffic(mesh: &Mesh) {
    for _ in 0..10 {
        mesh.front();
    }
    let reviews = "http://reviews:9080/reviews/1";
    let report = mesh.load("catalog-v1", &[reviews, "--closed", "--requests", "200"]);
    assert_eq!(report["failed"], 0, "{report}");
    let report =
        mesh.load("catalog-v1", &[reviews, "--closed", "--requests", "20", "-H", "x-shop-reader: critic"]);
    assert_eq!(report["failed"], 0, "{report}");
    let stock = mesh.sample("catalog-v1", &["call", "tcp://stock:7000"]);
    assert!(stock.status.success(), "{stock:?}");
}

fn everybody_is_up(prometheus: &Prometheus) {
    let expected: BTreeSet<String> =
        SIDECARS.iter().chain(&["gateway", "control"]).map(ToString::to_string).collect();
    eventually("every process is scraped", || {
        let up = prometheus.query("leno_metrics_up == 1")?;
        let up: BTreeSet<String> = up.iter().map(|series| label(series, "workload")).collect();
        if up == expected { Ok(()) } else { Err(format!("{up:?}")) }
    });
    assert_eq!(prometheus.query("up{job=\"leno\"} == 1").unwrap().len(), 1);
    assert!(!prometheus.query("pilot_xds{workload=\"control\"}").unwrap().is_empty());
}

/// Each of these workloads shows the metric by itself, above zero and with its standard labels.
fn reports(prometheus: &Prometheus, metric: &str, reporter: &str, workloads: &[&str]) {
    let selector = match metric.split_once('{') {
        Some((name, rest)) => format!("{name}{{reporter=\"{reporter}\",{rest}"),
        None => format!("{metric}{{reporter=\"{reporter}\"}}"),
    };
    eventually(&selector, || {
        let series = prometheus.query(&format!("{selector} > 0"))?;
        let seen: BTreeSet<String> = series.iter().map(|series| label(series, "workload")).collect();
        let missing: Vec<&&str> = workloads.iter().filter(|workload| !seen.contains(**workload)).collect();
        for series in &series {
            let metric = &series["metric"];
            let unlabelled: Vec<&&str> =
                LABELS.iter().filter(|name| metric[**name].as_str().is_none()).collect();
            assert!(unlabelled.is_empty(), "{unlabelled:?} of {metric}");
            let own = if reporter == "source" { "source_workload" } else { "destination_workload" };
            assert_eq!(metric[own], metric["workload"], "it reports about itself: {metric}");
        }
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} are not among {seen:?}")) }
    });
}

/// What the callers' sidecars sent is what the called ones received, over mutual TLS.
fn both_ends_count_the_same(prometheus: &Prometheus) {
    for service in ["reviews", "catalog", "orders", "ratings", "pricing"] {
        eventually(&format!("requests of {service}"), || {
            let of = |reporter: &str, more: &str| {
                let selector =
                    format!("reporter=\"{reporter}\",destination_service_name=\"{service}\"{more}");
                let total = prometheus.query(&format!("sum(istio_requests_total{{{selector}}})"))?;
                total.first().map(value).ok_or_else(|| format!("{selector}: none"))
            };
            let sent = of("source", "")?;
            let received = of("destination", ",connection_security_policy=\"mutual_tls\"")?;
            if sent == received && sent > 0.0 { Ok(()) } else { Err(format!("{sent} and {received}")) }
        });
    }
}

/// Queries in the words of Istio's own dashboards and of Kiali.
fn dashboards_find_their_labels(prometheus: &Prometheus) {
    for query in [
        "sum(istio_requests_total{reporter=\"destination\",destination_service=\"reviews.default.svc.cluster.local\",response_code=\"200\"}) by (source_workload, source_workload_namespace)",
        "histogram_quantile(0.99, sum(istio_request_duration_milliseconds_bucket{reporter=\"source\",destination_service_name=\"reviews\"}) by (le))",
        "sum(istio_requests_total{destination_workload=\"ratings-v1\",request_protocol=\"grpc\",grpc_response_status=\"0\"}) by (reporter)",
        "sum(istio_requests_total{source_canonical_service=\"catalog\",destination_canonical_service=\"reviews\",destination_canonical_revision=\"v3\"}) by (destination_version)",
        "sum(istio_requests_total{source_principal=\"spiffe://cluster.local/ns/default/sa/catalog\",destination_principal=\"spiffe://cluster.local/ns/default/sa/reviews\"})",
        "sum(istio_tcp_sent_bytes_total{reporter=\"destination\",destination_service_name=\"stock\",request_protocol=\"tcp\"}) by (source_app)",
    ] {
        let found = prometheus.query(&format!("({query}) > 0")).unwrap();
        assert!(!found.is_empty(), "{query}");
    }
}

/// Without its sidecar a workload's series end, everybody else's go on, and the gap is told.
fn a_silent_process_is_told(mesh: &Mesh, prometheus: &Prometheus) {
    let control = "leno_metrics_up{workload=\"control\"}";
    let status = mesh.leno_json(&["status"]);
    let process =
        |program: &Value| (program["name"] == "control").then(|| program["process"].as_i64()).flatten();
    let pid = status["programs"].as_array().unwrap().iter().find_map(process).unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    eventually("the gap is told", || {
        let gap = prometheus.query(&format!("{control} == 0"))?;
        if gap.is_empty() { Err("it is up".to_owned()) } else { Ok(()) }
    });
    assert_eq!(prometheus.query("leno_metrics_up == 1").unwrap().len(), SIDECARS.len() + 1);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
}

/// A Prometheus that scrapes one address.
struct Prometheus {
    process: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Prometheus {
    fn start(program: &Path, metrics: SocketAddr) -> Self {
        let folder = std::env::temp_dir().join(format!("leno-prometheus-{}", std::process::id()));
        let _fresh = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 5s, scrape_timeout: 5s}}\n\
             scrape_configs: [{{job_name: leno, static_configs: [{{targets: [\"{metrics}\"]}}]}}]\n"
        );
        fs::write(&config, text).unwrap();
        let log = folder.join("log");
        let process = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut started = Self { process, folder, address: metrics };
        eventually("Prometheus listens", || {
            let text = fs::read_to_string(&log).unwrap();
            let address = text.lines().find_map(|line| {
                let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
                address.split_whitespace().next()?.parse().ok()
            });
            started.address = address.ok_or(text)?;
            started.query("1").map(drop)
        });
        started
    }

    /// The series that a query finds.
    fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={query}")).map_err(|error| error.to_string())?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no head")?;
        let body: Value = serde_json::from_str(body).map_err(|error| format!("{error}: {head}"))?;
        match (body["status"].as_str(), &body["data"]["result"]) {
            (Some("success"), Value::Array(series)) if body["data"]["resultType"] == "vector" => {
                Ok(series.clone())
            }
            (Some("success"), _) => Ok(Vec::new()),
            _ => Err(body.to_string()),
        }
    }

    /// HTTP/1.0, so that the answer comes in one piece.
    fn get(&self, target: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(stream, "GET {target} HTTP/1.0\r\nhost: {}\r\n\r\n", self.address)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _ended = self.process.wait();
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

fn label(series: &Value, name: &str) -> String {
    series["metric"][name].as_str().unwrap_or_default().to_owned()
}

fn value(series: &Value) -> f64 {
    series["value"][1].as_str().and_then(|value| value.parse().ok()).unwrap_or(f64::NAN)
}
