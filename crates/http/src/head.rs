//! Message heads over any HTTP version.
//!
//! A head is ranges of one buffer, with edits appended: the bytes that arrived over HTTP/1, or what a header block of
//! HTTP/2 decodes to, in the same form.
//!
//! Invariant: whatever a head holds can be written to a peer without further checks. Names are tokens, values hold
//! no control characters but TAB, and the fields that decide framing, routing or the connection itself
//! ([`is_managed`]) can't be set as fields: they follow from [`Framing`], [`Connect`] and the authority.
//! What a head deliberately doesn't do: normalize paths or judge whom to trust (see `normalize`, `hygiene`).

mod bytes;
mod fields;
mod request;
mod response;
pub(crate) mod spans;
#[cfg(test)]
mod tests;
pub(crate) mod words;

use bytes::is_name_byte;
pub(crate) use bytes::{
    any_of, controls, is_lower_token, is_token_byte, outside_targets, plain_name_len, position_of, query_at,
    token_len,
};
pub(crate) use fields::has_control;
pub use fields::{Fields, Value};
pub use request::RequestHead;
pub(crate) use request::RequestParts;
pub use response::ResponseHead;
pub(crate) use response::ResponseParts;
use spans::{Name, Span};

/// The HTTP version of a message as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As access logs write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// The scheme of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body, and no length field.
    None,
    /// A body of exactly so many bytes, announced by `content-length`.
    Length(u64),
    /// A body whose length the head doesn't tell: chunked, until close, or HTTP/2 frames.
    Stream,
}

impl Framing {
    /// Whether anything follows.
    pub(crate) const fn has_body(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }
}

/// Whether a request asks for something other than a request and an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connect {
    /// An ordinary request.
    None,
    /// `CONNECT` (RFC 9110 §9.3.6): a tunnel to the authority.
    Connect,
    /// Extended CONNECT (RFC 8441): a tunnel of the named protocol.
    Extended(Box<str>),
    /// HTTP/1.1 `Upgrade` (RFC 9110 §7.8): the wish to speak the named protocol.
    Upgrade(Box<str>),
}

/// Why a field could not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidField {
    /// The name is not a token (RFC 9110 §5.1).
    #[error("not a field name")]
    Name,
    /// The value holds a control character (RFC 9110 §5.5).
    #[error("not a field value")]
    Value,
    /// The field belongs to the codec: see [`is_managed`].
    #[error("the field is written by the proxy itself")]
    Managed,
    /// The target is neither a path nor `*`, or holds a character that may not be in one.
    #[error("not a request target")]
    Target,
    /// The authority is not a host with an optional port.
    #[error("not an authority")]
    Authority,
}

/// Whether a field, by lower-case name, is the codec's own: framing, routing and hop-by-hop fields
/// (RFC 9110 §7.6.1, RFC 9113 §8.2.2) and pseudo fields.
#[must_use]
pub const fn is_managed(name: &str) -> bool {
    matches!(
        name.as_bytes(),
        b"content-length"
            | b"transfer-encoding"
            | b"connection"
            | b"keep-alive"
            | b"proxy-connection"
            | b"upgrade"
            | b"te"
            | b"host"
            | b"http2-settings"
            | [b':', ..]
    )
}

/// The name of a field that the proxy itself writes or takes away: well-formed and not [managed](is_managed), which the
/// compiler has checked.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    text: &'static str,
    /// The same with its tag, made while compiling.
    tagged: Name<'static>,
}

impl Known {
    /// A name, for a constant.
    ///
    /// # Panics
    /// While compiling, if the name can't be set.
    #[must_use]
    #[allow(clippy::indexing_slicing, clippy::panic, reason = "in a constant, neither compiles")]
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(is_token_byte(bytes[at]) && !bytes[at].is_ascii_uppercase(), "not a field name");
            at += 1;
        }
        assert!(!bytes.is_empty() && bytes.len() < 256 && !is_managed(name), "not a field to set");
        Self { text: name, tagged: Name::of(bytes) }
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.text
    }
}

/// Text of a head: a range of its buffer, or a value of its own.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Span(Span),
    Owned(Box<str>),
}

impl Text {
    pub(crate) const EMPTY: Self = Self::Span(Span { start: 0, len: 0 });

    fn as_bytes<'a>(&'a self, fields: &'a Fields) -> &'a [u8] {
        match self {
            Self::Span(span) => fields.slice(*span),
            Self::Owned(text) => text.as_bytes(),
        }
    }

    fn as_str<'a>(&'a self, fields: &'a Fields) -> &'a str {
        match self {
            Self::Span(span) => std::str::from_utf8(fields.slice(*span)).unwrap_or_default(),
            Self::Owned(text) => text,
        }
    }
}

/// Whether this names a protocol to switch to: a token with an optional version (RFC 9110 §7.8). Unlike other values
/// it is checked by nobody else where it comes over HTTP/2.
pub(crate) fn is_protocol(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| is_token_byte(*b) || *b == b'/')
}

/// Whether this is `host [":" port]` (RFC 9110 §7.2): an address in brackets or a name, without user info.
pub(crate) fn is_authority(bytes: &[u8]) -> bool {
    if bytes.len() > crate::limits::AUTHORITY_BYTES {
        return false;
    }
    let (host, port) = match bytes.strip_prefix(b"[") {
        Some(rest) => {
            let Some(end) = memchr::memchr(b']', rest) else { return false };
            let (host, rest) = rest.split_at(end);
            let address = host.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
            if !address || host.is_empty() {
                return false;
            }
            (host, rest.get(1..).unwrap_or_default())
        }
        None => {
            let plain = plain_name_len(bytes);
            let name = plain + bytes.iter().skip(plain).take_while(|b| is_name_byte(**b)).count();
            bytes.split_at_checked(name).unwrap_or_default()
        }
    };
    let port_ok = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    port_ok && !host.is_empty()
}
