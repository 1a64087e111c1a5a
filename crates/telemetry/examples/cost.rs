//! Prints what telemetry costs per use on this machine, and what a series weighs. Run with `--release`; compare ratios.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "this prints, and stops where it can't go on")]

use std::hint::black_box;
use std::io::sink;
use std::time::{Duration, Instant, SystemTime};

use leno_runtime::Clock;
use leno_runtime::process::Usage;
use leno_telemetry::access::{AccessLog, Format, Shown, Target};
use leno_telemetry::exposition;
use leno_telemetry::id::Ids;
use leno_telemetry::istio::{HttpMetrics, Labels, Reporter, Security, Service, TcpMetrics, Workload};
use leno_telemetry::trace::TraceContext;
use leno_telemetry::{AccessRecord, Buckets, Registry};

const ROUNDS: u32 = 2_000_000;

fn cost(what: &str, mut f: impl FnMut()) {
    (0..ROUNDS / 10).for_each(|_| f());
    let started = Instant::now();
    (0..ROUNDS).for_each(|_| f());
    println!("{what:<44} {:>8.1} ns", started.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS));
}

fn workload(name: &str) -> Workload<'_> {
    Workload {
        name,
        namespace: "default",
        principal: "spiffe://cluster.local/ns/default/sa/someone",
        app: name,
        version: "v1",
        cluster: "Kubernetes",
        canonical_service: name,
        canonical_revision: "v1",
    }
}

fn labels(service: &str) -> Labels<'_> {
    Labels {
        reporter: Reporter::Source,
        source: workload("productpage-v1"),
        destination: workload("ratings-v1"),
        service: Service { host: "ratings.default.svc.cluster.local", name: service, namespace: "default" },
        security: Security::MutualTls,
    }
}

fn main() {
    let registry = Registry::new();
    let shard = registry.shard();
    let clock = Clock::system();

    let counter = registry.counter("a_total", "A.");
    cost("shared counter", || black_box(&counter).inc());
    let histogram = registry.histogram("b_seconds", "B.", Buckets::SECONDS);
    cost("shared histogram", || black_box(&histogram).observe(black_box(1_234)));

    let http = HttpMetrics::new(&registry);
    let handle = http.resolve(&shard, &labels("ratings"));
    cost("resolve an HTTP handle", || drop(black_box(http.resolve(&shard, &labels(black_box("ratings"))))));
    let now = clock.now();
    cost("record a request, start and time given", || {
        let mut record = black_box(&handle).start(now);
        (record.response_code, record.request_bytes, record.response_bytes) = (200, 120, 2_000);
        record.took = Some(Duration::from_micros(700));
    });
    cost("record a request, taking both instants", || {
        black_box(&handle).start(clock.now()).response_code = 200;
    });
    let tcp = TcpMetrics::new(&registry).resolve(&shard, &labels("ratings"));
    let connection = tcp.open();
    cost("count bytes of a connection", || black_box(&connection).sent(black_box(100)));
    cost("open and close a connection", || drop(black_box(&tcp).open()));

    let mut ids = Ids::new();
    cost("request id", || {
        black_box(ids.request_id());
    });
    let parent = TraceContext::root(&mut ids, true).header();
    cost("trace context: parse, child, header", || {
        let context = TraceContext::parse(black_box(parent.as_bytes())).expect("valid");
        black_box(context.child(&mut ids).header());
    });

    cost("wall clock", || {
        black_box(clock.wall());
    });
    cost("wall clock of an instant", || {
        black_box(clock.wall_at(black_box(now)));
    });
    let mut record = AccessRecord::new(SystemTime::now());
    record.path = Some(b"/reviews/1?verbose=true");
    record.user_agent = Some(b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)");
    record.upstream_host = Some("10.0.0.1:9080".parse::<std::net::SocketAddr>().expect("valid").into());
    let mut line = Vec::new();
    for format in [Format::Text, Format::Json] {
        let mut shown = Shown::new();
        cost(&format!("encode an access record, {format:?}"), || {
            line.clear();
            black_box(&record).encode(format, &mut shown, &mut line);
        });
        let log = AccessLog::open(Target::Writer(Box::new(sink())), format, &registry).expect("opens");
        cost(&format!("log an access record, {format:?}"), || log.record(black_box(&record)));
    }

    memory();
}

/// What a pair of source and destination with one outcome adds to anonymous memory, and to a scrape.
fn memory() {
    const PAIRS: u32 = 1_000;
    let registry = Registry::new();
    let shard = registry.shard();
    let http = HttpMetrics::new(&registry);
    let anon = || Usage::read().expect("/proc").rss_anon as f64;
    let before = anon();
    for i in 0..PAIRS {
        http.resolve(&shard, &labels(&format!("ratings-{i}"))).start(Clock::system().now()).response_code =
            200;
    }
    println!(
        "{:<44} {:>8.0} B",
        "HTTP series, per pair with one outcome",
        (anon() - before) / f64::from(PAIRS)
    );
    let started = Instant::now();
    let size = registry.encode_to_string(exposition::Format::Text).len();
    let took = started.elapsed().as_secs_f64() * 1e6 / f64::from(PAIRS);
    println!("{:<44} {:>8.0} B, {took:.0} µs", "scrape, per HTTP series", size as f64 / f64::from(PAIRS));
}
