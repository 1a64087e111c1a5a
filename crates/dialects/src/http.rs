//! Texts of HTTP that configuration may put into requests: header names and values, paths, hosts.
//!
//! What is written here goes onto the wire, so what could change a message's framing or meaning is refused.

use std::sync::Arc;

use crate::codes;
use crate::yaml::Value;

/// Whether the text is a header name (RFC 9110 §5.1: a token).
pub(crate) fn is_header_name(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.len() <= 256 && text.bytes().all(token)
}

/// Whether the text is a header value (RFC 9110 §5.5, without obsolete bytes): visible characters, spaces and tabs.
pub(crate) fn is_header_value(text: &str) -> bool {
    text.len() <= 4096 && text.bytes().all(|b| b == b'\t' || (0x20..0x7f).contains(&b)) && text.trim() == text
}

/// Whether the text is a path to send or redirect to: absolute, of URI characters (RFC 3986 §3.3), no fragment.
pub(crate) fn is_path(text: &str, query: bool) -> bool {
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b) || (query && b == b'?');
    text.starts_with('/') && text.len() <= 4096 && text.bytes().all(allowed)
}

/// Whether the text is a host with an optional port, as an authority has it (RFC 3986 §3.2.2).
pub(crate) fn is_authority(text: &str) -> bool {
    let (host, _port) = leno_model::request::split_authority(text);
    let in_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let is_name = !host.is_empty() && host.len() <= 253 && host.bytes().all(in_name);
    is_name || (text.starts_with('[') && host.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Headers that frame or route a message: changing them by hand would break or redirect it.
const RESERVED: [&str; 6] =
    ["connection", "content-length", "te", "transfer-encoding", "upgrade", "keep-alive"];

/// A header's name in lower case, if it may be changed. `host` is for the caller to treat before.
pub(crate) fn editable_name(name: &str, value: &Value<'_>) -> Option<Arc<str>> {
    let lower = name.to_ascii_lowercase();
    if !is_header_name(&lower) {
        value.report_with(
            codes::INVALID_VALUE,
            format_args!("{name:?} is not a header name"),
            "a header name has letters, digits and dashes",
        );
        return None;
    }
    if RESERVED.contains(&lower.as_str()) {
        value.report_with(
            codes::INVALID_VALUE,
            format_args!("{lower} may not be changed"),
            "the proxy sets the headers that frame a message",
        );
        return None;
    }
    Some(lower.into())
}

/// A header's value, if it is one.
pub(crate) fn editable_value(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text()?;
    if is_header_value(text) {
        return Some(text.into());
    }
    value.invalid("is not a header value", "use visible ASCII characters, spaces inside only");
    None
}

/// Of several edits of one header by one action only the first counts; the others are told.
pub(crate) fn push_edit(
    edits: &mut Vec<(Arc<str>, Arc<str>)>,
    name: Arc<str>,
    text: Arc<str>,
    value: &Value<'_>,
) {
    if edits.iter().any(|(known, _)| *known == name) {
        value.report(codes::INEFFECTIVE, format_args!("{name} is already named above, which counts"));
    } else {
        edits.push((name, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_change_a_message_is_refused() {
        for (text, name, header_value) in [
            ("x-user", true, true),
            ("", false, true),
            ("a b", false, true),
            ("a:b", false, true),
            ("x\r\ny: z", false, false),
            ("ü", false, false),
            (" a", false, false),
            ("a\0", false, false),
        ] {
            assert_eq!((is_header_name(text), is_header_value(text)), (name, header_value), "{text:?}");
        }
    }

    #[test]
    fn paths_and_authorities_are_strict() {
        for (text, expected) in
            [("/", true), ("/a%20b/c", true), ("a", false), ("/a b", false), ("/a#b", false), ("/a\n", false)]
        {
            assert_eq!(is_path(text, false), expected, "{text:?}");
        }
        assert!(is_path("/a?b=c", true) && !is_path("/a?b=c", false));
        for (text, expected) in [
            ("example.com", true),
            ("example.com:80", true),
            ("[::1]:80", true),
            ("::1", false),
            ("", false),
            ("a:b", false),
            ("user@host", false),
            ("a/b", false),
        ] {
            assert_eq!(is_authority(text), expected, "{text:?}");
        }
    }
}
