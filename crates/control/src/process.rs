//! The control plane as a process of its own, started by `leno up`.
//!
//! It is told everything in one document ([`Local`]), says that it is ready, follows the changes that come, and ends when
//! it is told to, or when whoever started it is gone.

mod admin;
mod changes;
mod supervisor;

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use leno_dialects::load::LoadOptions;
use leno_model::labels::Labels;
use leno_model::name::{Host, HostError, WorkloadName};
use leno_model::secret::SecretBytes;
use leno_model::service::{Address, Service, ServicePort, TargetPort, Transport};
use leno_model::span::{Location, ObjectRef, Origin};
use leno_model::spiffe::{ParseError, SpiffeId, TrustDomain};
use leno_model::unit::Egress;
use leno_runtime::signal::{Signal, Signals};
use leno_wire::Subject;

use self::supervisor::Supervisor;
use crate::bootstrap::{self, Local};
use crate::server::{Config, ControlPlane, JoinToken, Listen, StartError};
use crate::source::workloads::{AnnounceError, LocalGateway, LocalWorkload, Workloads};

/// Why the process ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The trust domain in the document.
    #[error("the bootstrap document's trust domain is not valid")]
    TrustDomain(#[source] ParseError),
    /// An identity in the document.
    #[error("the bootstrap document names an account that is none: {namespace}/{account}")]
    Account {
        /// Its namespace.
        namespace: String,
        /// Its name.
        account: String,
        /// Why.
        #[source]
        source: ParseError,
    },
    /// A service in the document.
    #[error("the bootstrap document names a service that can't be: {0}")]
    Service(String, #[source] HostError),
    /// A workload or gateway in the document.
    #[error("the bootstrap document describes something that can't be")]
    Announce(#[from] AnnounceError),
    /// A descriptor that it names.
    #[error("descriptor {number} was not inherited")]
    Descriptor {
        /// Its number.
        number: RawFd,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Signals, or the stream of whoever started us.
    #[error("cannot set up {what}")]
    Setup {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The control plane.
    #[error(transparent)]
    Start(#[from] StartError),
}

fn setup(what: &'static str) -> impl FnOnce(io::Error) -> ProcessError {
    move |source| ProcessError::Setup { what, source }
}

/// Runs the control plane of a local mesh until a signal or its supervisor tells it to end. To be called inside a
/// [`leno_runtime::LocalRuntime`], after [`leno_runtime::process::raise_open_files`].
///
/// # Errors
/// When it cannot start.
pub async fn run(local: Local) -> Result<(), ProcessError> {
    let mut signals = Signals::install().map_err(setup("signal handling"))?;
    let supervisor = match local.vault {
        Some(number) => {
            let stream = UnixStream::from(adopt(number)?);
            Some(Supervisor::open(stream).await.map_err(setup("the supervisor's stream"))?)
        }
        None => None,
    };
    let changes = local.changes.map(adopt).transpose()?;
    let admin = local.admin.map(adopt).transpose()?;
    let config = config(&local)?;
    let metrics = config.metrics.clone();
    leno_telemetry::process::register(&metrics);
    let cluster_domain = Arc::clone(&config.options.cluster_domain);
    let handle = ControlPlane::start(config).await?;
    if let Some(stream) = changes {
        let applier =
            changes::Applier::new(handle.workloads().clone(), Arc::clone(handle.authority()), cluster_domain);
        changes::follow(stream, applier).map_err(setup("the stream of changes"))?;
    }
    let _admin = match admin {
        Some(listener) => {
            let served = admin::serve(UnixListener::from(listener), metrics);
            Some(served.map_err(setup("the admin interface"))?)
        }
        None => None,
    };
    let ended = async {
        // A terminal that goes away doesn't end a mesh.
        while signals.next().await == Signal::Hangup {}
    };
    match supervisor {
        Some(mut supervisor) => {
            supervisor.ready().await.map_err(setup("the supervisor's stream"))?;
            tokio::select! {
                () = ended => {}
                () = supervisor.drain() => {}
            }
        }
        None => ended.await,
    }
    handle.stop().await;
    Ok(())
}

fn adopt(number: RawFd) -> Result<OwnedFd, ProcessError> {
    leno_capture::descriptor::adopt(number).map_err(|source| ProcessError::Descriptor { number, source })
}

/// What the document says, as configuration.
///
/// # Errors
/// When it says something that can't be.
pub fn config(local: &Local) -> Result<Config, ProcessError> {
    let trust_domain: TrustDomain = local.trust_domain.parse().map_err(ProcessError::TrustDomain)?;
    let options = LoadOptions::new(trust_domain.clone());
    let workloads = Workloads::new(trust_domain.clone()).in_cluster(&local.mesh);
    let mut config = Config::new(options, workloads);
    config.state = Some(local.state.clone());
    config.paths = local.config.clone();
    config.listeners = vec![Listen::Unix(local.socket.clone())];
    config.svid_lifetime = local.svid_lifetime();
    config.svid_renew_after = local.svid_renew_after();
    config.mesh.ranges = local.ranges.clone();
    for from in &local.services {
        config.workloads.set_service(service(from, &config.options.cluster_domain)?, !from.headless);
    }
    for from in &local.workloads {
        config.workloads.set(workload(from))?;
        config.tokens.push(workload_token(from, &trust_domain)?);
    }
    if let Some(from) = &local.gateway {
        let subject =
            Subject::Gateway { namespace: from.namespace.as_str().into(), name: from.name.as_str().into() };
        let identity = identity(&trust_domain, &from.namespace, &from.service_account)?;
        config.workloads.set_gateway(gateway(from))?;
        config.mesh.egress = from
            .egress
            .clone()
            .map(|path| Egress { address: Address::Unix(path), identity: identity.clone() });
        config.tokens.push(token(&from.join_token, identity, subject));
    }
    Ok(config)
}

fn identity(domain: &TrustDomain, namespace: &str, account: &str) -> Result<SpiffeId, ProcessError> {
    SpiffeId::for_service_account(domain, namespace, account).map_err(|source| ProcessError::Account {
        namespace: namespace.to_owned(),
        account: account.to_owned(),
        source,
    })
}

fn token(token: &bootstrap::Token, identity: SpiffeId, subject: Subject) -> JoinToken {
    JoinToken { token: SecretBytes::new(token.0.as_bytes()), identity, subject }
}

fn workload_token(from: &bootstrap::Workload, domain: &TrustDomain) -> Result<JoinToken, ProcessError> {
    let identity = identity(domain, &from.namespace, &from.service_account)?;
    Ok(token(&from.join_token, identity, Subject::Workload(name(&from.namespace, &from.name))))
}

fn name(namespace: &str, name: &str) -> WorkloadName {
    WorkloadName { namespace: namespace.into(), name: name.into() }
}

fn labels(from: &std::collections::BTreeMap<String, String>) -> Labels {
    from.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn workload(from: &bootstrap::Workload) -> LocalWorkload {
    LocalWorkload {
        name: from.name.as_str().into(),
        namespace: from.namespace.as_str().into(),
        service_account: from.service_account.as_str().into(),
        owner: from.owner.as_deref().unwrap_or(&from.name).into(),
        labels: labels(&from.labels),
        addresses: from.addresses.clone(),
        transport: Transport::Native(Address::Unix(from.inbound.clone())),
        named_ports: from.named_ports.iter().map(|(name, port)| (name.as_str().into(), *port)).collect(),
        ready: from.ready,
    }
}

fn gateway(from: &bootstrap::Gateway) -> LocalGateway {
    LocalGateway {
        name: from.name.as_str().into(),
        namespace: from.namespace.as_str().into(),
        service_account: from.service_account.as_str().into(),
        labels: labels(&from.labels),
    }
}

fn host(name: &str, namespace: &str, domain: &str) -> Result<Host, ProcessError> {
    Host::for_service(name, namespace, domain)
        .map_err(|source| ProcessError::Service(name.to_owned(), source))
}

fn service(from: &bootstrap::Service, domain: &str) -> Result<Service, ProcessError> {
    let host = host(&from.name, &from.namespace, domain)?;
    let (name, namespace): (Arc<str>, Arc<str>) = (from.name.as_str().into(), from.namespace.as_str().into());
    let mut ports: Vec<ServicePort> = from
        .ports
        .iter()
        .map(|port| ServicePort {
            port: port.port,
            name: port.name.as_str().into(),
            protocol: port.protocol.map(Into::into).unwrap_or_default(),
            target: TargetPort::Number(port.target_port),
        })
        .collect();
    ports.sort_by_key(|port| port.port);
    let object = ObjectRef { kind: "Service".into(), namespace: namespace.clone(), name: name.clone() };
    let location = Location { file: from.file.as_str().into(), line: from.line, column: 0 };
    Ok(Service {
        host,
        vips: Vec::new(),
        ports,
        selector: Some(Labels::from_iter([("app", from.name.as_str())])),
        fixed: Vec::new(),
        external_name: None,
        external: false,
        origin: Origin { object, location },
        namespace,
        name,
    })
}
