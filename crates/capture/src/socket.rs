//! Socket options that proxies need: where a redirected connection was going, firewall marks,
//! detection of dead peers.
//!
//! Every function takes anything with a descriptor, so it works for `std` and `tokio` sockets alike.
//! No function here blocks.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};

/// Where a connection was going before a rule redirected it here (`SO_ORIGINAL_DST`,
/// `IP6T_SO_ORIGINAL_DST`). For a connection that no rule redirected it is the socket's own address.
///
/// # Errors
/// `NotFound` for a connection that the kernel doesn't track; otherwise what `getsockopt` says.
pub fn original_destination(socket: &impl AsFd) -> io::Result<SocketAddr> {
    let socket = SockRef::from(socket);
    let local = address(&socket.local_addr()?)?;
    let original = if is_v4(local) { socket.original_dst_v4() } else { socket.original_dst_v6() }?;
    address(&original)
}

/// True for IPv4, also in its IPv6-mapped form, as dual-stack listeners see it.
fn is_v4(address: SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    }
}

fn address(address: &socket2::SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an IP socket"))
}

/// Sets the firewall mark (`SO_MARK`) of everything that the socket sends. Do it before `connect`.
///
/// # Errors
/// `PermissionDenied` without `CAP_NET_ADMIN` over the socket's network namespace.
pub fn set_mark(socket: &impl AsFd, mark: u32) -> io::Result<()> {
    SockRef::from(socket).set_mark(mark)
}

/// When a silent TCP peer counts as dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Liveness {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between two probes.
    pub interval: Duration,
    /// Unanswered probes before the connection is reset.
    pub probes: u32,
    /// How long sent bytes may stay unacknowledged (`TCP_USER_TIMEOUT`).
    pub unacknowledged: Duration,
}

/// Makes the kernel reset a TCP connection whose peer vanished.
///
/// # Errors
/// What `setsockopt` says, for example for a socket that isn't TCP.
pub fn set_liveness(socket: &impl AsFd, liveness: Liveness) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(liveness.idle)
        .with_interval(liveness.interval)
        .with_retries(liveness.probes);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(liveness.unacknowledged))
}
