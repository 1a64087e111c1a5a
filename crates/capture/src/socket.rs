//! Socket options that proxies need: where a redirected connection was going, firewall marks,
//! detection of dead peers, congestion control.
//!
//! Every function takes anything with a descriptor, so it works for `std` and `tokio` sockets alike.
//! No function here blocks.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

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

/// Lets a TCP socket send as soon as the peer has room, by the congestion control that every kernel has and that nobody
/// needs a privilege for (`reno`, RFC 5681; tcp(7)). For what doesn't leave the machine: there is nothing to congest, and
/// what the machine has chosen for its networks may pace, which takes a timer for every piece (BBR does). What a listening
/// socket accepts has it as well.
///
/// It is for sockets that aren't connected yet: Linux goes on pacing what it has begun to pace.
///
/// # Errors
/// What `setsockopt` says, for example for a socket that isn't TCP.
pub fn set_unpaced(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_tcp_congestion(UNPACED)
}

/// A congestion control of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CongestionControl(Vec<u8>);

impl CongestionControl {
    /// The one that new sockets of this thread's network namespace have.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn usual() -> io::Result<Self> {
        Self::of(&Socket::new(Domain::IPV4, Type::STREAM.cloexec(), None)?)
    }

    fn of(socket: &impl AsFd) -> io::Result<Self> {
        let mut name = SockRef::from(socket).tcp_congestion()?;
        // The kernel fills its longest name with zeros.
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
        Ok(Self(name))
    }

    /// Gives it to a TCP socket.
    ///
    /// # Errors
    /// What `setsockopt` says.
    pub fn set(&self, socket: &impl AsFd) -> io::Result<()> {
        SockRef::from(socket).set_tcp_congestion(&self.0)
    }
}

/// See [`set_unpaced`].
const UNPACED: &[u8] = b"reno";

/// Whether [`set_unpaced`] holds for a socket.
///
/// # Errors
/// What `getsockopt` says, for example for a socket that isn't TCP.
pub fn is_unpaced(socket: &impl AsFd) -> io::Result<bool> {
    Ok(CongestionControl::of(socket)?.0 == UNPACED)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_an_unpaced_socket_accepts_is_unpaced() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let usual = is_unpaced(&listener).unwrap();
        set_unpaced(&listener).unwrap();
        assert!(is_unpaced(&listener).unwrap());
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _client) = listener.accept().unwrap();
        assert_eq!((is_unpaced(&accepted).unwrap(), is_unpaced(&client).unwrap()), (true, usual));
        CongestionControl::usual().unwrap().set(&accepted).unwrap();
        assert_eq!(is_unpaced(&accepted).unwrap(), usual);
    }
}
