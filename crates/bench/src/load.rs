//! Load from `leno-sample load`, always on the client's side.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    limits,
    process::{inside, output},
    world::{World, body},
};

/// What to send.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// At a constant rate, whatever the server does.
    Open { rate: u32, time: Duration },
    /// As fast as answers come.
    Closed { connections: u16, time: Duration },
    /// Exactly so many requests on one connection, one after the other.
    Count { requests: u32, version: Version },
    /// One large answer.
    Transfer { bytes: u64 },
}

/// The version of HTTP that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    /// With prior knowledge.
    Http2,
}

impl Version {
    /// As figures are named.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
        }
    }
}

/// What came back. Every request was answered well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) bytes: u64,
    /// Whether the generator kept its schedule; without it, open-loop figures are its own.
    pub(crate) kept_up: bool,
}

impl Load {
    /// Runs it to its end.
    pub(crate) fn run(self, world: &World, entry: SocketAddr) -> Result<Outcome> {
        self.run_and_look(world, entry, &mut || Ok(()))
    }

    /// Runs it to its end, and calls `look` once when it is half done.
    pub(crate) fn run_and_look(
        self,
        world: &World,
        entry: SocketAddr,
        look: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Outcome> {
        let bytes = if let Self::Transfer { bytes } = self { bytes } else { limits::BODY_BYTES };
        let mut command = inside(&world.network.client, world.binary("leno-sample"))?;
        command.args(["load", "--output", "json", "--connect"]).arg(entry.to_string());
        let limit = match self {
            Self::Open { rate, time } => {
                command.arg(format!("--rate={rate}")).arg(format!("--duration={}ms", time.as_millis()));
                time + limits::SLACK
            }
            Self::Closed { connections, time } => {
                command.arg("--closed").arg(format!("--connections={connections}"));
                command.arg(format!("--duration={}ms", time.as_millis()));
                time + limits::SLACK
            }
            Self::Count { requests, .. } => {
                command.args(["--closed", "--connections=1", &format!("--requests={requests}")]);
                command.arg(format!("--timeout={}s", limits::TRANSFER.as_secs()));
                limits::TRANSFER
            }
            Self::Transfer { .. } => {
                command.args(["--closed", "--connections=1", "--requests=1"]);
                command.arg(format!("--timeout={}s", limits::TRANSFER.as_secs()));
                limits::TRANSFER
            }
        };
        let scheme = match self {
            Self::Count { version: Version::Http2, .. } => "h2c",
            _ => "http",
        };
        command.arg(format!("{scheme}://{}{}", limits::HOST, body(bytes)));
        let midway = match self {
            Self::Open { time, .. } | Self::Closed { time, .. } => time / 2,
            Self::Count { .. } | Self::Transfer { .. } => limit,
        };
        let report = output("load", &world.folder, command, limit, midway, look)
            .with_context(|| format!("{self:?}"))?;
        parse(&serde_json::from_slice(&report).context("leno-sample printed no JSON")?)
    }
}

fn parse(report: &Value) -> Result<Outcome> {
    let number = |path: &str| {
        report.pointer(path).and_then(Value::as_f64).with_context(|| format!("no {path} in the load report"))
    };
    let count = |path: &str| {
        report.pointer(path).and_then(Value::as_u64).with_context(|| format!("no {path} in the load report"))
    };
    let (failed, unsent) = (count("/failed")?, count("/unsent")?);
    if failed > 0 || unsent > 0 {
        bail!("{failed} requests failed and {unsent} were never sent");
    }
    Ok(Outcome {
        requests: count("/ok")?,
        seconds: number("/seconds")?,
        per_second: number("/achieved_rate")?,
        p50_us: number("/latency_us/p50")?,
        p99_us: number("/latency_us/p99")?,
        bytes: count("/body_bytes")?,
        kept_up: report.pointer("/generator/kept_up").and_then(Value::as_bool).unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(failed: u64) -> Value {
        json!({"ok": 10, "failed": failed, "unsent": 0, "seconds": 2.0, "achieved_rate": 5.0, "body_bytes": 20,
               "latency_us": {"p50": 1.5, "p99": 3.0}, "generator": {"kept_up": true}})
    }

    #[test]
    fn good_reports_are_read_and_failures_refused() {
        let outcome = parse(&report(0)).unwrap();
        assert_eq!((outcome.requests, outcome.p50_us, outcome.kept_up), (10, 1.5, true));
        assert!(parse(&report(1)).unwrap_err().to_string().contains("1 requests failed"));
        assert!(parse(&json!({})).is_err());
    }
}
