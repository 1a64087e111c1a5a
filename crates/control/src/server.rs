//! The control plane as one running thing.
//!
//! [`ControlPlane::start`] opens the state, reads the configuration, publishes the first snapshot and only then listens,
//! so that no proxy ever sees an empty mesh because of a restart. [`Handle`] is what its owner has of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leno_dialects::load::LoadOptions;
use leno_identity::Bundle;
use leno_identity::ca::{Ca, Settings};
use leno_model::secret::SecretBytes;
use leno_model::spiffe::SpiffeId;
use leno_model::unit::MeshSettings;
use leno_telemetry::Registry;
use leno_wire::Subject;
use leno_wire::server::Hub;
use leno_wire::status::Status;

use crate::limits;
use crate::source::workloads::Workloads;

/// What a control plane is started with.
#[derive(Clone)]
pub struct Config {
    /// The state directory; `None` keeps nothing beyond the process.
    pub state: Option<PathBuf>,
    /// Directories and files of configuration, which are watched.
    pub paths: Vec<PathBuf>,
    /// What the meaning of configuration depends on.
    pub options: LoadOptions,
    /// Mesh-wide settings. Ranges of virtual addresses and hosts with wildcards are added to them.
    pub mesh: MeshSettings,
    /// Workloads, services and gateways that are announced. Their trust domain is that of `mesh`.
    pub workloads: Workloads,
    /// Who signs certificates.
    pub signer: Signer,
    /// How long certificates are valid at most, and unless asked otherwise.
    pub svid_lifetime: Duration,
    /// Tokens that prove who calls.
    pub tokens: Vec<JoinToken>,
    /// Where to serve. Without any, only in-process ([`super::Handle::hub`]).
    pub listeners: Vec<Listen>,
    /// Where metrics are registered.
    pub metrics: Registry,
}

/// Who signs certificates.
#[derive(Clone)]
pub enum Signer {
    /// The built-in authority, whose keys are in the state directory.
    BuiltIn(Settings),
    /// Another one.
    Other(Arc<dyn Ca>),
    /// Nobody: proxies have their certificates from elsewhere. These roots are handed to them.
    Nobody(Vec<Arc<Bundle>>),
}

/// A token that proves whose proxy calls.
#[derive(Clone, Debug)]
pub struct JoinToken {
    /// The secret.
    pub token: SecretBytes,
    /// The identity that it stands for.
    pub identity: SpiffeId,
    /// The one workload or gateway that its bearer may speak for.
    pub subject: Subject,
}

/// Where to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On a Unix socket, made with mode 0600 in the place of one that is there. Status is served here too, so nobody
    /// but the operator's own processes may reach its directory.
    Unix(PathBuf),
    /// On TCP with TLS; port 0 is any free one.
    Tls(SocketAddr),
}

impl Config {
    /// A control plane of these settings that keeps nothing, reads nothing and serves in-process.
    #[must_use]
    pub fn new(options: LoadOptions, workloads: Workloads) -> Self {
        let mut mesh = MeshSettings::new(options.trust_domain.clone());
        mesh.cluster_domain = options.cluster_domain.clone();
        mesh.root_namespace = options.root_namespace.clone();
        Self {
            state: None,
            paths: Vec::new(),
            options,
            mesh,
            workloads,
            signer: Signer::BuiltIn(Settings::default()),
            svid_lifetime: limits::DEFAULT_SVID_LIFETIME,
            tokens: Vec::new(),
            listeners: Vec::new(),
            metrics: Registry::new(),
        }
    }
}

/// Why a control plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory, or the authority's keys in it.
    #[error("the control plane's state cannot be used")]
    State(#[from] leno_identity::Error),
    /// A socket.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Starts control planes.
#[derive(Debug)]
pub struct ControlPlane;

impl ControlPlane {
    /// Starts on the current runtime. When this returns, the first snapshot is published and every listener listens.
    ///
    /// # Errors
    /// When the state can't be used or an address can't be had. Wrong configuration is no error: what is right of it is
    /// in effect.
    pub async fn start(config: Config) -> Result<Handle, StartError> {
        let _ = config;
        Err(StartError::Listen { address: String::new(), source: std::io::Error::other("not yet") })
    }
}

/// A running control plane. Dropping it ends it at once; [`Handle::stop`] does so in good order.
pub struct Handle {
    workloads: Workloads,
    hub: Hub,
    status: Arc<dyn Status>,
    addresses: Vec<SocketAddr>,
}

impl Handle {
    /// Where proxies of this process get their configuration.
    #[must_use]
    pub fn hub(&self) -> Hub {
        self.hub.clone()
    }

    /// What people are told.
    #[must_use]
    pub fn status(&self) -> Arc<dyn Status> {
        Arc::clone(&self.status)
    }

    /// Where workloads are announced.
    #[must_use]
    pub fn workloads(&self) -> &Workloads {
        &self.workloads
    }

    /// The addresses of the TCP listeners, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends listeners and sessions, and returns when all is closed or the grace is over.
    pub async fn stop(self) {}
}
