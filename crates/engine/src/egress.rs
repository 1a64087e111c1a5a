//! Whether traffic may go to an address that no service has.
//!
//! Asked only about addresses outside the mesh: what configuration names is allowed by naming it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use leno_model::failure::Failure;
use leno_model::unit::OutboundMode;

/// Why an external address may not be reached. Always [`Failure::ForbiddenDestination`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// The mesh allows only what its services name.
    RegistryOnly,
    /// Loopback: the proxy's own host.
    Loopback,
    /// Valid on one link only.
    LinkLocal,
    /// A cloud's metadata service, which gives away credentials.
    Metadata,
    /// Not an address of one host: unspecified, multicast, broadcast.
    NotUnicast,
}

impl Forbidden {
    /// The failure it is.
    #[must_use]
    pub const fn failure(self) -> Failure {
        Failure::ForbiddenDestination
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RegistryOnly => "only services of the mesh may be reached",
            Self::Loopback => "loopback is the proxy's own host",
            Self::LinkLocal => "link-local addresses are denied unless a service names them",
            Self::Metadata => "metadata addresses are denied unless a service names them",
            Self::NotUnicast => "not the address of a single host",
        })
    }
}

/// Whether an external address may be reached.
///
/// # Errors
/// Why it may not.
pub fn check(mode: OutboundMode, address: IpAddr) -> Result<(), Forbidden> {
    let forbidden = match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    };
    match (forbidden, mode) {
        (Some(reason), _) => Err(reason),
        (None, OutboundMode::RegistryOnly) => Err(Forbidden::RegistryOnly),
        (None, OutboundMode::AllowAny) => Ok(()),
    }
}

/// Metadata services outside the link-local ranges: Alibaba, Azure (wire server), Oracle.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];

/// Metadata services over IPv6: AWS, Google.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

fn v4(address: Ipv4Addr) -> Option<Forbidden> {
    if address.is_loopback() {
        Some(Forbidden::Loopback)
    } else if address == Ipv4Addr::new(169, 254, 169, 254) || METADATA_V4.contains(&address) {
        Some(Forbidden::Metadata)
    } else if address.is_link_local() {
        Some(Forbidden::LinkLocal)
    } else if matches!(address.octets(), [0 | 224..=239, ..]) || address.is_broadcast() {
        // 0.0.0.0/8 is "this host on this network" (RFC 1122 §3.2.1.3); Linux takes 0.0.0.0 for loopback.
        Some(Forbidden::NotUnicast)
    } else {
        None
    }
}

fn v6(address: Ipv6Addr) -> Option<Forbidden> {
    if address.is_loopback() {
        Some(Forbidden::Loopback)
    } else if address.is_unspecified() || address.is_multicast() {
        Some(Forbidden::NotUnicast)
    } else if METADATA_V6.contains(&address) {
        Some(Forbidden::Metadata)
    } else if address.is_unicast_link_local() {
        Some(Forbidden::LinkLocal)
    } else {
        embedded_v4(address).and_then(v4)
    }
}

/// The IPv4 address that an IPv6 one leads to: mapped or compatible (RFC 4291 §2.5.5), through NAT64's well-known
/// prefix (RFC 6052 §2.1), or 6to4 (RFC 3056 §2).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some(join(high, low)),
        _ => address.to_ipv4(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_addresses_are_forbidden_however_they_are_written() {
        use Forbidden::{LinkLocal, Loopback, Metadata, NotUnicast};
        for (address, expected) in [
            ("93.184.216.34", None),
            ("10.0.0.1", None),
            ("127.0.0.1", Some(Loopback)),
            ("127.255.255.254", Some(Loopback)),
            ("0.0.0.0", Some(NotUnicast)),
            ("224.0.0.1", Some(NotUnicast)),
            ("255.255.255.255", Some(NotUnicast)),
            ("169.254.1.1", Some(LinkLocal)),
            ("169.254.169.254", Some(Metadata)),
            ("100.100.100.200", Some(Metadata)),
            ("168.63.129.16", Some(Metadata)),
            ("2001:db8::1", None),
            ("fd00::1", None),
            ("::", Some(NotUnicast)),
            ("::1", Some(Loopback)),
            ("fe80::1", Some(LinkLocal)),
            ("febf::1", Some(LinkLocal)),
            ("ff02::1", Some(NotUnicast)),
            ("fd00:ec2::254", Some(Metadata)),
            ("fd20:ce::254", Some(Metadata)),
            ("::ffff:127.0.0.1", Some(Loopback)),
            ("::127.0.0.1", Some(Loopback)),
            ("::ffff:169.254.169.254", Some(Metadata)),
            ("64:ff9b::a9fe:a9fe", Some(Metadata)),
            ("64:ff9b::5db8:d822", None),
            ("2002:7f00:1::", Some(Loopback)),
        ] {
            let address = address.parse().unwrap();
            let got = check(OutboundMode::AllowAny, address);
            assert_eq!(got.err(), expected, "{address}");
            assert!(check(OutboundMode::RegistryOnly, address).is_err(), "{address}");
        }
    }
}
