//! Which claims of a request about itself are believed.
//!
//! A header that only a proxy may write is worth nothing from a client: fields about where a request came from, who
//! sent it, and what Envoy-like proxies do with it. They are taken off where a request enters from outside, and
//! written anew from what this proxy knows. Names are compared with underscores as dashes, since applications behind
//! CGI-like interfaces can't tell `X_Forwarded_For` from the real one. Hop-by-hop fields are not dealt with here: the
//! codec ends them.

#[cfg(test)]
mod tests;
pub mod xfcc;

use std::net::IpAddr;

use leno_model::request::RequestView;

use crate::head::{Fields, InvalidField, RequestHead};
use crate::limits::FORWARDED_HOPS;

/// Fields that say where a request came from.
const FORWARDED: [&str; 6] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Makes a request from outside the mesh trustworthy: removes what it claims about its origin beyond what
/// `trusted_hops` proxies in front of this one vouch for, and writes what this proxy sees.
///
/// Returns the client's address: that of the connection, or with trusted hops the one that the outermost of them saw.
///
/// # Errors
/// Never for addresses; the type says that fields are written.
pub fn from_outside(
    head: &mut RequestHead,
    connection: IpAddr,
    trusted_hops: usize,
) -> Result<IpAddr, InvalidField> {
    let hops = trusted_hops.min(FORWARDED_HOPS);
    let vouched = vouched_for(head.fields(), hops);
    let proto = head.fields().get("x-forwarded-proto").filter(|_| hops > 0).map(<[u8]>::to_vec);
    head.fields_mut()
        .remove_where(|name| is_private(name) || is_rewritten(name) || hops == 0 && is_forwarded(name));
    let client = vouched.first().copied().unwrap_or(connection);
    let mut chain = String::new();
    for address in vouched.iter().chain([&connection]) {
        if !chain.is_empty() {
            chain.push(',');
        }
        chain.push_str(&address.to_string());
    }
    head.fields_mut().set("x-forwarded-for", chain.as_bytes())?;
    let scheme = head.scheme().to_owned();
    let proto = proto.filter(|proto| matches!(&proto[..], b"http" | b"https"));
    head.fields_mut().set("x-forwarded-proto", proto.as_deref().unwrap_or(scheme.as_bytes()))?;
    Ok(client)
}

/// The addresses that the last `hops` proxies appended to `x-forwarded-for`, oldest first. What isn't an address ends
/// the list, since nothing before it can be believed.
fn vouched_for(fields: &Fields, hops: usize) -> Vec<IpAddr> {
    if hops == 0 {
        return Vec::new();
    }
    let joined = fields.joined("x-forwarded-for").unwrap_or_default();
    let mut addresses: Vec<IpAddr> = joined
        .rsplit(|b| *b == b',')
        .take(hops)
        .map_while(|element| std::str::from_utf8(element.trim_ascii()).ok()?.parse().ok())
        .collect();
    addresses.reverse();
    addresses
}

/// Whether a field is the business of proxies alone: Envoy's own, and those by which mesh proxies tell each other.
fn is_private(name: &[u8]) -> bool {
    starts_with(name, "x-envoy-") || starts_with(name, "x-istio-") || starts_with(name, "x-leno-")
}

fn is_forwarded(name: &[u8]) -> bool {
    FORWARDED.iter().any(|field| is(field, name))
}

/// Whether the field is written anew even with trusted hops, or is a look-alike.
fn is_rewritten(name: &[u8]) -> bool {
    is("x-forwarded-for", name) || is("x-forwarded-proto", name) || name.contains(&b'_') && is_forwarded(name)
}

fn is(field: &str, name: &[u8]) -> bool {
    name.len() == field.len() && starts_with(name, field)
}

/// Whether a name begins like a field, whatever its case, with underscores as dashes.
fn starts_with(name: &[u8], field: &str) -> bool {
    name.len() >= field.len()
        && name.iter().zip(field.bytes()).all(|(byte, wanted)| match byte {
            b'_' => wanted == b'-',
            byte => byte.to_ascii_lowercase() == wanted,
        })
}
