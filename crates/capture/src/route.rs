//! Addresses and routes of a network namespace that has only loopback (rtnetlink).
//!
//! A program in such a namespace gets "network unreachable" before any packet rule can act. Routing
//! every address to loopback lets `connect` proceed to the output hook, where a redirect takes over;
//! what isn't redirected ends in the namespace.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope},
    link::{LinkFlags, LinkMessage},
    route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType},
};

use crate::netlink::Socket;

/// Index of `lo` in every network namespace.
const LOOPBACK: u32 = 1;
/// The kernel's table of local routes.
const TABLE_LOCAL: u8 = 255;

/// Which change failed.
#[derive(Debug, thiserror::Error)]
#[error("can't {operation}")]
pub struct Error {
    operation: String,
    #[source]
    source: io::Error,
}

/// Whether this kernel speaks IPv6 here.
pub fn has_v6() -> bool {
    std::path::Path::new("/proc/sys/net/ipv6/conf/lo").exists()
}

/// Brings loopback up. The kernel adds 127.0.0.1 and `::1`.
///
/// # Errors
/// What the kernel answers.
pub fn loopback_up() -> Result<(), Error> {
    let mut link = LinkMessage::default();
    link.header.index = LOOPBACK;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    request("bring loopback up", RouteNetlinkMessage::SetLink(link), 0)
}

/// Adds one address (as /32 or /128) to loopback. IPv6 addresses are usable at once.
///
/// # Errors
/// What the kernel answers.
pub fn add_address(address: IpAddr) -> Result<(), Error> {
    let mut message = AddressMessage::default();
    message.header.index = LOOPBACK;
    message.header.scope = AddressScope::Universe;
    message.header.prefix_len = if address.is_ipv4() { 32 } else { 128 };
    message.header.family = family(address);
    if address.is_ipv6() {
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    request(&format!("add address {address}"), RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE)
}

/// Routes all of IPv4, and IPv6 where the kernel has it, to loopback.
///
/// IPv4 takes a device route, so that the sender keeps its own address as source. For IPv6 the kernel
/// turns device routes over loopback into reject routes; a `local` route works and picks the same source.
///
/// # Errors
/// What the kernel answers.
pub fn route_everything_to_loopback() -> Result<(), Error> {
    let mut v4 = RouteMessage::default();
    v4.header.address_family = AddressFamily::Inet;
    v4.header.table = RouteHeader::RT_TABLE_MAIN;
    v4.header.protocol = RouteProtocol::Static;
    v4.header.scope = RouteScope::Link;
    v4.header.kind = RouteType::Unicast;
    v4.attributes.push(RouteAttribute::Oif(LOOPBACK));
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    request("route IPv4 to loopback", RouteNetlinkMessage::NewRoute(v4), flags)?;
    if !has_v6() {
        return Ok(());
    }
    let mut v6 = RouteMessage::default();
    v6.header.address_family = AddressFamily::Inet6;
    v6.header.table = TABLE_LOCAL;
    v6.header.protocol = RouteProtocol::Static;
    v6.header.scope = RouteScope::Universe;
    v6.header.kind = RouteType::Local;
    v6.attributes.push(RouteAttribute::Oif(LOOPBACK));
    request("route IPv6 to loopback", RouteNetlinkMessage::NewRoute(v6), flags)
}

/// Lets every user of this network namespace bind ports below 1024.
///
/// # Errors
/// What writing the kernel setting says.
pub fn allow_low_ports() -> Result<(), Error> {
    std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
        .map_err(|source| Error { operation: "open the ports below 1024".to_owned(), source })
}

/// Whether an address belongs to the loopback networks.
pub fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] == Ipv4Addr::LOCALHOST.octets()[0],
        IpAddr::V6(v6) => v6 == Ipv6Addr::LOCALHOST,
    }
}

pub(crate) fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

pub(crate) fn request(operation: &str, message: RouteNetlinkMessage, flags: u16) -> Result<(), Error> {
    exchange(message, flags).map_err(|source| Error { operation: operation.to_owned(), source })
}

fn exchange(message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    message.header.sequence_number = 1;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let socket = Socket::open(None)?;
    socket.send(&bytes)?;
    loop {
        if let Some(answer) = socket.answers()?.first() {
            return if answer.error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(answer.error)) };
        }
    }
}
