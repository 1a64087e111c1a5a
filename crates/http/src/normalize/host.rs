//! The normal form of an authority: lower case, no dot at the end, no empty port.

use std::borrow::Cow;

use super::Rejected;
use crate::head::is_authority;

/// The normal form of `host [":" port]`. Borrows where it is normal already; an empty authority is.
///
/// # Errors
/// [`Rejected::Authority`].
pub fn host(authority: &str) -> Result<Cow<'_, str>, Rejected> {
    if authority.is_empty() {
        return Ok(Cow::Borrowed(authority));
    }
    if !is_authority(authority.as_bytes()) {
        return Err(Rejected::Authority);
    }
    let host_end = match authority.rfind(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() || name.ends_with('.') {
        return Err(Rejected::Authority);
    }
    let port = match port.strip_prefix(':') {
        None | Some("") => None,
        Some(digits) => {
            Some(digits.parse::<u16>().ok().filter(|port| *port != 0).ok_or(Rejected::Authority)?)
        }
    };
    let plain_port = match port {
        // A port with leading zeros parses, but isn't what it says.
        Some(_) => !authority.get(host_end + 1..).is_some_and(|digits| digits.starts_with('0')),
        None => host_end == authority.len(),
    };
    if plain_port && name.len() == host.len() && !host.bytes().any(|b| b.is_ascii_uppercase()) {
        return Ok(Cow::Borrowed(authority));
    }
    let mut normal = name.to_ascii_lowercase();
    if let Some(port) = port {
        normal.push(':');
        normal.push_str(&port.to_string());
    }
    Ok(Cow::Owned(normal))
}
