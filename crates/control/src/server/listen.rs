//! The control plane's sockets.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use leno_model::spiffe::SpiffeId;
use leno_runtime::task::{self, Task};
use leno_wire::server::{Listener, Services, serve};
use leno_wire::transport::ServerTls;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

use super::{Config, Listen, StartError};
use crate::authority::Authority;
use crate::authority::tls::{OwnTls, SERVICE_ACCOUNT};
use crate::limits::{ROOTS_INTERVAL, SHORTEST_RENEWAL};

/// Connections that may wait to be accepted: a mesh of hundreds of sidecars comes back at once.
const BACKLOG: i32 = 1024;

/// The listeners, served.
pub(super) struct Serving {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) sockets: Vec<PathBuf>,
    pub(super) tasks: Vec<Task<()>>,
    pub(super) own_tls: Option<Arc<OwnTls>>,
}

impl Serving {
    pub(super) async fn start(
        config: &Config,
        authority: &Arc<Authority>,
        services: &Services,
        stopping: &watch::Receiver<bool>,
    ) -> Result<Self, StartError> {
        let mut serving =
            Self { addresses: Vec::new(), sockets: Vec::new(), tasks: Vec::new(), own_tls: None };
        for listen in &config.listeners {
            match listen {
                Listen::Unix(path) => {
                    let listener = unix(path).map_err(|source| StartError::Listen {
                        address: path.display().to_string(),
                        source,
                    })?;
                    serving.sockets.push(path.clone());
                    serving.serve(Listener::Unix(listener), None, services.clone(), stopping.clone());
                }
                Listen::Tls(address) => {
                    let failed = |source| StartError::Listen { address: address.to_string(), source };
                    let listener = TcpListener::bind(address).await.map_err(failed)?;
                    serving.addresses.push(listener.local_addr().map_err(failed)?);
                    let tls = serving.own_tls(config, authority).await?;
                    // Whoever reaches a TCP port is not the operator.
                    let services = Services { status: None, ..services.clone() };
                    serving.serve(Listener::Tcp(listener), Some(tls), services, stopping.clone());
                }
            }
        }
        Ok(serving)
    }

    async fn own_tls(&mut self, config: &Config, authority: &Authority) -> Result<Arc<OwnTls>, StartError> {
        if let Some(known) = &self.own_tls {
            return Ok(Arc::clone(known));
        }
        let namespace = &config.mesh.root_namespace;
        let id = SpiffeId::for_service_account(authority.trust_domain(), namespace, SERVICE_ACCOUNT)
            .map_err(|source| StartError::Identity { namespace: namespace.clone(), source })?;
        let own = OwnTls::new(authority, id, config.svid_renew_after).await?;
        Ok(Arc::clone(self.own_tls.insert(Arc::new(own))))
    }

    fn serve(
        &mut self,
        listener: Listener,
        tls: Option<Arc<OwnTls>>,
        services: Services,
        mut stopping: watch::Receiver<bool>,
    ) {
        let tls = tls.map(|tls| tls as Arc<dyn ServerTls>);
        let shutdown = async move {
            // A handle that is gone stops everything too.
            let _stopped = stopping.wait_for(|stop| *stop).await;
        };
        self.tasks.push(task::spawn("control.listener", async move {
            if let Err(error) = serve(listener, tls, services, shutdown).await {
                tracing::error!(%error, "a listener has failed for good");
            }
        }));
    }
}

/// A Unix socket that nobody but this user ever could connect to.
fn unix(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there, and no socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Before it listens, so there is no moment in which others could connect.
    rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
    rustix::net::listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}

/// Follows the roots of an authority elsewhere and renews the control plane's own certificate, until cancelled.
pub(super) async fn tend(authority: Arc<Authority>, own: Option<Arc<OwnTls>>) {
    let mut bundles = authority.bundles();
    loop {
        let rest =
            own.as_ref().map_or(ROOTS_INTERVAL, |own| own.rest().clamp(SHORTEST_RENEWAL, ROOTS_INTERVAL));
        let has_new_roots = tokio::select! {
            () = tokio::time::sleep(rest) => false,
            Ok(()) = bundles.changed() => true,
        };
        if let Err(error) = authority.refresh() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the authority's roots are not known now"
            );
        }
        if let Some(own) = own.as_ref().filter(|own| has_new_roots || own.rest().is_zero())
            && let Err(error) = own.renew(&authority).await
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the control plane's certificate is not renewed"
            );
        }
    }
}
