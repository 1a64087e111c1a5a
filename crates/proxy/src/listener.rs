//! Listeners: sockets, and what is done with the connections that arrive at them.
//!
//! A role is nothing but a list of these.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::rc::Rc;
use std::sync::Arc;

use leno_capture::socket::{self, original_destination};
use leno_http::io::Io;
use leno_model::name::Host;
use leno_runtime::{cores, task};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::bootstrap::HostCaller;
use crate::core::Core;
use crate::dial;
use crate::limits::{ACCEPT_PAUSE, DISCOVERY};
use crate::local::Local;
use crate::machine;
use crate::outbound::{Client, Dialled};
use crate::places::Place;
use crate::sockets::Listed;
use crate::{egress, gateway, inbound, outbound};

/// A socket that connections arrive at. Every core accepts from a duplicate of it.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// Unix.
    Unix(StdUnixListener),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// What a connection that arrives means.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The own workload opened it to its original destination.
    Outbound,
    /// The own workload opened it for this service, whatever it dialled.
    Service {
        /// The service.
        host: Host,
        /// The service port.
        port: u16,
    },
    /// It is for this service, and comes from outside the mesh.
    Published {
        /// The service.
        host: Host,
        /// The service port.
        port: u16,
    },
    /// Another proxy opened it: mutual TLS is demanded.
    Mesh,
    /// It is for the own workload, by mutual TLS or in plaintext as policy allows.
    Direct {
        /// The workload's port; `None` is the original destination.
        port: Option<u16>,
    },
    /// Another proxy opened it to leave the mesh.
    Egress {
        /// Who may reach the machine itself.
        host: Arc<[HostCaller]>,
    },
}

impl Kind {
    /// Whether connections come from this machine, or may and it turns out before much is sent ([`crate::machine`]).
    fn may_be_near(&self) -> bool {
        match self {
            Self::Outbound | Self::Mesh | Self::Egress { .. } => true,
            Self::Service { .. } | Self::Published { .. } | Self::Direct { .. } => false,
        }
    }
}

/// A socket with its meaning.
#[derive(Debug)]
pub struct Listener {
    /// What arrives there.
    pub kind: Kind,
    /// The socket.
    pub socket: Socket,
    /// Whom it belongs to.
    pub local: Arc<Local>,
}

impl Listener {
    /// A duplicate for another core.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn duplicate(&self) -> std::io::Result<Self> {
        let socket = match &self.socket {
            Socket::Tcp(listener) => Socket::Tcp(listener.try_clone()?),
            Socket::Unix(listener) => Socket::Unix(listener.try_clone()?),
        };
        Ok(Self { kind: self.kind.clone(), socket, local: Arc::clone(&self.local) })
    }
}

/// Accepts connections from when there is a configuration until draining begins.
pub(crate) async fn accept(core: Rc<Core>, listener: Listener) {
    let Listener { kind, socket, local } = listener;
    let drain = core.shared.lifecycle.drain().clone();
    let accepting = async {
        configured(&core).await;
        match socket {
            Socket::Tcp(socket) => accept_tcp(&core, &local, &kind, socket).await,
            Socket::Unix(socket) => accept_unix(&core, &local, &kind, socket).await,
        }
    };
    tokio::select! {
        () = drain.begun() => {}
        result = accepting => {
            if let Err(error) = result {
                tracing::error!(%error, "a listener cannot be served");
            }
        }
    }
}

/// Waits for the first configuration, in bounded time. Connections wait in the socket meanwhile: accepted, they would only
/// be refused. A process that follows another one on the same socket has it in milliseconds.
async fn configured(core: &Core) {
    let mut changed = core.shared.changed.subscribe();
    // Whoever comes to a proxy that has nobody to ask is to be told so.
    let _late = leno_runtime::time::timeout(DISCOVERY, changed.wait_for(|count| *count > 0)).await;
}

async fn accept_tcp(
    core: &Rc<Core>,
    local: &Arc<Local>,
    kind: &Kind,
    socket: std::net::TcpListener,
) -> std::io::Result<()> {
    socket.set_nonblocking(true)?;
    suit(&socket, kind.may_be_near());
    let listener = TcpListener::from_std(socket)?;
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let place = core.places.take().await;
                start_tcp(core, local, kind, place, stream, remote);
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// Gives a listening socket what suits connections from this machine, if its address or the caller says that they are, and
/// what suits others if not. An earlier process may have left it otherwise.
fn suit(socket: &std::net::TcpListener, is_near: bool) {
    let Ok(address) = socket.local_addr() else { return };
    if is_near || machine::is_here(address) {
        let _gone = socket::unpace(socket);
    } else {
        let _gone = socket::pace(socket);
    }
}

async fn accept_unix(
    core: &Rc<Core>,
    local: &Arc<Local>,
    kind: &Kind,
    socket: StdUnixListener,
) -> std::io::Result<()> {
    socket.set_nonblocking(true)?;
    let listener = UnixListener::from_std(socket)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let place = core.places.take().await;
                start(core, local, kind, place, Box::new(stream), None, None);
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// Descriptors have run out, or the peer was gone already. Either passes; spinning would not help.
async fn pause(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    leno_runtime::time::sleep(ACCEPT_PAUSE).await;
}

fn start_tcp(
    core: &Rc<Core>,
    local: &Arc<Local>,
    kind: &Kind,
    place: Place,
    stream: TcpStream,
    remote: SocketAddr,
) {
    dial::tune(&stream);
    let destination = match kind {
        Kind::Outbound | Kind::Direct { port: None } => original_destination(&stream).ok(),
        _ => None,
    };
    let destination = destination.or_else(|| stream.local_addr().ok());
    start(core, local, kind, place, Box::new(stream), Some(remote), destination);
}

fn start(
    core: &Rc<Core>,
    local: &Arc<Local>,
    kind: &Kind,
    place: Place,
    io: Box<dyn Io>,
    remote: Option<SocketAddr>,
    destination: Option<SocketAddr>,
) {
    let (core, local) = (Rc::clone(core), Arc::clone(local));
    let client = if matches!(kind, Kind::Published { .. }) { Client::Stranger } else { Client::Own };
    // A task for each kind: one for all would be as large as the largest, and every connection would have one.
    match (kind.clone(), destination) {
        (Kind::Outbound, Some(destination)) => {
            spawn(place, outbound::connection(core, local, io, remote, destination));
        }
        (Kind::Service { host, port } | Kind::Published { host, port }, destination) => {
            let mut destination = destination.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
            destination.set_port(port);
            let dialled = Dialled::Service(host);
            spawn(place, outbound::serve_known(core, local, io, remote, destination, dialled, client));
        }
        (Kind::Mesh, _) => spawn(place, inbound::mesh(core, local, io, remote)),
        (Kind::Direct { port }, Some(mut destination)) => {
            if let Some(port) = port {
                destination.set_port(port);
            }
            spawn(place, inbound::direct(core, local, io, remote, destination));
        }
        (Kind::Egress { host }, _) => spawn(place, egress::connection(core, local, io, remote, host)),
        (Kind::Outbound | Kind::Direct { .. }, None) => {}
    }
}

fn spawn(place: Place, serving: impl Future<Output = ()> + 'static) {
    task::spawn_local("connection", place.serve(serving)).detach();
}

/// Serves the listeners of a gateway on one core, the one with this place among all: opens and closes ports as its
/// configuration says.
pub(crate) async fn gateway(core: Rc<Core>, local: Arc<Local>, bind: IpAddr, place: cores::Core) {
    let mut changed = core.shared.changed.subscribe();
    let mut open: BTreeMap<u16, Vec<task::Task<()>>> = BTreeMap::new();
    loop {
        let view = core.view();
        let wanted: Vec<u16> = view
            .gateway
            .as_deref()
            .map(|gateway| gateway.ports.keys().copied().collect())
            .unwrap_or_default();
        drop(view);
        open.retain(|port, _| wanted.contains(port));
        for port in wanted {
            if open.get(&port).is_some_and(|tasks| tasks.iter().any(|task| !task.is_finished())) {
                continue;
            }
            match core.shared.sockets.open(SocketAddr::new(bind, port), place) {
                Ok(sockets) => {
                    let tasks = sockets.into_iter().map(|(socket, listed)| {
                        let serving = gateway_port(Rc::clone(&core), Arc::clone(&local), socket, listed);
                        task::spawn_local("gateway", serving)
                    });
                    open.insert(port, tasks.collect());
                }
                Err(error) => tracing::error!(%bind, port, %error, "a gateway's port cannot be opened"),
            }
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// Accepts connections at a port of a gateway until draining begins; it is listed as long.
async fn gateway_port(core: Rc<Core>, local: Arc<Local>, socket: std::net::TcpListener, _listed: Listed) {
    suit(&socket, false);
    let listener = match socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket)) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener cannot be served"),
    };
    let drain = core.shared.lifecycle.drain().clone();
    loop {
        let accepted = tokio::select! {
            () = drain.begun() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause(&error).await;
                continue;
            }
        };
        dial::tune(&stream);
        let Ok(address) = stream.local_addr() else { continue };
        let place = core.places.take().await;
        let serving = gateway::connection(
            Rc::clone(&core),
            Arc::clone(&local),
            Box::new(stream),
            Some(remote),
            address,
        );
        spawn(place, serving);
    }
}

#[cfg(test)]
mod tests {
    use leno_capture::socket::is_paced;

    use super::*;

    #[test]
    fn what_listens_for_this_machine_is_unpaced() {
        let at = |address: &str| std::net::TcpListener::bind(address).unwrap();
        let usual = is_paced(&at("0.0.0.0:0")).unwrap();
        for (address, is_near, expected) in [
            ("127.0.0.1:0", false, false),
            ("[::1]:0", false, false),
            ("[::ffff:127.0.0.1]:0", false, false),
            ("0.0.0.0:0", true, false),
            ("0.0.0.0:0", false, usual),
        ] {
            let socket = at(address);
            suit(&socket, is_near);
            assert_eq!(is_paced(&socket).unwrap(), expected, "{address}, {is_near}");
            // An earlier process may have had it for something else.
            suit(&socket, false);
            assert_eq!(is_paced(&socket).unwrap(), expected || is_near && usual, "{address}, {is_near}");
        }
    }

    fn size_of_four<A, B, C, D, R>(_: impl FnOnce(A, B, C, D) -> R) -> usize {
        size_of::<R>()
    }

    fn size_of_five<A, B, C, D, E, R>(_: impl FnOnce(A, B, C, D, E) -> R) -> usize {
        size_of::<R>()
    }

    fn size_of_seven<A, B, C, D, E, F, G, R>(_: impl FnOnce(A, B, C, D, E, F, G) -> R) -> usize {
        size_of::<R>()
    }

    /// What every open connection takes beside its buffers, TLS and the protocol's state: what it doesn't need for
    /// good is in boxes.
    #[test]
    fn a_connection_stays_small() {
        for (what, bytes, most) in [
            ("outbound", size_of_five(outbound::connection), 1800),
            ("of a service", size_of_seven(outbound::serve_known), 1600),
            ("mesh", size_of_four(inbound::mesh), 350),
            ("inbound", size_of_five(inbound::direct), 1500),
            ("gateway", size_of_five(gateway::connection), 1300),
        ] {
            assert!(bytes <= most, "{what}: {bytes} bytes instead of {most}");
        }
    }
}
