//! Socket options that proxies need: where a redirected connection was going, firewall marks,
//! detection of dead peers, congestion control.
//!
//! Every function takes anything with a descriptor, so it works for `std` and `tokio` sockets alike.
//! No function here blocks.

use std::{
    io,
    mem::MaybeUninit,
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

/// Leaves pacing out of what a TCP socket sends, if its congestion control paces: it gets the one that every kernel has,
/// that nobody needs a privilege for and that doesn't pace (`reno`, RFC 5681; tcp(7)). For what doesn't leave the machine:
/// there is nothing to congest, and pacing takes a timer for every piece. Other congestion controls stay; DCTCP, for one,
/// agrees on ECN when a connection begins. What a listening socket accepts has its congestion control as well.
///
/// It is for sockets that aren't connected yet: Linux goes on pacing what it has begun to pace.
///
/// # Errors
/// What `setsockopt` says, for example for a socket that isn't TCP.
pub fn unpace(socket: &impl AsFd) -> io::Result<()> {
    if is_paced(socket)? { SockRef::from(socket).set_tcp_congestion(UNPACED) } else { Ok(()) }
}

/// Undoes [`unpace`], also for a socket that was accepted by one of which that was asked: it gets what new sockets of this
/// thread's network namespace have now. A `reno` that somebody else has chosen, for a route for instance, can't be told
/// from ours.
///
/// # Errors
/// When no other socket can be had to ask, or what `setsockopt` says: a process without `CAP_NET_ADMIN` may not choose what
/// `net.ipv4.tcp_allowed_congestion_control` leaves out, though new sockets have it.
pub fn pace(socket: &impl AsFd) -> io::Result<()> {
    if congestion_control(socket)? != UNPACED {
        return Ok(());
    }
    let usual = congestion_control(&Socket::new(Domain::IPV4, Type::STREAM.cloexec(), None)?)?;
    if usual == UNPACED { Ok(()) } else { SockRef::from(socket).set_tcp_congestion(&usual) }
}

/// See [`unpace`].
const UNPACED: &[u8] = b"reno";

/// Whether the congestion control of a TCP socket paces.
///
/// # Errors
/// What `getsockopt` says, for example for a socket that isn't TCP.
pub fn is_paced(socket: &impl AsFd) -> io::Result<bool> {
    congestion_control(socket).map(|name| paces(&name))
}

fn congestion_control(socket: &impl AsFd) -> io::Result<Vec<u8>> {
    let mut name = SockRef::from(socket).tcp_congestion()?;
    // The kernel fills its longest name with zeros.
    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
    Ok(name)
}

/// Only BBR does, in all of its versions (`bbr`, `bbr2`, `bbr3`).
fn paces(congestion_control: &[u8]) -> bool {
    congestion_control.starts_with(b"bbr")
}

/// Whether a stream has bytes, its end or an error to read, which an event loop may be told of later. Takes nothing.
pub fn has_arrived(socket: &impl AsFd) -> bool {
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    let peeked = SockRef::from(socket).recv_with_flags(&mut [MaybeUninit::uninit()], flags);
    !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_an_unpaced_socket_accepts_is_unpaced_until_it_is_paced() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let usual = is_paced(&listener).unwrap();
        unpace(&listener).unwrap();
        assert!(!is_paced(&listener).unwrap());
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _client) = listener.accept().unwrap();
        assert_eq!((is_paced(&accepted).unwrap(), is_paced(&client).unwrap()), (false, usual));
        pace(&accepted).unwrap();
        assert_eq!(is_paced(&accepted).unwrap(), usual);
    }

    #[test]
    fn bytes_and_the_end_have_arrived_and_stay() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut accepted, _client) = listener.accept().unwrap();
        assert!(!has_arrived(&client), "and it doesn't block");
        accepted.write_all(b"a").unwrap();
        assert!(has_arrived(&client) && has_arrived(&client));
        drop(client);
        assert!(has_arrived(&accepted));
    }

    #[test]
    fn what_does_not_pace_stays_as_it_is() {
        for name in [&b"cubic"[..], b"dctcp"] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            // Not every kernel has it, or lets everybody have it.
            if SockRef::from(&listener).set_tcp_congestion(name).is_ok() {
                unpace(&listener).unwrap();
                assert_eq!(congestion_control(&listener).unwrap(), name);
                pace(&listener).unwrap();
                assert_eq!(congestion_control(&listener).unwrap(), name);
            }
        }
    }
}
