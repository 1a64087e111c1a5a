//! Version 1: a line of text.

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Decoded, Ends, Refusal};
use crate::limits::PROXY_LINE_BYTES;

pub(super) const PREFIX: &[u8] = b"PROXY ";

pub(super) fn decode(bytes: &[u8]) -> Decoded {
    let line = bytes.get(..PROXY_LINE_BYTES).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', line) else {
        // Text and nothing else, or waiting for the end is of no use.
        let is_hopeless = line.iter().any(|byte| !matches!(byte, b' '..=b'~' | b'\r'));
        return match (is_hopeless, line.len() == PROXY_LINE_BYTES) {
            (true, _) => Decoded::Refused(Refusal::Line),
            (false, true) => Decoded::Refused(Refusal::Length),
            (false, false) => Decoded::NeedMore,
        };
    };
    let text = line.get(PREFIX.len()..end).and_then(|text| std::str::from_utf8(text).ok());
    match text.and_then(|text| text.strip_suffix('\r')).and_then(parts) {
        Some(ends) => Decoded::Header(ends, end + 1),
        None => Decoded::Refused(Refusal::Line),
    }
}

/// What follows the prefix.
fn parts(text: &str) -> Option<Option<Ends>> {
    if text.bytes().any(|byte| !matches!(byte, b' '..=b'~')) {
        return None;
    }
    // Whatever follows it is to be ignored.
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let mut words = text.split(' ');
    let family = words.next()?;
    let mut next = || words.next();
    let (source, destination) = (next()?, next()?);
    let ports = (port(next()?)?, port(next()?)?);
    if next().is_some() {
        return None;
    }
    let ends = match family {
        "TCP4" => ends::<Ipv4Addr>(source, destination, ports)?,
        "TCP6" => ends::<Ipv6Addr>(source, destination, ports)?,
        _ => return None,
    };
    Some(Some(ends))
}

fn ends<T>(source: &str, destination: &str, ports: (u16, u16)) -> Option<Ends>
where
    T: FromStr + Into<std::net::IpAddr>,
{
    let address = |text: &str, port| Some(SocketAddr::new(text.parse::<T>().ok()?.into(), port));
    Some(Ends { source: address(source, ports.0)?, destination: address(destination, ports.1)? })
}

/// Decimal, without a sign and leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

pub(super) fn encode(ends: Option<Ends>) -> Vec<u8> {
    let Some(Ends { source, destination }) = ends else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let ips: [&dyn Display; 2] = [&source.ip(), &destination.ip()];
    let [from, to] = ips;
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}
