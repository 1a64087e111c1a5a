//! The normal form of an authority: lower case, no dot at the end, no empty port.

use std::borrow::Cow;

use super::Rejected;
use crate::head::{is_authority, plain_name_len};
use crate::limits::AUTHORITY_BYTES;

/// Whether this is the normal form, as nearly all are: a name or IPv4 address, and a port of at most four digits.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let name = plain_name_len(bytes);
    let ends_well = name.checked_sub(1).and_then(|last| bytes.get(last)).is_some_and(|last| *last != b'.');
    let port = match bytes.get(name..) {
        Some([]) => true,
        Some([b':', b'1'..=b'9', rest @ ..]) => rest.len() < 4 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    ends_well && port && bytes.len() <= AUTHORITY_BYTES
}

/// The normal form of `host [":" port]`. Borrows where it is normal already; an empty authority is.
///
/// # Errors
/// [`Rejected::Authority`].
pub fn host(authority: &str) -> Result<Cow<'_, str>, Rejected> {
    if authority.is_empty() || is_plain(authority.as_bytes()) {
        return Ok(Cow::Borrowed(authority));
    }
    normal(authority)
}

/// [`host`] for all.
fn normal(authority: &str) -> Result<Cow<'_, str>, Rejected> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_plain_is_normal(text in "[a-zA-Z0-9.:-]{0,8}(:[0-9]{0,5})?") {
            if is_plain(text.as_bytes()) {
                prop_assert_eq!(normal(&text), Ok(Cow::Borrowed(&*text)));
            }
        }
    }
}
