//! The outer network namespace: addresses, routes, rules, and the sockets that the sidecar gets.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::Path,
};

use leno_capture::{nft, redirect::Redirect, route};
use socket2::{Domain, Socket, Type};

use crate::{loopback::Place, plan::Replica};

/// Where captured TCP goes; Istio's number.
pub(crate) const OUTBOUND_PORT: u16 = 15001;
/// Where DNS goes; Istio's number.
pub(crate) const DNS_PORT: u16 = 15053;
/// The mark of sockets that rules let through.
pub(crate) const MARK: u32 = 1337;

/// Connections that wait to be accepted, as many as the kernel's default limit allows.
const BACKLOG: i32 = 4096;

/// What couldn't be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Addresses and routes.
    #[error("can't set up the workload's network")]
    Route(#[from] route::Error),
    /// Rules.
    #[error("can't redirect the workload's traffic")]
    Rules(#[from] nft::Error),
    /// A socket.
    #[error("can't listen on {0}")]
    Listen(String, #[source] io::Error),
}

/// Listening sockets, which outlive the sidecars that serve them.
pub(super) struct Sockets {
    pub(super) outbound: Vec<OwnedFd>,
    pub(super) dns_udp: Vec<OwnedFd>,
    pub(super) dns_tcp: Vec<OwnedFd>,
    pub(super) inbound: OwnedFd,
    pub(super) admin: OwnedFd,
    /// In loopback mode: a listener for each service's port, in the order of the [`Place`].
    pub(super) services: Vec<OwnedFd>,
}

/// Sets up the network namespace of this process and opens the sidecar's sockets.
pub(super) fn wire(replica: &Replica) -> Result<Sockets, Error> {
    route::loopback_up()?;
    let loopback = loopback_addresses();
    for &address in replica.addresses.iter().filter(|address| address.is_ipv4() || loopback.len() > 1) {
        route::add_address(address)?;
    }
    route::route_everything_to_loopback()?;
    route::allow_low_ports()?;
    let at = |port| loopback.iter().map(move |&ip| SocketAddr::new(ip, port));
    let sockets = Sockets {
        outbound: at(OUTBOUND_PORT).map(listen_tcp).collect::<Result<_, _>>()?,
        dns_tcp: at(DNS_PORT).map(listen_tcp).collect::<Result<_, _>>()?,
        dns_udp: at(DNS_PORT).map(bind_udp).collect::<Result<_, _>>()?,
        inbound: listen_unix(&replica.inbound)?,
        admin: listen_unix(&replica.admin)?,
        services: Vec::new(),
    };
    Redirect { tcp: OUTBOUND_PORT, dns: DNS_PORT, mark: MARK }.apply()?;
    Ok(sockets)
}

/// Opens the sidecar's sockets in loopback mode, where nothing is captured.
pub(super) fn share(replica: &Replica, place: &Place) -> Result<Sockets, Error> {
    let services = place.services.iter().map(|service| listen_tcp(service.address));
    Ok(Sockets {
        outbound: Vec::new(),
        dns_tcp: Vec::new(),
        dns_udp: Vec::new(),
        inbound: listen_unix(&replica.inbound)?,
        admin: listen_unix(&replica.admin)?,
        services: services.collect::<Result<_, _>>()?,
    })
}

/// 127.0.0.1, and `::1` where the kernel speaks IPv6.
fn loopback_addresses() -> Vec<IpAddr> {
    let v6 = route::has_v6().then_some(IpAddr::V6(Ipv6Addr::LOCALHOST));
    [IpAddr::V4(Ipv4Addr::LOCALHOST)].into_iter().chain(v6).collect()
}

fn listen_tcp(address: SocketAddr) -> Result<OwnedFd, Error> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket).into())
    };
    listen().map_err(|error| Error::Listen(address.to_string(), error))
}

fn bind_udp(address: SocketAddr) -> Result<OwnedFd, Error> {
    let bind = || {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    bind().map_err(|error| Error::Listen(address.to_string(), error))
}

/// Listens at a path, in place of a predecessor that died.
fn listen_unix(path: &Path) -> Result<OwnedFd, Error> {
    let listen = || {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        socket.bind(&socket2::SockAddr::unix(path)?)?;
        socket.listen(BACKLOG)?;
        Ok(UnixListener::from(OwnedFd::from(socket)).into())
    };
    listen().map_err(|error| Error::Listen(path.display().to_string(), error))
}
