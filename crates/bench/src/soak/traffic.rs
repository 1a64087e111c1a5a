//! The load: even requests that are counted, and loops of everything else that clients do.

use std::{
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use leno_testkit::mesh::Mesh;
use serde_json::Value;

/// Requests at a constant rate: who is called how, and whether a failure is the mesh's fault.
const LOADS: [(&str, &[&str]); 7] = [
    ("calm", &["http://calm/echo", "--rate", "60", "--connections", "8"]),
    ("calm", &["h2c://calm/echo", "--rate", "60", "--connections", "2", "--streams", "8"]),
    ("calm", &["grpc://calm/Pricing/Quote?book=3", "--rate", "40", "--connections", "2", "--streams", "8"]),
    ("calm", &["http://calm/echo", "--rate", "10", "--connections", "4", "--body-size", "65536"]),
    ("rough", &["http://rough/echo", "--rate", "60", "--connections", "8", "--timeout", "5s"]),
    (
        "rough",
        &[
            "grpc://rough/Pricing/Quote?book=3",
            "--rate",
            "40",
            "--connections",
            "2",
            "--streams",
            "8",
            "--timeout",
            "5s",
        ],
    ),
    ("rough", &["http://rough/delay/50", "--rate", "20", "--connections", "4", "--timeout", "5s"]),
];

/// What goes on beside, over and over: its name, and a line of shell, which says nothing when all is well.
const LOOPS: [(&str, &str); 10] = [
    ("gRPC, all kinds of streams", "leno-sample grpc-check grpc://calm >/dev/null || echo failed; sleep 1"),
    ("WebSocket by HTTP/1", "leno-sample ws ws://calm/ws --hold 200ms >/dev/null || echo failed"),
    ("WebSocket by HTTP/2", "leno-sample ws h2c://calm/ws --hold 200ms >/dev/null || echo failed"),
    ("bytes", "leno-sample call echo://echo:7 -d hello | grep -q hello || echo failed; sleep 0.1"),
    (
        "large answers",
        "curl -sf --max-time 60 -o /dev/null http://calm/bytes/20000000 || echo failed; sleep 2",
    ),
    (
        "large bodies",
        "head -c 10000000 /dev/zero | curl -sf --max-time 60 -T - -o /dev/null http://calm/echo || echo failed; sleep 2",
    ),
    (
        "slow readers",
        "curl -s --limit-rate 200k --max-time 20 -o /dev/null http://calm/bytes/100000000; true",
    ),
    ("event streams", "curl -sN --max-time 15 -o /dev/null 'http://calm/stream?interval=100ms'; true"),
    (
        "clients that go away",
        "curl -s --max-time 0.2 -o /dev/null http://calm/bytes/1000000000; head -c 50000000 /dev/zero | curl -s --max-time 0.2 -T - -o /dev/null http://calm/mirror; curl -s --http2-prior-knowledge --max-time 0.2 http://calm/delay/5000; sleep 0.5",
    ),
    (
        "clients that begin and stall",
        "exec 3<>/dev/tcp/calm/80; printf 'GET /echo HTTP/1.1\\r\\nhost: ca' >&3; sleep 5; exec 3>&-",
    ),
];

/// Everything that is under way.
pub(super) struct Traffic {
    loads: Vec<(&'static str, &'static str, Child)>,
    loops: Vec<(&'static str, Child)>,
}

/// How a part of it went.
pub(super) struct Report {
    pub(super) name: String,
    /// Whether nothing of it may fail.
    pub(super) is_calm: bool,
    pub(super) done: u64,
    pub(super) failed: u64,
    /// What to look at where something failed.
    pub(super) details: String,
}

impl Traffic {
    pub(super) fn start(mesh: &Mesh, duration: Duration) -> Result<Self> {
        let seconds = duration.as_secs();
        let time = format!("{seconds}s");
        let begin = |(service, arguments): (&'static str, &'static [&'static str])| {
            let mut all = arguments.to_vec();
            all.extend(["--duration", &time]);
            let url = arguments.first().copied().unwrap_or_default();
            (service, url, mesh.start_load("caller", &all))
        };
        let mut loads: Vec<_> = LOADS.map(begin).into();
        loads.push(("calm", "through the gateway", outside(mesh, &time)?));
        let loops = LOOPS.map(|(name, line)| {
            let script = format!(
                "for ((n = 0; SECONDS < {seconds}; n++)); do {line}; done 2>/dev/null | sort | uniq -c; true"
            );
            // The number of rounds isn't known outside of the pipe; what failed is what counts.
            (name, mesh.start("caller", &["bash", "-c", &script]))
        });
        Ok(Self { loads, loops: loops.into() })
    }

    /// Waits for its end.
    pub(super) fn end(self) -> Result<Vec<Report>> {
        let mut reports = Vec::new();
        for (service, url, child) in self.loads {
            let output = child.wait_with_output()?;
            let report: Value = serde_json::from_slice(&output.stdout)
                .with_context(|| format!("{url}: {}", String::from_utf8_lossy(&output.stderr)))?;
            let number = |key: &str| report.get(key).and_then(Value::as_u64).unwrap_or_default();
            let samples = report.get("failure_samples").map(ToString::to_string).unwrap_or_default();
            reports.push(Report {
                name: url.to_owned(),
                is_calm: service == "calm",
                done: number("sent"),
                failed: number("failed") + number("unsent"),
                details: samples,
            });
        }
        for (name, child) in self.loops {
            let output = child.wait_with_output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let failed = text.split_whitespace().next().and_then(|count| count.parse().ok());
            reports.push(Report {
                name: name.to_owned(),
                is_calm: true,
                done: 0,
                failed: failed.unwrap_or_default(),
                details: format!("{}{}", text.trim(), String::from_utf8_lossy(&output.stderr).trim()),
            });
        }
        Ok(reports)
    }
}

/// A load from the host, through the gateway.
fn outside(mesh: &Mesh, time: &str) -> Result<Child> {
    let url = format!("http://127.0.0.1:{}/echo", mesh.port);
    let mut load = mesh.program("leno-sample");
    load.args(["load", "--output", "json", "--rate", "40", "--connections", "4", "--duration", time, &url]);
    load.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    load.spawn().context("can't start the load from outside")
}
