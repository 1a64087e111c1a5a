//! `leno status`: whether everything runs, and what is in effect where.
//!
//! Three are asked: `leno up` what runs, the control plane what is in effect, and each proxy what it holds. Whoever
//! does not answer leaves a gap and nothing more: a mesh whose control plane is down goes on, and so does this.

mod gather;
mod live;
mod text;

use std::process::ExitCode;
use std::time::Duration;

use leno_local::protocol;
use serde::Serialize;

use crate::finding::Finding;
use crate::mesh::Named;
use crate::output::{self, Format};
use crate::words;

/// Show whether everything runs, and what is in effect where
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    named: Named,
    /// Go on showing it: on a terminal as a table that is kept up to date, which q or Ctrl-C ends; elsewhere printed again
    /// and again, with `--output json` as one object a line
    #[arg(long, short)]
    watch: bool,
    /// The time between two looks, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1, requires = "watch", value_parser = words::within::<u64>(1..=3600))]
    interval: u64,
}

/// Everything there is to say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    #[serde(flatten)]
    mesh: protocol::Status,
    control: Control,
    /// The control plane's newest snapshot, where it answers.
    snapshot: Option<u64>,
    proxies: Vec<Proxy>,
    objects: Vec<Object>,
}

/// Whether the control plane answers.
#[derive(Debug, Serialize)]
struct Control {
    answers: bool,
    /// Why not.
    error: Option<String>,
}

/// A proxy, as the control plane and it itself know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Proxy {
    /// The replica that it serves, or `gateway`.
    name: String,
    /// What the control plane calls it.
    id: String,
    state: State,
    /// The program's version.
    version: Option<String>,
    identity: Option<String>,
    certificate: Option<Certificate>,
    /// The newest snapshot of which it has everything that it needs.
    snapshot: Option<u64>,
    /// Units of configuration that it holds.
    units: Option<u32>,
    /// Since when it is connected, in seconds since 1970.
    connected_at: Option<u64>,
    /// What it refuses.
    refused: Vec<Refused>,
    /// Why it says nothing itself.
    error: Option<String>,
}

/// When a proxy's certificate is valid, in seconds since 1970.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    not_before: u64,
    not_after: u64,
}

/// How far a proxy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It has the newest snapshot.
    Current,
    /// It has not got or not answered all of it yet.
    Behind,
    /// It refuses a part and goes on with what it had.
    Refuses,
    /// It runs, and is not connected to the control plane.
    Disconnected,
    /// It does not answer.
    Silent,
    /// It runs; the control plane would have to say how far it has come.
    Unknown,
}

/// A unit that a proxy refuses.
#[derive(Debug, Serialize)]
struct Refused {
    unit: String,
    reason: String,
}

/// A configuration object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    kind: String,
    namespace: String,
    name: String,
    file: String,
    line: u32,
    column: u32,
    /// `exact`, `approximated` or `refused`.
    verdict: String,
    /// Whether an earlier version stays in effect in the place of a refused one.
    last_good: bool,
    /// In how many proxies it is in effect.
    in_effect: u32,
    /// For how many proxies it is, of those connected.
    proxies: u32,
    /// The first of those that wait for it.
    waiting: Vec<String>,
    /// The first of those that refuse what follows from it.
    refused: Vec<Refusal>,
    findings: Vec<Finding>,
}

/// A proxy that refuses what follows from an object.
#[derive(Debug, Serialize)]
struct Refusal {
    proxy: String,
    reason: String,
}

pub(crate) fn run(arguments: &Arguments, format: Format) -> anyhow::Result<ExitCode> {
    if arguments.watch {
        live::run(&arguments.named, Duration::from_secs(arguments.interval), format)?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = gather::report(arguments.named.running()?)?;
    match format {
        Format::Json => output::json(&report)?,
        Format::Text => output::lines(text::lines(&report, gather::now(), output::width()))?,
    }
    Ok(ExitCode::SUCCESS)
}
