//! The resolver of the machine that an egress runs on: who answers names outside the mesh.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::limits::RESOLVER_FILE;

/// The address by which an egress understands "the resolver of your machine".
pub(crate) const RESOLVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);

const PORT: u16 = 53;

/// The first name server of `resolv.conf(5)`, read anew each time since networks change; this machine, as there, where
/// none is named.
pub(super) fn of_this_machine() -> SocketAddr {
    let named = File::open("/etc/resolv.conf").ok().and_then(|file| first(file.take(RESOLVER_FILE)));
    SocketAddr::new(named.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), PORT)
}

fn first(file: impl std::io::Read) -> Option<IpAddr> {
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_usable_name_server_counts() {
        let text = "# nameserver 192.0.2.1\nsearch example.com\nnameserver\t192.0.2.2 \nnameserver ::1\n";
        assert_eq!(first(text.as_bytes()), Some("192.0.2.2".parse().unwrap()));
        assert_eq!(first("nameserver fe80::1%eth0\nnameserver ::1".as_bytes()), Some("::1".parse().unwrap()));
        assert_eq!(first("options edns0\n".as_bytes()), None);
    }
}
