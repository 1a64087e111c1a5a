//! A cable between two network namespaces: a pair of virtual Ethernet interfaces (rtnetlink).
//!
//! The pair vanishes with either namespace, so nothing has to be removed.

use std::{
    net::IpAddr,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope},
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
};

use crate::route::{Error, family, request};

/// One end of a cable. The number must be free in its namespace; 1 is loopback's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End<'a> {
    /// At most 15 bytes.
    pub name: &'a str,
    /// The interface's index.
    pub index: u32,
}

/// Creates a cable with one end here and the other in `namespace`. Both ends are down.
///
/// # Errors
/// What the kernel answers; it needs `CAP_NET_ADMIN` over both namespaces.
pub fn cable(here: End<'_>, there: End<'_>, namespace: BorrowedFd<'_>) -> Result<(), Error> {
    let mut peer = interface(there);
    peer.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
    let mut link = interface(here);
    link.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    let operation = format!("lay a cable from {} to {}", here.name, there.name);
    request(&operation, RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
}

/// Gives an interface an address with its network's prefix, and brings it up.
///
/// # Errors
/// What the kernel answers.
pub fn configure(end: End<'_>, address: IpAddr, prefix: u8) -> Result<(), Error> {
    let mut message = AddressMessage::default();
    message.header.index = end.index;
    message.header.scope = AddressScope::Universe;
    message.header.prefix_len = prefix;
    message.header.family = family(address);
    if address.is_ipv6() {
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    let operation = format!("give {} the address {address}", end.name);
    request(&operation, RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE)?;
    let mut link = LinkMessage::default();
    link.header.index = end.index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    request(&format!("bring {} up", end.name), RouteNetlinkMessage::SetLink(link), 0)
}

fn interface(end: End<'_>) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = end.index;
    link.attributes.push(LinkAttribute::IfName(end.name.to_owned()));
    link
}
