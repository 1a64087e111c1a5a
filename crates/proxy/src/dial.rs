//! Making connections: sockets, TLS, the first flight of `leno/1`, streams of HBONE.
//!
//! A way is tried once; whether another endpoint is tried is decided by the caller. Every step is bounded by the
//! caller's connect timeout.

mod race;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_capture::socket::{self, Liveness};
use leno_http::io::Io;
use leno_http::server::Protocol;
use leno_identity::holder;
use leno_model::failure::Failure;
use leno_model::name::Host;
use leno_model::pool::Keepalive;
use leno_model::service::{Address, Transport};
use leno_model::spiffe::SpiffeId;
use leno_wire::open::{self, Open};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{Domain, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::core::Core;
use crate::hbone;
use crate::judged::Judged;
use crate::local::Local;
use crate::machine::{self, Machine};
use crate::proof::Proof;
use crate::secure;
use crate::upstream::{Picked, Spoken};

/// Applications may hold idle connections for hours; a peer that vanished is noticed within about a minute.
const LIVENESS: Liveness = Liveness {
    idle: Duration::from_secs(30),
    interval: Duration::from_secs(10),
    probes: 3,
    unacknowledged: Duration::from_secs(60),
};

/// How an endpoint is reached, decided by the engine.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// In plaintext to the workload itself.
    Plain(SocketAddr),
    /// In plaintext to the own application.
    Application {
        /// Its port at the workload's own address.
        own: SocketAddr,
        /// Whether a service declares the port.
        declared: bool,
    },
    /// By `leno/1` through the workload's proxy.
    Native {
        /// The proxy.
        proxy: Proxy,
        /// Who must be there.
        expected: SpiffeId,
        /// What the connection is for.
        purpose: Purpose,
    },
    /// By HBONE through the workload's proxy.
    Hbone {
        /// The proxy.
        proxy: Proxy,
        /// Who must be there.
        expected: SpiffeId,
        /// The workload's own address.
        target: SocketAddr,
    },
    /// TLS of the outside world.
    Outside {
        /// The server.
        address: SocketAddr,
        /// How it is verified.
        config: Arc<ClientConfig>,
        /// The name asked for.
        name: ServerName<'static>,
    },
}

/// A peer's proxy. Requests on pooled connections never ask for its address.
#[derive(Clone, Debug)]
pub(crate) enum Proxy {
    /// The one in front of an endpoint.
    Of(Picked),
    /// The one at this address.
    At(Address),
}

/// What a connection by `leno/1` is for.
#[derive(Clone, Debug)]
pub(crate) struct Purpose {
    /// The workload's own address.
    pub(crate) target: SocketAddr,
    /// The service by which it was chosen.
    pub(crate) service: Option<Host>,
    /// What is spoken.
    pub(crate) spoken: Spoken,
}

/// A connection that is ready for application bytes.
pub(crate) struct Dialled {
    /// The duplex.
    pub(crate) io: Box<dyn Io>,
    /// This side's address, for the access log; `None` for a Unix socket.
    pub(crate) local: Option<SocketAddr>,
    /// The last second in which both sides' certificates are valid; `None` where none were shown. Requests are sent
    /// no later than that.
    pub(crate) until: Option<SystemTime>,
    /// Who is there, where it is a peer of the mesh.
    pub(crate) proof: Option<Rc<Proof>>,
}

/// What holds where a destination's settings say nothing else.
fn liveness(settings: Option<Keepalive>) -> Liveness {
    let Some(settings) = settings else { return LIVENESS };
    let interval = settings.interval.unwrap_or(LIVENESS.interval);
    let probes = settings.probes.unwrap_or(LIVENESS.probes);
    Liveness {
        idle: settings.idle.unwrap_or(LIVENESS.idle),
        interval,
        probes,
        // Probes that go unanswered are bytes that go unacknowledged: this mustn't end them early.
        unacknowledged: LIVENESS.unacknowledged.max(interval.saturating_mul(probes.saturating_add(1))),
    }
}

/// Dials within `limit`. Where there is no descriptor left, idle upstream connections give up theirs.
pub(crate) async fn dial(core: &Core, local: &Local, way: &Way, limit: Duration) -> Result<Dialled, Failure> {
    dial_with(core, local, way, limit, None, &[]).await
}

/// The same, with a destination's settings of TCP, and what is to be sent before anything else.
pub(crate) async fn dial_with(
    core: &Core,
    local: &Local,
    way: &Way,
    limit: Duration,
    keepalive: Option<Keepalive>,
    first: &[u8],
) -> Result<Dialled, Failure> {
    let socket = SocketSettings { mark: local.mark, liveness: liveness(keepalive), is_near: false };
    let attempts = async {
        match attempt(core, local, way, socket, first).await {
            Err(Failure::Overload) if core.pool.shed() => attempt(core, local, way, socket, first).await,
            result => result,
        }
    };
    let dialled = match leno_runtime::time::timeout(limit, attempts).await {
        Ok(result) => result,
        Err(_elapsed) => Err(Failure::ConnectTimeout),
    };
    if let Way::Hbone { .. } = way {
        let counts = &core.shared.tunnels.outbound;
        match &dialled {
            Ok(_) => counts.granted.inc(),
            Err(failure) => counts.failed(failure.row().details),
        }
    }
    dialled
}

/// What a socket is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SocketSettings {
    mark: u32,
    liveness: Liveness,
    /// Whether the peer is on this machine, whatever its address.
    is_near: bool,
}

async fn attempt(
    core: &Core,
    local: &Local,
    way: &Way,
    socket: SocketSettings,
    first: &[u8],
) -> Result<Dialled, Failure> {
    let mut dialled = match way {
        Way::Plain(address) => plain(tcp(*address, socket).await?),
        Way::Application { own, declared } => application(local, *own, *declared, socket).await?,
        Way::Native { proxy, expected, purpose } => {
            let address = proxy.address().ok_or(Failure::Internal)?;
            native(core, local, (address, expected), purpose, socket).await?
        }
        Way::Hbone { proxy, expected, target } => {
            let address = proxy.address().ok_or(Failure::Internal)?;
            Box::pin(hbone::open(core, local, (address, expected), *target, socket)).await?
        }
        Way::Outside { address, config, name } => {
            let mut stream = tcp(*address, socket).await?;
            let own = stream.local_addr().ok();
            // It comes before the handshake: who balances these connections reads no further.
            begin(&mut stream, first).await?;
            let tls = secure::connect_outside(Box::new(stream), Arc::clone(config), name.clone()).await?;
            return Ok(Dialled { io: Box::new(tls), local: own, until: None, proof: None });
        }
    };
    begin(&mut dialled.io, first).await?;
    Ok(dialled)
}

fn plain(stream: TcpStream) -> Dialled {
    Dialled { local: stream.local_addr().ok(), io: Box::new(stream), until: None, proof: None }
}

/// Sends what a connection begins with.
async fn begin(io: &mut (impl Io + ?Sized), first: &[u8]) -> Result<(), Failure> {
    if first.is_empty() {
        return Ok(());
    }
    io.write_all(first).await.map_err(|_gone| Failure::ConnectFailed)?;
    io.flush().await.map_err(|_gone| Failure::ConnectFailed)
}

/// A peer of the mesh, after the handshake.
struct Met {
    tls: secure::Client,
    local: Option<SocketAddr>,
    until: SystemTime,
    proof: Proof,
}

impl Met {
    fn dialled(self, io: impl FnOnce(secure::Client) -> Box<dyn Io>) -> Dialled {
        let Self { tls, local, until, proof } = self;
        Dialled { io: io(tls), local, until: Some(until), proof: Some(Rc::new(proof)) }
    }
}

/// Connects to a peer's proxy: mutual TLS, with the peer's identity compared, and nothing said yet.
pub(crate) async fn mesh(
    local: &Local,
    address: &Address,
    expected: &SpiffeId,
    transport: holder::Transport,
    socket: SocketSettings,
) -> Result<Dialled, Failure> {
    let met = meet(local, address, expected, transport, socket).await?;
    Ok(met.dialled(|tls| Box::new(tls)))
}

async fn meet(
    local: &Local,
    address: &Address,
    expected: &SpiffeId,
    transport: holder::Transport,
    socket: SocketSettings,
) -> Result<Met, Failure> {
    let identity = local.identities.usable(local.wall())?;
    let (io, own): (Box<dyn Io>, _) = match address {
        Address::Tcp(address) => {
            let stream = tcp(*address, socket).await?;
            let own = stream.local_addr().ok();
            (Box::new(stream), own)
        }
        Address::Unix(path) => (Box::new(unix(path).await?), None),
    };
    let (tls, proof) = secure::connect_mesh(io, &identity, transport, std::slice::from_ref(expected)).await?;
    let until = proof.peer.not_after.min(identity.svid().not_after());
    Ok(Met { tls, local: own, until, proof })
}

async fn native(
    core: &Core,
    local: &Local,
    (address, expected): (&Address, &SpiffeId),
    purpose: &Purpose,
    socket: SocketSettings,
) -> Result<Dialled, Failure> {
    let mut met = meet(local, address, expected, holder::Transport::Leno, socket).await?;
    let open = purpose.open(local, &core.shared.machine).encode();
    met.tls.write_all(&open).await.map_err(|_gone| Failure::ConnectFailed)?;
    if purpose.spoken == Spoken::Opaque {
        // Nothing else would make it go out before the client says something.
        met.tls.flush().await.map_err(|_gone| Failure::ConnectFailed)?;
    }
    let watch = |tls| Box::new(core.vigil.watch(tls, address, expected, purpose));
    Ok(met.dialled(|tls| match purpose.spoken {
        Spoken::Http(Protocol::Http1) => watch(tls),
        // It has probes of its own.
        Spoken::Http(Protocol::Http2) => Box::new(tls),
        Spoken::Opaque => Box::new(Judged::new(watch(tls))),
    }))
}

/// A declared port may be bound to loopback only, so loopback is tried first; any other port is reached by the
/// workload's own address alone, or peers could reach what listens on loopback for good reason. An address that doesn't
/// answer keeps nobody waiting for the next.
///
/// An application that shares the machine's loopback with others is there alone, at the port that it was given.
async fn application(
    local: &Local,
    own: SocketAddr,
    declared: bool,
    socket: SocketSettings,
) -> Result<Dialled, Failure> {
    let at_loopback = |port| {
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].map(|ip| SocketAddr::new(ip, port))
    };
    let addresses: Vec<_> = match &local.application {
        Some(ports) => {
            let port = ports.get(&own.port()).ok_or(Failure::ForbiddenDestination)?;
            at_loopback(*port).to_vec()
        }
        None => at_loopback(own.port()).into_iter().filter(|_| declared).chain([own]).collect(),
    };
    let socket = SocketSettings { is_near: true, ..socket };
    race::race(&addresses, |address| tcp(address, socket)).await.map(plain)
}

impl Proxy {
    fn address(&self) -> Option<&Address> {
        match self {
            Self::At(address) => Some(address),
            Self::Of(picked) => match &picked.endpoint()?.transport {
                Transport::Native(address) | Transport::Hbone(address) => Some(address),
                Transport::Plain | Transport::IstioMtls => None,
            },
        }
    }
}

impl Purpose {
    /// The first flight to the peer's proxy.
    fn open(&self, local: &Local, machine: &Machine) -> Open {
        Open {
            ip: self.target.ip(),
            port: self.target.port(),
            service: self.service.clone(),
            protocol: match self.spoken {
                Spoken::Http(Protocol::Http1) => open::Protocol::Http1,
                Spoken::Http(Protocol::Http2) => open::Protocol::Http2,
                Spoken::Opaque => open::Protocol::Opaque,
            },
            source: open::Source {
                namespace: Arc::clone(&local.name.namespace),
                workload: Arc::clone(&local.name.name),
                owner: Arc::clone(&local.owner),
                cluster: Arc::clone(&local.cluster),
                labels: local.labels.clone(),
            },
            machine: machine.mark(self.target),
        }
    }
}

/// Connects by TCP with the options that every upstream socket has.
async fn tcp(address: SocketAddr, settings: SocketSettings) -> Result<TcpStream, Failure> {
    let stream = prepared(address, settings)
        .map_err(|_no_socket| Failure::Overload)?
        .connect(address)
        .await
        .map_err(|_refused| Failure::ConnectFailed)?;
    tune_with(&stream, settings.liveness);
    Ok(stream)
}

fn prepared(address: SocketAddr, settings: SocketSettings) -> std::io::Result<TcpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), None)?;
    if settings.mark != 0 {
        socket::set_mark(&socket, settings.mark)?;
    }
    if settings.is_near || machine::is_here(address) {
        // Failing is harmless: it is quicker, no more.
        let _gone = socket::unpace(&socket);
    }
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// Sets what every TCP connection of the data path has: no delay, and a bounded life with a dead peer. Failing is
/// harmless: the peer is gone already.
pub(crate) fn tune(stream: &TcpStream) {
    tune_with(stream, LIVENESS);
}

fn tune_with(stream: &TcpStream, liveness: Liveness) {
    let _gone = stream.set_nodelay(true);
    let _gone = socket::set_liveness(stream, liveness);
}

async fn unix(path: &Path) -> Result<UnixStream, Failure> {
    UnixStream::connect(path).await.map_err(|error| match error.kind() {
        // The listener's queue is full: the peer is there and has too much to do.
        std::io::ErrorKind::WouldBlock => Failure::Overflow,
        _ => Failure::ConnectFailed,
    })
}

#[cfg(test)]
mod tests {
    use leno_capture::socket::is_paced;

    use super::*;

    #[test]
    fn what_stays_on_the_machine_is_unpaced() {
        let socket = |address: &str, is_near| {
            prepared(address.parse().unwrap(), SocketSettings { mark: 0, liveness: LIVENESS, is_near })
                .unwrap()
        };
        let usual = is_paced(&Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).unwrap();
        for (address, is_near, expected) in [
            ("127.0.0.1:80", false, false),
            ("[::1]:80", false, false),
            ("[::ffff:127.0.0.1]:80", false, false),
            ("192.0.2.1:80", true, false),
            ("192.0.2.1:80", false, usual),
        ] {
            assert_eq!(is_paced(&socket(address, is_near)).unwrap(), expected, "{address}, {is_near}");
        }
    }
}
