//! What a decision may read of a request.
//!
//! The engine is written against [`RequestView`], so the same functions decide a request on the wire (HTTP/1 spans
//! or HTTP/2 parts) and one typed into `leno explain`. All values are those *after* normalization and header
//! hygiene: exactly the bytes that go upstream.

use std::borrow::Cow;

/// A read-only view of a request head.
pub trait RequestView {
    /// The method, as sent (`GET`). Methods are case-sensitive (RFC 9110 §9.1).
    fn method(&self) -> &str;

    /// `http` or `https`.
    fn scheme(&self) -> &str;

    /// Host and optional port as sent upstream, lower-cased, without user info; empty if there was none.
    fn authority(&self) -> &str;

    /// The path without the query; begins with `/`, or is `*` for `OPTIONS *`, or empty for `CONNECT`.
    fn path(&self) -> &str;

    /// [`Self::path`], for those who only compare it.
    fn path_bytes(&self) -> &[u8] {
        self.path().as_bytes()
    }

    /// The query without the leading `?`; `None` if there is no `?`.
    fn query(&self) -> Option<&str>;

    /// The value of a header, by lower-case name. Several lines of one name are joined by `,`, as Envoy's matchers
    /// see them; only that case allocates.
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>>;
}

/// Splits an authority into host and port. A host in brackets keeps them off (`[::1]:80` → `::1`, 80).
/// A port that is not a number in 1..=65535 is `None`, and then belongs to the host.
#[must_use]
pub fn split_authority(authority: &str) -> (&str, Option<u16>) {
    if let Some(rest) = authority.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, tail)) => match tail.strip_prefix(':').and_then(parse_port) {
                Some(port) => (host, Some(port)),
                None => (authority, None),
            },
            None => (authority, None),
        };
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => match parse_port(port) {
            Some(port) => (host, Some(port)),
            None => (authority, None),
        },
        _ => (authority, None),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_split_into_host_and_port() {
        for (authority, host, port) in [
            ("reviews", "reviews", None),
            ("reviews:9080", "reviews", Some(9080)),
            ("reviews:", "reviews:", None),
            ("reviews:+80", "reviews:+80", None),
            ("reviews:0", "reviews:0", None),
            ("reviews:65536", "reviews:65536", None),
            ("[::1]:80", "::1", Some(80)),
            ("[::1]", "::1", None),
            ("[::1", "[::1", None),
            ("[::1]x", "[::1]x", None),
            ("::1", "::1", None),
            ("", "", None),
        ] {
            assert_eq!(split_authority(authority), (host, port), "{authority}");
        }
    }
}
