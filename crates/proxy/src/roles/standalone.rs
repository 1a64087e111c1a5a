//! A proxy by itself: sockets as its arguments say, dialling and listening on TCP.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use leno_identity::{Bundle, Identities, Svid, tls};
use leno_model::labels::Labels;
use leno_model::name::{Host, WorkloadName};
use leno_runtime::clock::Clock;
use leno_telemetry::access::{Format, Target};
use leno_wire::Subject;
use leno_wire::transport::Endpoint;

use crate::limits::BACKLOG;
use crate::listener::{Kind, Listener, Socket};
use crate::local::Local;
use crate::process::{Door, Identity, Setup};
use crate::sockets::Inherited;
use crate::takeover::{Succession, TakeOverError};
use crate::traces;

/// What a proxy by itself is told.
pub struct Options {
    /// Whose configuration it carries out.
    pub subject: Subject,
    /// The control plane, usually in this process.
    pub control: Endpoint,
    /// Certificate and key.
    pub svid: Svid,
    /// The roots of its trust domain.
    pub roots: Bundle,
    /// Ports that lead to a service of the mesh.
    pub outbound: Vec<(SocketAddr, Host, u16)>,
    /// Ports for the own workload, each with the workload's port: mutual TLS or plaintext, as policy allows.
    pub inbound: Vec<(SocketAddr, u16)>,
    /// Ports where other proxies dial it.
    pub mesh: Vec<SocketAddr>,
    /// Where a gateway opens its ports.
    pub bind: IpAddr,
    /// The admin interface's Unix socket.
    pub admin: Option<PathBuf>,
    /// Where metrics and readiness are served over TCP.
    pub metrics: Option<SocketAddr>,
    /// Data cores; 0 chooses by the machine.
    pub threads: usize,
    /// Where access records go; `None` keeps none.
    pub access: Option<(Target, Format)>,
    /// How it takes part in tracing.
    pub tracing: Option<traces::Settings>,
    /// Where random draws begin; `None` draws that too.
    pub seed: Option<u64>,
    /// Where processes succeed each other: this one takes over from whoever listens there, and then listens itself.
    pub take_over: Option<PathBuf>,
}

/// Why a proxy by itself does not start.
#[derive(Debug, thiserror::Error)]
pub enum StandaloneError {
    /// A socket.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An earlier process.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// The certificate is another's.
    #[error(
        "the certificate is that of {found}, and a proxy needs an identity of the form spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT"
    )]
    Identity {
        /// Whose it is.
        found: String,
    },
    /// The trust domain of the certificate.
    #[error("the certificate's trust domain is not valid")]
    TrustDomain(#[source] leno_model::spiffe::ParseError),
}

/// The setup that the options mean.
///
/// # Errors
/// When a port is taken, or the certificate is of no use.
pub fn setup(options: Options) -> Result<Setup, StandaloneError> {
    let Options {
        subject,
        control,
        svid,
        roots,
        outbound,
        inbound,
        mesh,
        bind,
        admin,
        metrics,
        threads,
        access,
        tracing,
        seed,
        take_over,
    } = options;
    let id = svid.id().clone();
    let (_, account) =
        id.service_account().ok_or_else(|| StandaloneError::Identity { found: id.to_string() })?;
    let name = match &subject {
        Subject::Workload(name) => name.clone(),
        Subject::Gateway { namespace, name } => {
            WorkloadName { namespace: Arc::clone(namespace), name: Arc::clone(name) }
        }
    };
    let local = Arc::new(Local {
        host: None,
        owner: Arc::clone(&name.name),
        service_account: account.into(),
        labels: Labels::default(),
        cluster: "standalone".into(),
        identities: Arc::new(Identities::new(tls::Options::default())),
        application: None,
        mark: 0,
        clock: Clock::system(),
        name,
    });
    let mut succession = Succession::begin(take_over)?;
    let mut listeners = Vec::new();
    let mut listen = |address: SocketAddr, kind: Kind| {
        let socket = bound(address, &mut succession.inherited)?;
        listeners.push(Listener { kind, socket: Socket::Tcp(socket), local: Arc::clone(&local) });
        Ok::<(), StandaloneError>(())
    };
    for (address, host, port) in outbound {
        listen(address, Kind::Service { host, port })?;
    }
    for (address, port) in inbound {
        listen(address, Kind::Direct { port: Some(port) })?;
    }
    for address in mesh {
        listen(address, Kind::Mesh)?;
    }
    let mut doors = Vec::new();
    if let Some(path) = admin {
        let left = succession.inherited.unix(&path);
        doors.push(Door::Operator(left.map_or_else(|| admin_socket(&path), Ok)?));
    }
    if let Some(address) = metrics {
        doors.push(Door::Metrics(bound(address, &mut succession.inherited)?));
    }
    Ok(Setup {
        bind: matches!(subject, Subject::Gateway { .. }).then_some(bind),
        subject,
        trust_domain: id.trust_domain().parse().map_err(StandaloneError::TrustDomain)?,
        control,
        identity: Identity::Given { svid: Box::new(svid), roots },
        listeners,
        dns: Vec::new(),
        admin: doors,
        vault: None,
        cores: leno_runtime::process::cores(NonZeroUsize::new(threads)),
        access,
        tracing,
        seed,
        succession,
        local,
    })
}

fn bound(address: SocketAddr, inherited: &mut Inherited) -> Result<TcpListener, StandaloneError> {
    let mut listen = || {
        if let Some(left) = inherited.tcp(address) {
            return Ok(left);
        }
        let listener = TcpListener::bind(address)?;
        // The standard library's backlog is short.
        socket2::SockRef::from(&listener).listen(BACKLOG)?;
        Ok(listener)
    };
    listen().map_err(|source| StandaloneError::Listen { address: address.to_string(), source })
}

fn admin_socket(path: &std::path::Path) -> Result<UnixListener, StandaloneError> {
    let failed = |source| StandaloneError::Listen { address: path.display().to_string(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    UnixListener::bind(path).map_err(failed)
}
