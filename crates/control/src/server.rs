//! The control plane as one running thing.
//!
//! [`ControlPlane::start`] opens the state, reads the configuration, publishes the first snapshot and only then listens,
//! so that no proxy ever sees an empty mesh because of a restart. [`Handle`] is what its owner has of it.

mod convergence;
mod listen;
mod publish;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_dialects::load::LoadOptions;
use leno_identity::Bundle;
use leno_identity::ca::{BuiltIn, Ca, Settings};
use leno_identity::state::StateDirectory;
use leno_model::secret::SecretBytes;
use leno_model::spiffe::SpiffeId;
use leno_model::unit::MeshSettings;
use leno_runtime::task::{self, Ended, Task};
use leno_telemetry::Registry;
use leno_wire::Subject;
use leno_wire::server::{self, Hub, Services};
use leno_wire::status::Status;
use tokio::sync::watch;

use self::listen::Serving;
use self::publish::Publisher;
use crate::authority::given::NotTaken;
use crate::authority::{self, Authority, Signing};
use crate::catalog::Catalog;
use crate::history::History;
use crate::limits;
use crate::metrics::Metrics;
use crate::source::addresses::{self, Addresses};
use crate::source::directory::Directory;
use crate::source::workloads::Workloads;
use crate::status::Answers;
use crate::store::Store;

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
    /// The share of its life after which the control plane's own certificate is renewed.
    pub svid_renew_after: f64,
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
            svid_renew_after: limits::DEFAULT_SVID_RENEW_AFTER,
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
    /// A join token.
    #[error(transparent)]
    Token(#[from] NotTaken),
    /// The control plane's own identity.
    #[error("the control plane has no identity in the namespace {namespace}")]
    Identity {
        /// The root namespace.
        namespace: Arc<str>,
        /// Why.
        #[source]
        source: leno_model::spiffe::ParseError,
    },
    /// A socket.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The first snapshot. This is an error in Leno.
    #[error("the configuration cannot be read: the reader panicked")]
    Panicked(#[from] Ended),
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
        let metrics = Metrics::new(&config.metrics);
        let (state, source) = open(&config).await?;
        let store = store(&config, state.addresses);
        let files = source.as_ref().map(Directory::files);
        let roots = authority::roots(&state.signing)?;
        let publisher =
            Publisher::start(store, files, config.workloads.clone(), roots, metrics.clone()).await?;
        let (catalogs, history) = (publisher.catalogs(), publisher.history());
        let authority = Arc::new(Authority::new(authority::Parts {
            trust_domain: config.options.trust_domain.clone(),
            signing: state.signing,
            lifetime: config.svid_lifetime,
            directory: state.directory,
            catalogs: catalogs.clone(),
            metrics: metrics.clone(),
        })?);
        for token in &config.tokens {
            authority.given().add(token)?;
        }
        let hub = Hub::new(publisher.served(), Arc::clone(&authority) as Arc<dyn server::Authority>);
        let status: Arc<dyn Status> =
            Arc::new(Answers::new(catalogs.clone(), hub.registry().clone(), publisher.taken()));
        let (shutdown, stopping) = watch::channel(false);
        let services = Services {
            discovery: Some(hub.clone()),
            certificates: Some(Arc::clone(&authority) as Arc<dyn server::Authority>),
            status: Some(Arc::clone(&status)),
        };
        let serving = Serving::start(&config, &authority, &services, &stopping).await?;
        let watcher = convergence::watch(hub.registry().clone(), catalogs.clone(), metrics.clone());
        let tasks = vec![
            task::spawn("control.publish", publisher.run(authority.bundles())),
            task::spawn("control.roots", listen::tend(Arc::clone(&authority), serving.own_tls.clone())),
            task::spawn("control.sessions", watcher),
        ];
        Ok(Handle {
            workloads: config.workloads,
            catalogs,
            authority,
            hub,
            status,
            history,
            metrics: config.metrics,
            addresses: serving.addresses,
            shutdown,
            listeners: serving.tasks,
            sockets: serving.sockets,
            tasks,
            _source: source,
        })
    }
}

/// The store of a configuration.
pub(crate) fn store(config: &Config, addresses: Addresses) -> Store {
    let mut mesh = config.mesh.clone();
    mesh.ranges.extend(addresses::ranges());
    Store::new(config.options.clone(), mesh, addresses)
}

/// What is on disk.
struct State {
    signing: Signing,
    directory: Option<Arc<StateDirectory>>,
    addresses: Addresses,
}

/// Opens the state and reads the configuration, on a thread that may block.
async fn open(config: &Config) -> Result<(State, Option<Directory>), StartError> {
    let (path, paths) = (config.state.clone(), config.paths.clone());
    let (signer, trust_domain) = (config.signer.clone(), config.options.trust_domain.clone());
    let lifetime = config.svid_lifetime;
    let opened = task::spawn_blocking("control.open", move || {
        let directory =
            path.as_ref().map(|path| StateDirectory::open(&path.join(STATE))).transpose()?.map(Arc::new);
        let addresses = directory.clone().map_or_else(|| Ok(Addresses::ephemeral()), Addresses::open)?;
        let signing = match signer {
            Signer::BuiltIn(mut settings) => {
                settings.max_leaf_lifetime = settings.max_leaf_lifetime.max(lifetime);
                let now = SystemTime::now();
                let ca = match &path {
                    Some(path) => BuiltIn::open(&path.join(AUTHORITY), trust_domain, settings, now)?,
                    None => BuiltIn::ephemeral(trust_domain, settings, now)?,
                };
                Signing::BuiltIn(Arc::new(ca))
            }
            Signer::Other(ca) => Signing::Other(ca),
            Signer::Nobody(bundles) => Signing::Nobody(bundles),
        };
        let source = (!paths.is_empty()).then(|| Directory::start(paths)).transpose();
        Ok((State { signing, directory, addresses }, source.map_err(StartError::Thread)?))
    });
    opened.await?
}

/// The directory below the state directory with the control plane's records.
const STATE: &str = "control";
/// The one with the authority's keys.
const AUTHORITY: &str = "ca";

/// A running control plane. Dropping it ends it at once; [`Handle::stop`] does so in good order.
pub struct Handle {
    workloads: Workloads,
    catalogs: watch::Receiver<Arc<Catalog>>,
    authority: Arc<Authority>,
    hub: Hub,
    status: Arc<dyn Status>,
    history: History,
    metrics: Registry,
    addresses: Vec<SocketAddr>,
    shutdown: watch::Sender<bool>,
    listeners: Vec<Task<()>>,
    /// Paths of sockets, to be removed.
    sockets: Vec<PathBuf>,
    tasks: Vec<Task<()>>,
    /// Kept, since dropping it ends the watching of files.
    _source: Option<Directory>,
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

    /// The newest catalog, to watch.
    #[must_use]
    pub fn catalogs(&self) -> watch::Receiver<Arc<Catalog>> {
        self.catalogs.clone()
    }

    /// The last snapshots, and what was different in each.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Who may do what.
    #[must_use]
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// Where its metrics are registered.
    #[must_use]
    pub fn metrics(&self) -> &Registry {
        &self.metrics
    }

    /// The addresses of the TCP listeners, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends listeners and sessions, and returns when all is closed or the grace is over.
    pub async fn stop(self) {
        self.shutdown.send_replace(true);
        let closed = async {
            for listener in self.listeners {
                let _ended = listener.await;
            }
        };
        let _late = tokio::time::timeout(limits::STOP_GRACE, closed).await;
        for task in self.tasks {
            task.cancel().await;
        }
        for socket in &self.sockets {
            let _gone_already = std::fs::remove_file(socket);
        }
    }
}
