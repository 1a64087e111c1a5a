//! Load from `leno-sample load`, always on the client's side.

use std::{net::SocketAddr, process::Command, time::Duration};

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
    /// Messages both ways in gRPC streams, of each stream so many unanswered.
    Streams { window: u16, time: Duration },
    /// One short gRPC stream, to see that there is somebody.
    Greeting,
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

/// What came back. Every request was answered well, and every message of every stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    /// Messages that came back in gRPC streams; as many went.
    pub(crate) messages: u64,
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
        let mut command = inside(&world.network.client, world.binary("leno-sample"))?;
        command.args(["load", "--output", "json", "--connect"]).arg(entry.to_string());
        let limit = self.arguments(&mut command);
        command.arg(self.url());
        let midway = match self {
            Self::Open { time, .. } | Self::Closed { time, .. } | Self::Streams { time, .. } => time / 2,
            Self::Count { .. } | Self::Transfer { .. } | Self::Greeting => limit,
        };
        let report = output("load", &world.folder, command, limit, midway, look)
            .with_context(|| format!("{self:?}"))?;
        parse(&serde_json::from_slice(&report).context("leno-sample printed no JSON")?)
    }

    /// Adds what `leno-sample load` has to know; the time that it may take.
    fn arguments(self, command: &mut Command) -> Duration {
        let mut for_time = |time: Duration| {
            command.arg(format!("--duration={}ms", time.as_millis()));
            time + limits::SLACK
        };
        match self {
            Self::Open { rate, time } => {
                let limit = for_time(time);
                command.arg(format!("--rate={rate}"));
                limit
            }
            Self::Closed { connections, time } => {
                let limit = for_time(time);
                command.arg("--closed").arg(format!("--connections={connections}"));
                limit
            }
            Self::Streams { window, time } => {
                let limit = for_time(time);
                command.arg("--closed").arg(format!("--connections={}", limits::GRPC_CONNECTIONS));
                command.arg(format!("--streams={}", limits::GRPC_STREAMS)).arg(format!("--window={window}"));
                command.arg(format!("--messages={}", limits::GRPC_MESSAGES));
                command.arg(format!("--body-size={}", limits::GRPC_NOTE_BYTES));
                limit
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
            Self::Greeting => {
                command.args(["--closed", "--connections=1", "--requests=1", "--messages=1"]);
                limits::SLACK
            }
        }
    }

    fn url(self) -> String {
        let (scheme, path) = match self {
            Self::Streams { .. } | Self::Greeting => ("grpc", "/Pricing/Haggle".to_owned()),
            Self::Transfer { bytes } => ("http", body(bytes)),
            Self::Count { version: Version::Http2, .. } => ("h2c", body(limits::BODY_BYTES)),
            _ => ("http", body(limits::BODY_BYTES)),
        };
        format!("{scheme}://{}{path}", limits::HOST)
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
        messages: count("/messages")?,
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
               "messages": 7, "latency_us": {"p50": 1.5, "p99": 3.0}, "generator": {"kept_up": true}})
    }

    #[test]
    fn good_reports_are_read_and_failures_refused() {
        let outcome = parse(&report(0)).unwrap();
        assert_eq!((outcome.requests, outcome.p50_us, outcome.kept_up), (10, 1.5, true));
        assert_eq!(outcome.messages, 7);
        assert!(parse(&report(1)).unwrap_err().to_string().contains("1 requests failed"));
        assert!(parse(&json!({})).is_err());
    }
}
