//! Ports for programs that must be told theirs before they listen.
//!
//! A port that the kernel picked and got back (`bind` to 0, then close) may be anybody's a moment later: another test's,
//! or that of a connection's near end. These lie below the range that the kernel picks from, and each is held by name,
//! for the life of the process, against every other test on the machine.

#![allow(
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as Name, UnixListener};
use std::sync::{Mutex, PoisonError};

/// Above the ports that Leno and others are known by, below those that Linux picks from (`ip_local_port_range`, 32768 and up).
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// An address of the loopback interface at which nobody listens, and which no other test is given.
pub fn free() -> SocketAddr {
    static HELD: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    // Processes begin at different places, so that they seldom meet.
    let begin = u64::from(std::process::id()) * 101 + held.len() as u64;
    for step in 0..u64::from(COUNT) {
        let port = FIRST + u16::try_from((begin + step) % u64::from(COUNT)).unwrap();
        let Some(name) = hold(port) else { continue };
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        // What isn't a test may listen there.
        if TcpListener::bind(address).is_ok() {
            held.push(name);
            return address;
        }
    }
    panic!("each of {COUNT} ports from {FIRST} is in use");
}

/// Takes the port's name (`unix(7)`, abstract addresses), which only one process of a network namespace can have.
fn hold(port: u16) -> Option<UnixListener> {
    UnixListener::bind_addr(&Name::from_abstract_name(format!("leno-test-port-{port}")).unwrap()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let mut ports: Vec<u16> = (0..200).map(|_| free().port()).collect();
        for &port in &ports {
            assert!((FIRST..FIRST + COUNT).contains(&port));
            assert!(hold(port).is_none(), "{port} is held");
        }
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 200);
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let listener = TcpListener::bind(free()).unwrap();
        let taken = listener.local_addr().unwrap().port();
        assert!((0..200).all(|_| free().port() != taken));
    }
}
