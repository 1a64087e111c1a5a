//! 500 requests per second in four kinds: what may be repeated and what may not, by HTTP/1 and by HTTP/2.

use std::process::Child;

use leno_testkit::mesh::{Mesh, eventually, report};
use serde_json::Value;

/// Requests per second of one kind.
pub(super) const RATE: u64 = 125;

/// Requests of one kind that may be under way at once.
pub(super) const AT_ONCE: u64 = 8;

/// Requests by which a load has certainly begun.
const BEGUN: f64 = 100.0;

/// A kind of request.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Whether it may be repeated.
    pub(super) repeatable: bool,
    arguments: &'static [&'static str],
}

pub(super) const KINDS: [Kind; 4] = [
    Kind { name: "GET, HTTP/1", repeatable: true, arguments: &["http://web/echo", "--connections", "8"] },
    Kind {
        name: "GET, HTTP/2",
        repeatable: true,
        arguments: &["h2c://web:81/echo", "--connections", "1", "--streams", "8"],
    },
    Kind {
        name: "POST, HTTP/1",
        repeatable: false,
        arguments: &["http://web/echo", "--connections", "8", "-d", "an order"],
    },
    Kind {
        name: "gRPC",
        repeatable: false,
        arguments: &["grpc://web:81/Pricing/Quote?book=3", "--connections", "1", "--streams", "8"],
    },
];

/// All four, under way.
pub(super) struct Load(Vec<Child>);

impl Load {
    /// Begins it, and waits until requests are answered.
    pub(super) fn begin(mesh: &Mesh, seconds: u64) -> Self {
        let before = answered(mesh);
        let (rate, duration) = (RATE.to_string(), format!("{seconds}s"));
        let loads = KINDS.map(|kind| {
            let mut arguments = vec!["--rate", &rate, "--duration", &duration, "--timeout", "5s"];
            arguments.extend(kind.arguments);
            mesh.start_load("caller", &arguments)
        });
        eventually("requests are answered", || {
            let more = answered(mesh) - before;
            if more >= BEGUN { Ok(()) } else { Err(format!("{more} requests")) }
        });
        Self(loads.into())
    }

    /// Waits for its end; the report of each kind.
    pub(super) fn end(self) -> [Report; 4] {
        let reports: Vec<Report> = self.0.into_iter().map(|load| Report(report(load))).collect();
        reports.try_into().map_err(|_other| "four loads").unwrap()
    }
}

/// What a load reports.
#[derive(Debug)]
pub(super) struct Report(Value);

impl Report {
    /// Requests that failed or weren't even sent.
    pub(super) fn failed(&self) -> u64 {
        self.number("failed") + self.number("unsent")
    }

    pub(super) fn ok(&self) -> u64 {
        self.number("ok")
    }

    /// How long the slowest of a hundred took, in milliseconds.
    pub(super) fn slow_ms(&self) -> f64 {
        self.0["latency_us"]["p99"].as_f64().unwrap() / 1e3
    }

    fn number(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap()
    }
}

fn answered(mesh: &Mesh) -> f64 {
    mesh.counted("caller").sum("istio_requests_total", &[("reporter", "source")])
}
