//! Normal forms of paths and hosts: they are their own normal form, have nothing in them that two servers could read
//! differently, and are what goes out.
//!
//! The first byte chooses the mode; the rest is a target and, behind a space, a host.

use http::Method;
use leno_http::head::{RequestHead, Scheme};
use leno_http::normalize::{PathMode, host, path, request};
use leno_model::request::RequestView;

use crate::Outcome;

const MODES: [PathMode; 4] =
    [PathMode::None, PathMode::Base, PathMode::MergeSlashes, PathMode::DecodeAndMergeSlashes];

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Some((mode, text)) = data.split_first() else { return Outcome::Refused };
    let mode = MODES[usize::from(*mode) % MODES.len()];
    let Ok(text) = std::str::from_utf8(text) else { return Outcome::Refused };
    let (target, authority) = text.split_once(' ').unwrap_or((text, "a"));
    let Ok(head) = RequestHead::new(Method::GET, Scheme::Http, authority, target) else {
        return Outcome::Refused;
    };
    let mut normal = head.clone();
    if request(&mut normal, mode).is_err() {
        assert!(path(head.path(), mode).is_err() || host(authority).is_err(), "refused without need");
        return Outcome::Refused;
    }
    assert_eq!(normal.query(), head.query(), "the query is nobody's business");
    assert_eq!(path(normal.path(), mode).as_deref(), Ok(normal.path()), "not its own normal form");
    assert_eq!(host(normal.authority()).as_deref(), Ok(normal.authority()), "not its own normal form");
    host_is_normal(normal.authority());
    match mode {
        PathMode::None => assert_eq!(normal.path(), head.path()),
        mode => path_is_normal(normal.path(), mode),
    }
    assert_eq!(expected(head.path(), mode).as_deref(), Some(normal.path()));
    Outcome::Accepted
}

fn host_is_normal(authority: &str) {
    assert!(!authority.bytes().any(|byte| byte.is_ascii_uppercase()), "capitals in {authority}");
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => {
            assert!(
                port.parse::<u16>().is_ok_and(|number| number != 0 && number.to_string() == port),
                "{port}"
            );
            name
        }
        _ => authority,
    };
    assert!(!name.ends_with('.'), "a dot at the end of {authority}");
}

fn path_is_normal(path: &str, mode: PathMode) {
    assert!(path.starts_with('/'), "{path}");
    assert!(!path.contains(['\\', '"', '<', '>', '`', '\0']), "{path}");
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (at, segment) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        assert!(*segment != "." && *segment != "..", "a dot segment in {path}");
        assert!(!segment.starts_with("..;"), "a dot segment with parameters in {path}");
        assert!(!segment.is_empty() || is_last || mode == PathMode::Base, "two slashes in {path}");
    }
    for (at, _) in path.match_indices('%') {
        let byte = path.get(at + 1..at + 3).and_then(|code| u8::from_str_radix(code, 16).ok());
        let byte = byte.unwrap_or_else(|| panic!("malformed encoding in {path}"));
        let needless = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        assert!(!needless && byte != 0, "needless encoding in {path}");
        assert!(mode != PathMode::DecodeAndMergeSlashes || !b"/\\".contains(&byte), "a slash in {path}");
    }
}

/// The normal form by one step after the other; none where it should have been refused.
fn expected(path: &str, mode: PathMode) -> Option<String> {
    if mode == PathMode::None {
        return Some(path.to_owned());
    }
    let mut text = String::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        rest = &rest[1..];
        if first != '%' {
            text.push(if first == '\\' { '/' } else { first });
            continue;
        }
        let code = rest.get(..2).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        rest = &rest[2..];
        match u8::from_str_radix(code, 16).ok()? {
            0 => return None,
            b'/' | b'\\' if mode == PathMode::DecodeAndMergeSlashes => text.push('/'),
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => text.push(char::from(byte)),
            _ => text.extend(["%", code]),
        }
    }
    for (raw, code) in [('"', "%22"), ('<', "%3C"), ('>', "%3E"), ('`', "%60")] {
        text = text.replace(raw, code);
    }
    // RFC 3986 §5.2.4, with one buffer for the output. Where slashes are merged, empty segments don't count for `..`.
    if mode != PathMode::Base {
        while text.contains("//") {
            text = text.replace("//", "/");
        }
    }
    let mut output = String::new();
    while !text.is_empty() {
        let segment = text[1..].split('/').next().unwrap_or_default().to_owned();
        let is_last = segment.len() + 1 == text.len();
        let after = text[segment.len() + 1..].to_owned();
        match segment.as_str() {
            "." => {}
            ".." => output.truncate(output.rfind('/').unwrap_or(0)),
            _ if segment.starts_with(".;") || segment.starts_with("..;") => return None,
            _ => {
                output.push('/');
                output.push_str(&segment);
            }
        }
        if is_last && matches!(segment.as_str(), "." | "..") {
            output.push('/');
        }
        text = after;
    }
    // What is left of slashes that stood on both sides of what is gone.
    if mode != PathMode::Base {
        while output.contains("//") {
            output = output.replace("//", "/");
        }
    }
    Some(if output.is_empty() { "/".to_owned() } else { output })
}
