//! Hosts in policies: compared without regard to case, and to a port or trailing dot that the rule doesn't write.

use std::sync::Arc;

use leno_model::request::split_authority;
use leno_model::text::TextMatch;
use regex::bytes::Regex;

/// A compiled rule about hosts.
#[derive(Clone, Debug)]
pub(super) enum HostRule {
    Exact(Box<str>, Option<u16>),
    Prefix(Arc<str>),
    Suffix(Arc<str>),
    Regex(Regex),
    Present,
}

impl HostRule {
    /// `None` for a pattern that does not compile.
    pub(super) fn compile(rule: &TextMatch) -> Option<Self> {
        Some(match rule {
            TextMatch::Exact(text) => {
                let (host, port) = split(text);
                Self::Exact(host.into(), port)
            }
            TextMatch::Prefix(text) => Self::Prefix(Arc::clone(text)),
            TextMatch::Suffix(text) => Self::Suffix(Arc::clone(text)),
            TextMatch::Regex(pattern) => Self::Regex(pattern.compile().ok()?),
            TextMatch::Present => Self::Present,
        })
    }

    /// Whether an authority matches; `None` where that can't be told, since the rule names a port and the request
    /// doesn't.
    pub(super) fn matches(&self, authority: &str) -> Option<bool> {
        let (host, port) = split(authority);
        match self {
            Self::Exact(wanted, wanted_port) => {
                if !wanted.eq_ignore_ascii_case(host) {
                    return Some(false);
                }
                match (wanted_port, port) {
                    (None, _) => Some(true),
                    (Some(_), None) => None,
                    (Some(wanted), Some(port)) => Some(*wanted == port),
                }
            }
            Self::Prefix(text) => Some(begins(host, text) || begins(authority, text)),
            Self::Suffix(text) => Some(ends(host, text) || ends(authority, text)),
            Self::Regex(regex) => {
                Some(regex.is_match(host.as_bytes()) || regex.is_match(authority.as_bytes()))
            }
            Self::Present => Some(!authority.is_empty()),
        }
    }
}

/// Host and port. Whatever follows a lone colon is cut off even where it is no port (`a:`, RFC 3986 §3.2.3 allows it),
/// and so is one trailing dot.
fn split(authority: &str) -> (&str, Option<u16>) {
    let (host, port) = split_authority(authority);
    let host = match host.split_once(':') {
        Some((name, rest)) if !rest.contains(':') => name,
        _ => host,
    };
    (host.strip_suffix('.').unwrap_or(host), port)
}

fn begins(text: &str, beginning: &str) -> bool {
    let (text, beginning) = (text.as_bytes(), beginning.as_bytes());
    text.get(..beginning.len()).is_some_and(|head| head.eq_ignore_ascii_case(beginning))
}

fn ends(text: &str, ending: &str) -> bool {
    let (text, ending) = (text.as_bytes(), ending.as_bytes());
    let start = text.len().checked_sub(ending.len());
    start.and_then(|start| text.get(start..)).is_some_and(|tail| tail.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_compare_without_case_port_or_dot() {
        for (rule, authority, expected) in [
            ("a.com", "a.com", Some(true)),
            ("a.com", "A.com", Some(true)),
            ("A.com.", "a.com", Some(true)),
            ("a.com", "a.com:8080", Some(true)),
            ("a.com", "a.com.", Some(true)),
            ("a.com", "a.com.:8080", Some(true)),
            ("a.com", "a.com:", Some(true)),
            ("a.com", "a.com:99999", Some(true)),
            ("a.com", "b.com", Some(false)),
            ("a.com:80", "a.com:80", Some(true)),
            ("a.com:80", "a.com:81", Some(false)),
            ("a.com:80", "a.com", None),
            ("[::1]", "[::1]:80", Some(true)),
            ("*.a.com", "x.A.com", Some(true)),
            ("*.a.com", "x.a.com.:80", Some(true)),
            ("*.a.com", "a.com", Some(false)),
            ("*.a.com:80", "x.a.com:80", Some(true)),
            ("a.*", "a.com:80", Some(true)),
            ("a.com:8*", "a.com:80", Some(true)),
            ("*", "a", Some(true)),
            ("*", "", Some(false)),
        ] {
            let compiled = HostRule::compile(&TextMatch::from_stars(rule)).unwrap();
            assert_eq!(compiled.matches(authority), expected, "{rule} {authority}");
        }
    }
}
