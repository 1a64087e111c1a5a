//! What a process is told when it starts: a document in a sealed memory file, and the descriptors that
//! it names by number. Nothing of it shows in arguments or environment.

use std::{collections::BTreeMap, ffi::OsString, io, net::IpAddr, os::fd::RawFd, path::PathBuf};

use leno_capture::{descriptor, process::Command};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::mesh;

/// The argument before the number of the document's descriptor.
pub const BOOTSTRAP_ARGUMENT: &str = "--bootstrap-fd";

/// Why a process can't take over what it was started with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The document's descriptor.
    #[error("can't take over bootstrap descriptor {0}")]
    Document(RawFd, #[source] io::Error),
    /// The document's text. The source says where, never what: it holds secrets.
    #[error("the bootstrap document doesn't fit this program (line {line}, column {column})")]
    Form {
        /// Line of the mismatch.
        line: usize,
        /// Column of the mismatch.
        column: usize,
    },
    /// A descriptor that the document names.
    #[error("can't take over descriptor {0}")]
    Descriptor(RawFd, #[source] io::Error),
}

/// Reads the document behind this descriptor.
///
/// # Errors
/// [`Error::Document`] or [`Error::Form`].
pub fn take<T: DeserializeOwned>(number: RawFd) -> Result<T, Error> {
    let fd = descriptor::adopt(number).map_err(|error| Error::Document(number, error))?;
    let bytes = descriptor::read_sealed(fd).map_err(|error| Error::Document(number, error))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Form { line: error.line(), column: error.column() })
}

/// Takes over a descriptor that a document names.
///
/// # Errors
/// [`Error::Descriptor`].
pub fn adopt(number: RawFd) -> Result<std::os::fd::OwnedFd, Error> {
    descriptor::adopt(number).map_err(|error| Error::Descriptor(number, error))
}

/// Hands a document to a command, as its last argument's number.
///
/// # Errors
/// What making the memory file says.
pub fn give<T: Serialize>(command: &mut Command, document: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(document).map_err(io::Error::other)?;
    let number = command.hand(descriptor::sealed("leno-bootstrap", &bytes)?)?;
    command.argument(BOOTSTRAP_ARGUMENT).argument(number.to_string());
    Ok(())
}

/// What a sidecar is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sidecar {
    /// The mesh's name.
    pub mesh: String,
    /// The mesh's trust domain.
    pub trust_domain: String,
    /// Whom it serves.
    pub workload: SidecarWorkload,
    /// Where the control plane is.
    pub control: SidecarControl,
    /// What proves to the control plane whose sidecar this is.
    pub join_token: String,
    /// How its certificate is renewed.
    pub renewal: Renewal,
    /// How it takes part in tracing.
    pub tracing: Option<mesh::Tracing>,
    /// Threads for traffic; 0 lets the sidecar choose.
    pub threads: usize,
    /// Its listening sockets.
    pub sockets: SidecarSockets,
    /// Its end of the [vault](crate::vault).
    pub vault: RawFd,
    /// The mark (`SO_MARK`) for every socket that it dials with; 0 for none.
    pub mark: u32,
    /// In loopback mode: where the application listens, by the port that its service declares.
    #[serde(default)]
    pub application: Option<BTreeMap<u16, u16>>,
}

/// How sidecars renew their certificates; what is left out is as the sidecar has it by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Renewal {
    /// The validity to ask for, in seconds.
    pub lifetime_seconds: Option<u64>,
    /// The share of a certificate's life after which the next one is asked for, in per cent.
    pub after_percent: Option<u8>,
}

/// The workload of a sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SidecarWorkload {
    /// Unique in the mesh.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// Ports of the host that it may reach.
    pub host: SidecarHost,
}

/// Ports of the host that a workload may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SidecarHost {
    /// The address that stands for the host.
    pub address: IpAddr,
    /// The ports.
    pub ports: Vec<u16>,
}

/// The control plane's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SidecarControl {
    /// A Unix socket.
    pub unix: PathBuf,
}

/// Descriptors of listening sockets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SidecarSockets {
    /// Captured TCP connections: 15001 over IPv4, and over IPv6 where the kernel has it.
    pub outbound: Vec<RawFd>,
    /// The Unix socket that other sidecars dial.
    pub inbound: RawFd,
    /// DNS over UDP: 15053.
    pub dns_udp: Vec<RawFd>,
    /// DNS over TCP: 15053.
    pub dns_tcp: Vec<RawFd>,
    /// Administration: a Unix socket.
    pub admin: RawFd,
    /// In loopback mode: where the workload calls each service.
    #[serde(default)]
    pub services: Vec<SidecarService>,
}

/// A listening socket for one service, in loopback mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SidecarService {
    /// The socket.
    pub listener: RawFd,
    /// The service's host.
    pub host: String,
    /// The service's port.
    pub port: u16,
}

/// What a process in a fresh user and network namespace is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum SupervisorTask {
    /// Find out whether rules can be written, and exit.
    Probe,
    /// Keep a workload.
    Keep(Box<Supervisor>),
}

/// What a supervisor is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Supervisor {
    pub(crate) mesh: String,
    pub(crate) replica: crate::plan::Replica,
    pub(crate) process: Process,
    pub(crate) health: Option<Health>,
    pub(crate) world: World,
    pub(crate) sidecar_arguments: Vec<OsString>,
    pub(crate) init_arguments: Vec<OsString>,
    pub(crate) control: PathBuf,
    pub(crate) join_token: String,
    pub(crate) renewal: Renewal,
    pub(crate) tracing: Option<mesh::Tracing>,
    /// In loopback mode: its part of the loopback network.
    pub(crate) place: Option<crate::loopback::Place>,
    /// The message socket to `leno up`.
    pub(crate) link: RawFd,
    /// Where the workload's output goes.
    pub(crate) stdout: RawFd,
    /// Where the workload's errors go.
    pub(crate) stderr: RawFd,
}

/// A process in a workload's world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Process {
    pub(crate) words: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) workdir: PathBuf,
    /// Whether ending with code 0 means that its work is done.
    pub(crate) finite: bool,
    /// Whom to become; `None` for the caller itself.
    pub(crate) user: Option<crate::user::User>,
    /// Whether signals go to the whole process group, as a shell doesn't pass them on.
    pub(crate) signal_group: bool,
    /// Whether standard input is a terminal to be controlled.
    #[serde(default)]
    pub(crate) terminal: bool,
}

/// A health check, with nothing left to default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Health {
    pub(crate) check: Check,
    /// Between checks until the first success.
    pub(crate) starting_interval: mesh::Duration,
    /// Between checks after it; without, a workload that was ready once is well while it runs.
    pub(crate) interval: Option<mesh::Duration>,
    pub(crate) timeout: mesh::Duration,
    pub(crate) failures: u16,
}

/// One way to see whether a workload is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Check {
    Tcp { port: u16 },
    Http { port: u16, path: String },
    Command { words: Vec<String> },
}

/// How a workload's world differs from the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct World {
    pub(crate) hostname: String,
    /// Replaced files and their contents.
    pub(crate) files: BTreeMap<PathBuf, String>,
    /// Directories that are its own and start empty.
    pub(crate) private: Vec<PathBuf>,
    /// Its own runtime directory (`XDG_RUNTIME_DIR`).
    pub(crate) runtime: PathBuf,
    /// Directories that it doesn't see.
    pub(crate) hidden: Vec<PathBuf>,
    /// Files and directories that it can't change.
    pub(crate) protected: Vec<PathBuf>,
    /// Host paths that it sees although they lie in a private directory.
    pub(crate) shared: Vec<PathBuf>,
    /// Host paths that it may read although they lie in a private directory: what it is made of, the
    /// mesh file's directory and its program. One that doesn't exist is told when the program starts.
    pub(crate) readable: Vec<PathBuf>,
    /// Whether root runs the mesh, so that workloads keep what daemons need to drop privileges.
    pub(crate) root: bool,
}

/// What a process is to do for a workload's world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum InitTask {
    /// Be its first process.
    Open(Box<Init>),
    /// Start and reap processes without a world, in loopback mode.
    Bare(Box<Init>),
    /// Protect files in it, and exit.
    Protect(Protect),
}

/// What to protect, and in whose world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Protect {
    /// The pidfd of the world's first process.
    pub(crate) world: RawFd,
    /// What was replaced outside.
    pub(crate) paths: Vec<PathBuf>,
}

/// What the first process of a workload's world is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Init {
    pub(crate) world: World,
    pub(crate) workdir: PathBuf,
    pub(crate) user: Option<crate::user::User>,
    /// The message socket to the supervisor.
    pub(crate) link: RawFd,
}

/// What the janitor is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Janitor {
    /// Where `leno up` sends the processes to end; its end means that `leno up` is dead.
    pub(crate) link: RawFd,
    /// The locked runtime directory.
    pub(crate) lock: RawFd,
    /// The same by its path, to be removed.
    pub(crate) directory: PathBuf,
}
