//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt` of 2020): who is at the other end of a
//! connection that came through a proxy of bytes, told before the first of them. Pure.
//!
//! It is believed only where configuration says that it comes, and there it must come: nothing is guessed. What the
//! specification leaves to the receiver is refused: other transports than TCP, sockets without addresses, leading zeros,
//! a second way to write anything. A header is decoded whole or not at all.

mod crc32c;
mod one;
#[cfg(test)]
mod tests;
mod two;

use std::net::{IpAddr, SocketAddr};

use leno_model::destination::ProxyProtocol;

pub use two::SIGNATURE;

/// Both ends of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// Where it had connected to.
    pub destination: SocketAddr,
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A header of so many bytes. Without ends, the connection is the proxy's own or its client is not known; the
    /// connection's own addresses count then.
    Header(Option<Ends>, usize),
    /// It may still become one.
    NeedMore,
    /// It is none, or not a well-formed one. The connection must not be served.
    Refused(Refusal),
}

/// Why a connection's first bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It begins like neither version.
    #[error("no PROXY header")]
    Missing,
    /// A line of version 1 that isn't as specified.
    #[error("a malformed PROXY line")]
    Line,
    /// Neither version 2 nor a known command.
    #[error("an unknown PROXY version or command")]
    Command,
    /// Something else than TCP over IP.
    #[error("a PROXY header about something else than TCP")]
    Family,
    /// Longer than the limit.
    #[error("a PROXY header that is too long")]
    Length,
    /// Addresses or values that don't fit into the announced length.
    #[error("a PROXY header whose parts exceed its length")]
    Truncated,
    /// The header's checksum is another one.
    #[error("a PROXY header with a wrong checksum")]
    Checksum,
}

/// Reads a header. What is refused is so as soon as that is certain; a header that is complete is never longer than the
/// bytes at hand.
#[must_use]
pub fn decode(bytes: &[u8]) -> Decoded {
    let begins_like = |whole: &[u8]| bytes.len() < whole.len() && whole.starts_with(bytes);
    if bytes.starts_with(&SIGNATURE) {
        two::decode(bytes)
    } else if bytes.starts_with(one::PREFIX) {
        one::decode(bytes)
    } else if begins_like(&SIGNATURE) || begins_like(one::PREFIX) {
        Decoded::NeedMore
    } else {
        Decoded::Refused(Refusal::Missing)
    }
}

/// Writes a header. Without ends, it says that the connection's own addresses count.
#[must_use]
pub fn encode(version: ProxyProtocol, ends: Option<Ends>) -> Vec<u8> {
    let ends = ends.map(Ends::of_one_family);
    match version {
        ProxyProtocol::V1 => one::encode(ends),
        ProxyProtocol::V2 => two::encode(ends),
    }
}

impl Ends {
    /// A header has room for one family. An IPv4 address beside an IPv6 one is written as mapped (RFC 4291 §2.5.5.2).
    fn of_one_family(self) -> Self {
        if self.source.is_ipv4() == self.destination.is_ipv4() {
            return self;
        }
        let mapped = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
            IpAddr::V6(_) => address,
        };
        Self { source: mapped(self.source), destination: mapped(self.destination) }
    }
}
