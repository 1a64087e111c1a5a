//! What is said on a running mesh's control socket: JSON, one message a line.
//!
//! A client sends one [`Envelope`] and reads [`Answer`]s until the connection ends. With `exec` it passes
//! its standard streams along, and may send [`Passed`] lines later. Fields may be added in one version;
//! what exists keeps its meaning.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

pub use crate::link::Phase;

/// The version of this protocol.
pub const VERSION: u32 = 1;

/// A request with its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// [`VERSION`].
    pub version: u32,
    /// What is wanted.
    pub request: Request,
}

/// What a client may want.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// One [`Answer::Status`].
    Status,
    /// [`Answer::Line`]s of these workloads or replicas; of all when empty.
    Logs {
        /// Names.
        workloads: Vec<String>,
        /// Whether to go on with what comes.
        follow: bool,
        /// At most so many past lines; all that are kept without.
        lines: Option<usize>,
    },
    /// Ends and starts all replicas of a workload, or one replica. One [`Answer::Done`].
    Restart {
        /// Its name.
        workload: String,
    },
    /// Runs a command in a workload's world, with the standard streams that come along. One
    /// [`Answer::Ended`].
    Exec {
        /// A workload or replica.
        workload: String,
        /// What to run.
        words: Vec<String>,
        /// Where; the workload's own without.
        workdir: Option<PathBuf>,
        /// Whether the streams are a terminal of its own.
        terminal: bool,
        /// Environment variables beside the workload's.
        variables: Vec<(String, String)>,
    },
    /// Ends the mesh. [`Answer::Done`], then the connection lasts until all is over.
    Down,
}

/// Something for a running `exec`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Passed {
    /// Send it this signal.
    Signal(i32),
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// The mesh's state.
    Status(Status),
    /// A line of output.
    Line(Line),
    /// So many lines were dropped because they came faster than they were read.
    Skipped(u64),
    /// It was done, or is under way.
    Done,
    /// The command ended with this code, as a shell would report it.
    Ended(i32),
    /// It can't be done; why, and the remedy.
    Failed(String),
}

/// A line of output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The replica, or `leno`.
    pub source: String,
    /// Which of its outputs.
    pub stream: Stream,
    /// The text, without the line's end; invalid UTF-8 replaced.
    pub text: String,
}

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// The workload's standard output.
    Stdout,
    /// The workload's standard error.
    Stderr,
    /// Its sidecar, its supervisor, or another of Leno's programs.
    Sidecar,
    /// `leno up` about it.
    Leno,
}

/// The state of a mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its name.
    pub mesh: String,
    /// The process number of `leno up`.
    pub process: u32,
    /// Whether everything is ready.
    pub ready: bool,
    /// Where the metrics of the whole mesh are served.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// Control plane and gateway.
    pub programs: Vec<ProgramStatus>,
    /// Every replica.
    pub replicas: Vec<ReplicaStatus>,
}

/// The state of a program of Leno's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgramStatus {
    /// Which.
    pub name: String,
    /// Whether it serves.
    pub ready: bool,
    /// Its process number, while it runs.
    pub process: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
}

/// The state of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Its name.
    pub name: String,
    /// The workload's name.
    pub workload: String,
    /// The service, if it implements one.
    pub service: Option<String>,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// Where it is in its life.
    pub phase: Phase,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether its sidecar serves.
    pub sidecar_ready: bool,
    /// How often its sidecar was started again.
    pub sidecar_restarts: u32,
    /// Its supervisor's process number, while that runs.
    pub supervisor: Option<u32>,
    /// The last thing worth telling.
    pub note: Option<String>,
}
