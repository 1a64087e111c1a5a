//! Normal forms of paths (RFC 3986 §6.2.2), as Envoy's and Istio's modes define them.

use std::borrow::Cow;

use leno_runtime::bytes::{Sixteen, any_after};

use super::{PathMode, Rejected};

/// The normal form of a path that begins with `/`, without its query. Borrows where the path is normal already.
///
/// # Errors
/// If the path can be read in several ways; in mode [`PathMode::None`] never.
pub fn path(path: &str, mode: PathMode) -> Result<Cow<'_, str>, Rejected> {
    if mode == PathMode::None || is_plain(path.as_bytes(), mode) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(path, mode == PathMode::DecodeAndMergeSlashes)?;
    let normal = resolve(&decoded, mode != PathMode::Base)?;
    if normal == path { Ok(Cow::Borrowed(path)) } else { Ok(Cow::Owned(normal)) }
}

/// Whether nothing in the path could need a change, which most requests end with.
pub(super) fn is_plain(path: &[u8], mode: PathMode) -> bool {
    let last = if mode == PathMode::Base { b'.' } else { b'/' };
    let changes = |before: Sixteen, bytes: Sixteen| {
        let encoded = bytes.are(b'%') | bytes.are(b'\\') | bytes.are(b'"');
        let excluded = bytes.are(b'<') | bytes.are(b'>') | bytes.are(b'`');
        encoded | excluded | (before.are(b'/') & bytes.are_from(b'.', last))
    };
    !any_after(path, changes)
}

/// Decodes what need not be encoded, encodes what must be, and turns backslashes.
fn decode(path: &str, slashes: bool) -> Result<String, Rejected> {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        let mut next = c.len_utf8();
        match c {
            '%' => {
                let code = rest.get(..3).ok_or(Rejected::Percent)?;
                next = 3;
                match byte_of(code).ok_or(Rejected::Percent)? {
                    0 => return Err(Rejected::Nul),
                    lead if is_overlong(lead, rest.get(3..6)) => return Err(Rejected::Overlong),
                    b'/' | b'\\' if slashes => decoded.push('/'),
                    byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') => {
                        decoded.push(char::from(byte));
                    }
                    _ => decoded.push_str(code),
                }
            }
            '\\' => decoded.push('/'),
            // No URI may hold these; HTTP/2 libraries refuse them.
            '"' => decoded.push_str("%22"),
            '<' => decoded.push_str("%3C"),
            '>' => decoded.push_str("%3E"),
            '`' => decoded.push_str("%60"),
            c => decoded.push(c),
        }
        rest = rest.get(next..).unwrap_or_default();
    }
    Ok(decoded)
}

/// The byte that `%XX` stands for.
fn byte_of(code: &str) -> Option<u8> {
    let digits = code.strip_prefix('%')?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// Whether a byte and the code after it begin a character that UTF-8 writes with fewer bytes (RFC 3629 §3). Careless
/// decoders take some of these for dots and slashes.
fn is_overlong(lead: u8, next: Option<&str>) -> bool {
    matches!(
        (lead, next.and_then(byte_of)),
        (0xc0 | 0xc1, Some(0x80..=0xbf)) | (0xe0, Some(0x80..=0x9f)) | (0xf0, Some(0x80..=0x8f))
    )
}

/// Removes dot segments (RFC 3986 §5.2.4), never above the root, and empty segments if `merge`.
fn resolve(path: &str, merge: bool) -> Result<String, Rejected> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            "" if merge && !last => {}
            _ if segment.starts_with(".;") || segment.starts_with("..;") => {
                return Err(Rejected::DotParameter);
            }
            _ => kept.push(segment),
        }
    }
    let mut normal = String::with_capacity(path.len() + 1);
    for segment in kept {
        normal.push('/');
        normal.push_str(segment);
    }
    if normal.is_empty() {
        normal.push('/');
    }
    Ok(normal)
}
