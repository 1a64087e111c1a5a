//! Version 2: a fixed head, two addresses, and typed values of which only the checksum means something here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Decoded, Ends, Refusal, crc32c};
use crate::limits::PROXY_BINARY_BYTES;

/// What every header of version 2 begins with; no other protocol does.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, length of what follows.
const HEAD: usize = SIGNATURE.len() + 4;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// The type of a checksum over the whole header (§2.2.3).
const CRC32C: u8 = 0x03;

pub(super) fn decode(bytes: &[u8]) -> Decoded {
    // Each byte is judged as soon as it is there.
    let command = match bytes.get(SIGNATURE.len()) {
        None => return Decoded::NeedMore,
        Some(command @ (&LOCAL | &PROXY)) => *command,
        Some(_) => return Decoded::Refused(Refusal::Command),
    };
    let addresses = match (command, bytes.get(SIGNATURE.len() + 1)) {
        (_, None) => return Decoded::NeedMore,
        // A family that doesn't count is any that there may be.
        (LOCAL, Some(_)) | (_, Some(&UNSPECIFIED)) => 0,
        (_, Some(&TCP4)) => 12,
        (_, Some(&TCP6)) => 36,
        _ => return Decoded::Refused(Refusal::Family),
    };
    let Some([.., high, low]) = bytes.first_chunk::<HEAD>() else { return Decoded::NeedMore };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > PROXY_BINARY_BYTES {
        return Decoded::Refused(Refusal::Length);
    }
    if length < addresses {
        return Decoded::Refused(Refusal::Truncated);
    }
    let Some(header) = bytes.get(..HEAD + length) else { return Decoded::NeedMore };
    // What LOCAL carries is to be skipped, whatever it is.
    if command == PROXY
        && let Err(refusal) = values(header, HEAD + addresses)
    {
        return Decoded::Refused(refusal);
    }
    let ends = header.get(HEAD..HEAD + addresses).and_then(ends);
    Decoded::Header(ends, header.len())
}

fn ends(bytes: &[u8]) -> Option<Ends> {
    let (ips, ports) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    let (source, destination) = ips.split_at_checked(ips.len() / 2)?;
    let (from, to) = ports.split_at_checked(2)?;
    Some(Ends { source: address(source, from)?, destination: address(destination, to)? })
}

fn address(ip: &[u8], port: &[u8]) -> Option<SocketAddr> {
    let ip: IpAddr = match *ip {
        [a, b, c, d] => Ipv4Addr::from([a, b, c, d]).into(),
        _ => Ipv6Addr::from(*ip.first_chunk::<16>()?).into(),
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port.first_chunk()?)))
}

/// Goes through the values that begin at `at`: each fits, and a checksum is right.
fn values(header: &[u8], mut at: usize) -> Result<(), Refusal> {
    while let Some(rest) = header.get(at..).filter(|rest| !rest.is_empty()) {
        let Some([kind, high, low]) = rest.first_chunk::<3>() else { return Err(Refusal::Truncated) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(value) = rest.get(3..3 + length) else { return Err(Refusal::Truncated) };
        if *kind == CRC32C {
            let given = value.try_into().ok().map(u32::from_be_bytes);
            // It is taken with its own place zeroed.
            let (before, after) = (header.get(..at + 3), header.get(at + 3 + length..));
            let parts = [before.unwrap_or_default(), &[0; 4], after.unwrap_or_default()];
            if given != Some(crc32c::of(&parts)) {
                return Err(Refusal::Checksum);
            }
        }
        at += 3 + length;
    }
    Ok(())
}

pub(super) fn encode(ends: Option<Ends>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some(Ends { source, destination }) = ends else {
        header.extend([LOCAL, UNSPECIFIED, 0, 0]);
        return header;
    };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend([PROXY, TCP4, 0, 12]);
            header.extend([from.octets(), to.octets()].as_flattened());
        }
        (from, to) => {
            let wide = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            header.extend([PROXY, TCP6, 0, 36]);
            header.extend([wide(from).octets(), wide(to).octets()].as_flattened());
        }
    }
    header.extend(source.port().to_be_bytes());
    header.extend(destination.port().to_be_bytes());
    header
}
