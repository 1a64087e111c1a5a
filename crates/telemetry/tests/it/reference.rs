//! The reference page lists what is registered.

use std::sync::Arc;

use leno_telemetry::access::{AccessLog, Format, Target};
use leno_telemetry::export::Exporter;
use leno_telemetry::faults::Faults;
use leno_telemetry::istio::{self, HttpMetrics, TcpMetrics};
use leno_telemetry::load::Load;
use leno_telemetry::mirrors::Mirrors;
use leno_telemetry::retries::Retries;
use leno_telemetry::tunnels::Tunnels;
use leno_telemetry::upstreams::Upstreams;
use leno_telemetry::{Registry, process, reference};

use crate::golden;

const INTRODUCTION: &str = "# Metrics

What every Leno proxy shows on its metrics endpoint, as Prometheus text or OpenMetrics. The names and labels of Istio's
standard metrics are Istio's, so dashboards and alerts written for it work unchanged. Leno's own metrics are called
`leno_*`. A label whose value isn't known is `unknown`; a metric that has too many series counts the rest in one series
whose labels are `overflow`.
";

#[test]
fn the_page_is_up_to_date() {
    let registry = Registry::new();
    let _http = HttpMetrics::new(&registry);
    let _tcp = TcpMetrics::new(&registry);
    istio::build(&registry, "proxy", "0.1.0");
    process::register(&registry);
    let _retries = Retries::new(&registry);
    let _mirrors = Mirrors::new(&registry);
    let _faults = Faults::new(&registry);
    let _tunnels = Tunnels::new(&registry);
    let _upstreams = Upstreams::new(&registry, Arc::default());
    let _traces = Exporter::new(&registry);
    let _load = Load::new(&registry, 1, 1, || 0);
    let _log = AccessLog::open(Target::Writer(Box::new(std::io::sink())), Format::Text, &registry).unwrap();
    assert!(registry.problems().is_empty(), "{:?}", registry.problems());

    let (own, standard): (Vec<_>, Vec<_>) =
        registry.describe().into_iter().partition(|desc| desc.name.starts_with("leno_"));
    let (standard, process): (Vec<_>, Vec<_>) =
        standard.into_iter().partition(|desc| desc.name.starts_with("istio_"));
    let page = format!(
        "{INTRODUCTION}\n## Istio's standard metrics\n{}\n## Leno\n{}\n## The process\n{}",
        reference::markdown(&standard),
        reference::markdown(&own),
        reference::markdown(&process),
    );
    golden::check("../../docs/reference/metrics.md", &page);
}
