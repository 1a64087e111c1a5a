//! 500 requests per second in four kinds: what may be repeated and what may not, by HTTP/1 and by HTTP/2.

use std::process::{Child, Stdio};

use leno_testkit::mesh::{Mesh, eventually, report};
use serde_json::Value;

use super::fleet::Fleet;

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
    scheme: &'static str,
    /// The service's.
    port: Port,
    path: &'static str,
    more: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Port {
    Http,
    Grpc,
}

const HTTP1: [&str; 2] = ["--connections", "8"];
const HTTP2: [&str; 4] = ["--connections", "1", "--streams", "8"];
const ORDER: [&str; 4] = ["--connections", "8", "-d", "an order"];

const fn kind(
    name: &'static str,
    repeatable: bool,
    scheme: &'static str,
    port: Port,
    path: &'static str,
    more: &'static [&'static str],
) -> Kind {
    Kind { name, repeatable, scheme, port, path, more }
}

pub(super) const KINDS: [Kind; 4] = [
    kind("GET, HTTP/1", true, "http", Port::Http, "/echo", &HTTP1),
    kind("GET, HTTP/2", true, "h2c", Port::Grpc, "/echo", &HTTP2),
    kind("POST, HTTP/1", false, "http", Port::Http, "/echo", &ORDER),
    kind("gRPC", false, "grpc", Port::Grpc, "/Pricing/Quote?book=3", &HTTP2),
];

/// Who sends the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// A workload of the mesh.
    Caller,
    /// The host, through the gateway.
    Host,
}

/// All four, under way.
pub(super) struct Load(Vec<Child>);

impl Load {
    /// Begins it, and waits until requests are answered.
    pub(super) fn begin(fleet: &Fleet, from: From, seconds: u64) -> Self {
        let mesh = &fleet.mesh;
        let before = answered(mesh, from);
        let (rate, duration) = (RATE.to_string(), format!("{seconds}s"));
        let loads = KINDS.map(|Kind { scheme, port, path, more, .. }| {
            let authority = match (from, port) {
                (From::Caller, Port::Http) => "web:80".to_owned(),
                (From::Caller, Port::Grpc) => "web:81".to_owned(),
                (From::Host, Port::Http) => format!("127.0.0.1:{}", fleet.published[0]),
                (From::Host, Port::Grpc) => format!("127.0.0.1:{}", fleet.published[1]),
            };
            let url = format!("{scheme}://{authority}{path}");
            let mut arguments =
                vec![url.as_str(), "--rate", &rate, "--duration", &duration, "--timeout", "5s"];
            arguments.extend(more);
            match from {
                From::Caller => mesh.start_load("caller", &arguments),
                From::Host => outside(mesh, &arguments),
            }
        });
        eventually("requests are answered", || {
            let more = answered(mesh, from) - before;
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

/// A load from the host.
fn outside(mesh: &Mesh, arguments: &[&str]) -> Child {
    let mut load = mesh.program("leno-sample");
    load.args(["load", "--output", "json"]).args(arguments);
    load.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a load reports.
#[derive(Debug)]
pub(super) struct Report(Value);

impl Report {
    /// Requests that failed or weren't even sent.
    pub(super) fn failed(&self) -> u64 {
        self.number("failed") + self.number("unsent")
    }

    /// Those of them whose answer had begun.
    pub(super) fn cut(&self) -> u64 {
        self.0["failures"]["cut"]["count"].as_u64().unwrap()
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

fn answered(mesh: &Mesh, from: From) -> f64 {
    let proxy = match from {
        From::Caller => "caller",
        From::Host => "gateway",
    };
    mesh.counted(proxy).sum("istio_requests_total", &[("reporter", "source")])
}
