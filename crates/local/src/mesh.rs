//! The mesh file: services, and the workloads that implement them.
//!
//! The types mirror the document (`kind: LocalMesh`, `apiVersion: leno.dev/v1alpha1`); unknown fields
//! are refused. What a type can't express, [`check`] does: unique names, references that exist,
//! settings that exclude each other.

mod check;
mod read;
pub mod reference;
pub(crate) mod template;
mod value;

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use check::{Problem, check};
pub use read::{File, Found, is_mesh_file, read};
pub use value::{Duration, Percent, Program, Publish};

/// A mesh of processes on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalMesh {
    /// Always `leno.dev/v1alpha1`.
    pub api_version: ApiVersion,
    /// Always `LocalMesh`.
    pub kind: Kind,
    /// The mesh's name.
    pub metadata: Metadata,
    /// Services and workloads.
    pub spec: Spec,
}

/// The version of this document's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ApiVersion {
    /// The only one so far.
    #[serde(rename = "leno.dev/v1alpha1")]
    V1Alpha1,
}

/// The kind of this document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Kind {
    /// The only one.
    LocalMesh,
}

/// What names the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// A DNS label; two running meshes of one user have different names.
    pub name: String,
    /// Free-form notes, kept for other tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What the mesh consists of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// How workloads are kept apart; `leno up --mode` goes before it. Default: `isolated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Names that can be called.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Processes.
    pub workloads: Vec<Workload>,
    /// Traces of requests. Without it, trace headers pass as they are.
    pub tracing: Option<Tracing>,
}

/// Traces of requests: which are recorded, and where their spans go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tracing {
    /// The OpenTelemetry collector: `http://HOST:PORT` of a service of the mesh, or as this machine reaches it; `https`
    /// too. With `http/protobuf` it may have the path of exports, `/v1/traces` by default.
    pub endpoint: String,
    /// What is spoken to it. Default: `grpc`.
    #[serde(default)]
    pub protocol: TraceProtocol,
    /// How many of 100 traces are recorded, where no caller has decided. Default: all of them.
    #[serde(default)]
    pub sampling: Percent,
    /// How trace context is read and written; of several formats, the first that says anything is believed. Default:
    /// `w3c` alone.
    #[serde(default = "w3c")]
    pub propagation: Vec<TraceFormat>,
}

impl LocalMesh {
    /// Its traces, with a collector that is a service of the mesh under the name by which every proxy knows it.
    pub fn tracing(&self) -> Option<Tracing> {
        let tracing = self.spec.tracing.as_ref()?;
        let named = self.spec.services.iter().find_map(|service| {
            let (scheme, rest) = tracing.endpoint.split_once("://")?;
            let rest = rest
                .strip_prefix(&service.name)
                .filter(|rest| !rest.starts_with(|c: char| !":/".contains(c)))?;
            Some(format!("{scheme}://{}.{}.svc.cluster.local{rest}", service.name, crate::plan::NAMESPACE))
        });
        let endpoint = named.unwrap_or_else(|| tracing.endpoint.clone());
        Some(Tracing { endpoint, ..tracing.clone() })
    }
}

impl TraceProtocol {
    /// Its name in the mesh file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}

impl TraceFormat {
    /// Its name in the mesh file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::W3c => "w3c",
            Self::B3 => "b3",
            Self::B3Multi => "b3multi",
        }
    }
}

/// What is spoken to a collector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TraceProtocol {
    /// OTLP over gRPC, usually at port 4317.
    #[default]
    #[serde(rename = "grpc")]
    Grpc,
    /// OTLP over HTTP, usually at port 4318.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// A way to write trace context on requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TraceFormat {
    /// `traceparent` and `tracestate`.
    W3c,
    /// Zipkin's header `b3`.
    B3,
    /// Zipkin's headers `x-b3-…`.
    B3Multi,
}

fn w3c() -> Vec<TraceFormat> {
    vec![TraceFormat::W3c]
}

/// How workloads are kept apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Each in namespaces of its own.
    #[default]
    Isolated,
    /// Not at all: for machines that forbid user namespaces. See `docs/reference/loopback.md`.
    Loopback,
}

/// A name with ports. Callers reach it as `NAME` and `NAME.default.svc.cluster.local`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// A DNS label.
    pub name: String,
    /// Its only port; `ports` for more.
    pub port: Option<u16>,
    /// What the only port speaks. Default: found out from the first bytes.
    pub protocol: Option<Protocol>,
    /// Where workloads listen for the only port. Default: the same number.
    pub target_port: Option<u16>,
    /// Opens the only port on the host, through the gateway: a port of 127.0.0.1, or `ADDRESS:PORT`.
    pub publish: Option<Publish>,
    /// Its ports, when there are several.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Without virtual address: the name resolves to the workloads' own addresses.
    #[serde(default)]
    pub headless: bool,
}

/// One of several ports of a service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Port {
    /// A name, unique in the service.
    pub name: Option<String>,
    /// The number that callers use.
    pub port: u16,
    /// What it speaks. Default: found out from the first bytes.
    pub protocol: Option<Protocol>,
    /// Where workloads listen. Default: the same number.
    pub target_port: Option<u16>,
    /// Opens it on the host, through the gateway: a port of 127.0.0.1, or `ADDRESS:PORT`.
    pub publish: Option<Publish>,
}

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.x, or HTTP/2 with prior knowledge.
    Http,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// gRPC.
    Grpc,
    /// TLS of the application's own.
    Tls,
    /// Opaque bytes.
    Tcp,
}

/// A process, or several equal ones, behind a service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// A DNS label. Default: `SERVICE-VERSION` with `-` for dots, or `SERVICE`.
    pub name: Option<String>,
    /// The service that it implements. Without one it only calls others; then `name` is required.
    pub service: Option<String>,
    /// The `version` label.
    pub version: Option<String>,
    /// More labels, for subsets and selectors.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What to run: a list of words, or one string for `/bin/sh -c`.
    pub command: Program,
    /// Environment variables, beside `PATH`, `HOME`, `LANG`, `TERM`, `TZ` and `USER` of the caller.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The working directory, relative to the mesh file's. Default: the mesh file's directory.
    pub workdir: Option<PathBuf>,
    /// The user to run as: a name, or `UID` or `UID:GID`. Required as root, and refused otherwise.
    pub user: Option<String>,
    /// When it counts as ready, and as well from then on. Default: ready when the service's first port
    /// accepts a connection, and well while it runs.
    pub health: Option<Health>,
    /// How many. Default: 1.
    pub replicas: Option<u16>,
    /// Workloads that must be ready before this one starts.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Host files, directories or sockets that it may reach although they lie where it has its own:
    /// `/tmp`, `/run`, `/dev`. Its working directory is there anyway; so are the mesh file's directory and its
    /// program, to be read.
    #[serde(default)]
    pub share: Vec<PathBuf>,
    /// Ports of the host's 127.0.0.1 that it may reach as `host.leno.internal`.
    #[serde(default)]
    pub host_access: Vec<u16>,
}

/// A check that runs in the workload's world. Exactly one of `http`, `tcp` and `command`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Health {
    /// Passes when a GET is answered with a status below 400.
    pub http: Option<HttpCheck>,
    /// Passes when this port accepts a connection.
    pub tcp: Option<u16>,
    /// Passes when this command exits with 0.
    pub command: Option<Program>,
    /// Time between two checks. Default: 1s until ready, then 5s.
    pub interval: Option<Duration>,
    /// How long one check may take. Default: 2s.
    pub timeout: Option<Duration>,
    /// Failures in a row before a ready workload counts as unhealthy. Default: 3.
    pub failures: Option<u16>,
}

/// An HTTP GET as a check.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpCheck {
    /// Path and query. Default: `/`.
    pub path: Option<String>,
    /// The port. Default: the service's first.
    pub port: Option<u16>,
}

impl Service {
    /// Its ports, whichever way they are written.
    pub fn all_ports(&self) -> Vec<Port> {
        let only = self.port.map(|port| Port {
            name: None,
            port,
            protocol: self.protocol,
            target_port: self.target_port,
            publish: self.publish,
        });
        only.into_iter().chain(self.ports.iter().cloned()).collect()
    }
}

impl Port {
    /// Where workloads listen.
    pub fn target(&self) -> u16 {
        self.target_port.unwrap_or(self.port)
    }
}

impl Workload {
    /// Its name, given or derived.
    pub fn name(&self) -> String {
        match (&self.name, &self.service, &self.version) {
            (Some(name), _, _) => name.clone(),
            (None, Some(service), Some(version)) => format!("{service}-{}", label(version)),
            (None, Some(service), None) => service.clone(),
            (None, None, _) => String::new(),
        }
    }

    /// The account that is the last part of its identity: its service, else its own name.
    pub fn service_account(&self) -> String {
        self.service.clone().unwrap_or_else(|| self.name())
    }

    /// The name of one of its processes: its own, with `-N` from the second on.
    pub fn replica_name(&self, number: u16) -> String {
        if number == 0 { self.name() } else { format!("{}-{number}", self.name()) }
    }

    /// How many processes.
    pub fn replicas(&self) -> u16 {
        self.replicas.unwrap_or(1)
    }
}

/// A version as part of a name: in lower case, with `-` for what names can't have.
fn label(version: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    version.chars().map(allowed).collect()
}
