//! Message heads over any HTTP version.
//!
//! A head keeps the form in which it arrived: HTTP/1 as ranges of its bytes with edits appended, HTTP/2 as the
//! parts that `h2` made. Going out on the same version copies, going out on the other converts once.
//!
//! Invariant: whatever a head holds can be written to a peer without further checks. Names are tokens, values hold
//! no control characters but TAB, and the fields that decide framing, routing or the connection itself
//! ([`is_managed`]) can't be set as fields: they follow from [`Framing`], [`Connect`] and the authority.
//! What a head deliberately doesn't do: normalize paths or judge whom to trust (see `normalize`, `hygiene`).

mod bytes;
pub(crate) mod convert;
mod fields;
pub(crate) mod spans;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use http::uri::{Authority, PathAndQuery};
use http::{Method, StatusCode};
use leno_model::request::RequestView;

use bytes::is_name_byte;
pub(crate) use bytes::{is_target_byte, is_token_byte};
pub use fields::Fields;
pub(crate) use fields::Repr;
pub(crate) use fields::{check_name, check_value};
use spans::Span;

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
pub fn is_managed(name: &str) -> bool {
    matches!(
        name,
        "content-length"
            | "transfer-encoding"
            | "connection"
            | "keep-alive"
            | "proxy-connection"
            | "upgrade"
            | "te"
            | "host"
            | "http2-settings"
    ) || name.starts_with(':')
}

/// Text of a head: a range of its buffer, or a value of its own.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Span(Span),
    Owned(Box<str>),
    Path(PathAndQuery),
    Authority(Authority),
}

impl Text {
    pub(crate) const EMPTY: Self = Self::Span(Span { start: 0, len: 0 });

    fn as_str<'a>(&'a self, fields: &'a Fields) -> &'a str {
        match self {
            Self::Span(span) => std::str::from_utf8(fields.slice(*span)).unwrap_or_default(),
            Self::Owned(text) => text,
            Self::Path(path) => path.as_str(),
            Self::Authority(authority) => authority.as_str(),
        }
    }
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct RequestHead {
    pub(crate) method: Method,
    pub(crate) scheme: Scheme,
    pub(crate) authority: Text,
    pub(crate) target: Text,
    /// Where the `?` of the target is.
    pub(crate) query_at: Option<u32>,
    pub(crate) fields: Fields,
    pub(crate) framing: Framing,
    pub(crate) version: Version,
    pub(crate) connect: Connect,
    pub(crate) expect_continue: bool,
    pub(crate) te_trailers: bool,
}

impl RequestHead {
    /// A request of the proxy's own, without fields and body.
    ///
    /// # Errors
    /// If `authority` or `target` could not be sent as they are.
    pub fn new(method: Method, scheme: Scheme, authority: &str, target: &str) -> Result<Self, InvalidField> {
        let mut head = Self {
            method,
            scheme,
            authority: Text::EMPTY,
            target: Text::EMPTY,
            query_at: None,
            fields: Fields::empty(),
            framing: Framing::None,
            version: Version::Http11,
            connect: Connect::None,
            expect_continue: false,
            te_trailers: false,
        };
        head.set_authority(authority)?;
        if head.method == Method::CONNECT {
            head.connect = Connect::Connect;
        } else {
            head.set_target(target)?;
        }
        Ok(head)
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields, to edit them.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// The method as a value.
    #[must_use]
    pub fn method_ref(&self) -> &Method {
        &self.method
    }

    /// Replaces the method. Asking for `CONNECT`, or replacing it, isn't possible this way and has no effect.
    pub fn set_method(&mut self, method: Method) {
        if method != Method::CONNECT && self.method != Method::CONNECT {
            self.method = method;
        }
    }

    /// Replaces the scheme.
    pub fn set_scheme(&mut self, scheme: Scheme) {
        self.scheme = scheme;
    }

    /// Path and query as sent; `*` for `OPTIONS *`, empty for plain `CONNECT`.
    #[must_use]
    pub fn target(&self) -> &str {
        self.target.as_str(&self.fields)
    }

    /// Replaces path and query.
    ///
    /// # Errors
    /// [`InvalidField::Target`] unless it begins with `/`, or is `*` with `OPTIONS`, and is free of characters that a
    /// target can't hold.
    pub fn set_target(&mut self, target: &str) -> Result<(), InvalidField> {
        let asterisk = target == "*" && self.method == Method::OPTIONS;
        if !(asterisk || target.starts_with('/')) || !target.bytes().all(is_target_byte) {
            return Err(InvalidField::Target);
        }
        self.query_at = memchr::memchr(b'?', target.as_bytes()).and_then(|at| u32::try_from(at).ok());
        self.target = Text::Owned(target.into());
        Ok(())
    }

    /// Replaces the path and keeps the query.
    ///
    /// # Errors
    /// As [`Self::set_target`]; also if `path` holds a `?`.
    pub fn set_path(&mut self, path: &str) -> Result<(), InvalidField> {
        if path.contains('?') {
            return Err(InvalidField::Target);
        }
        match self.query() {
            Some(query) => self.set_target(&format!("{path}?{query}")),
            None => self.set_target(path),
        }
    }

    /// Replaces the authority, which is what goes out as `Host` or `:authority`.
    ///
    /// # Errors
    /// [`InvalidField::Authority`] if it isn't host and optional port. Empty is allowed.
    pub fn set_authority(&mut self, authority: &str) -> Result<(), InvalidField> {
        if !authority.is_empty() && !is_authority(authority.as_bytes()) {
            return Err(InvalidField::Authority);
        }
        self.authority = Text::Owned(authority.into());
        Ok(())
    }

    /// What follows the head.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Says what will follow the head, for instance after a body was buffered or transformed.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
        self.fields.set_length(framing);
    }

    /// The version that the request came in.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether this is an ordinary request.
    #[must_use]
    pub fn connect(&self) -> &Connect {
        &self.connect
    }

    /// Takes the wish to upgrade off the request, which then is an ordinary one.
    pub fn clear_upgrade(&mut self) {
        if matches!(self.connect, Connect::Upgrade(_)) {
            self.connect = Connect::None;
        }
    }

    /// Whether the client waits for a `100 Continue` before it sends its body.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.expect_continue
    }

    /// Takes `Expect: 100-continue` off the request: the proxy answers it itself.
    pub fn clear_expect(&mut self) {
        self.expect_continue = false;
        self.fields.remove("expect");
    }

    /// Whether the sender accepts trailers (`TE: trailers`), which gRPC requires.
    #[must_use]
    pub fn accepts_trailers(&self) -> bool {
        self.te_trailers
    }

    /// Whether the request is gRPC by its content type.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.fields.get("content-type").is_some_and(is_grpc_type)
    }
}

impl RequestView for RequestHead {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn scheme(&self) -> &str {
        self.scheme.as_str()
    }

    fn authority(&self) -> &str {
        self.authority.as_str(&self.fields)
    }

    fn path(&self) -> &str {
        let target = self.target();
        match self.query_at {
            Some(at) => target.get(..at as usize).unwrap_or(target),
            None => target,
        }
    }

    fn query(&self) -> Option<&str> {
        self.query_at.and_then(|at| self.target().get(at as usize + 1..))
    }

    /// Also answers `host` and the pseudo fields, as Envoy's matchers do.
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let text = match name {
            "host" | ":authority" => self.authority(),
            ":path" => self.target(),
            ":method" => self.method(),
            ":scheme" => self.scheme(),
            _ => return self.fields.joined(name),
        };
        Some(Cow::Borrowed(text.as_bytes())).filter(|text| !text.is_empty())
    }
}

/// The head of a response.
#[derive(Clone)]
pub struct ResponseHead {
    pub(crate) status: StatusCode,
    pub(crate) reason: Span,
    pub(crate) fields: Fields,
    pub(crate) framing: Framing,
    pub(crate) version: Version,
    /// The protocol that a 101 switches to.
    pub(crate) upgrade: Option<Box<str>>,
}

impl ResponseHead {
    /// A response of the proxy's own, without fields and body.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            reason: Span::default(),
            fields: Fields::empty(),
            framing: Framing::None,
            version: Version::Http11,
            upgrade: None,
        }
    }

    /// A `101 Switching Protocols`.
    #[must_use]
    pub fn switching(protocol: &str) -> Self {
        let mut head = Self::new(StatusCode::SWITCHING_PROTOCOLS);
        head.upgrade = (check_value(protocol.as_bytes()).is_ok()).then(|| protocol.into());
        head.framing = Framing::Stream;
        head
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Replaces the status and drops the reason phrase.
    pub fn set_status(&mut self, status: StatusCode) {
        self.status = status;
        self.reason = Span::default();
    }

    /// Whether this is an interim response (1xx other than 101).
    #[must_use]
    pub fn is_informational(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields, to edit them.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// What follows the head. A response to HEAD, and a 304, may have a `content-length` field all the same.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Says what will follow the head.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
        self.fields.set_length(framing);
    }

    /// The version that the response came in.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// `grpc-status` where it stands in the head itself, as in a trailers-only answer.
    #[must_use]
    pub fn grpc_status(&self) -> Option<u16> {
        std::str::from_utf8(self.fields.get("grpc-status")?).ok()?.parse().ok()
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("framing", &self.framing)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// `application/grpc`, alone or with a message format or parameters (gRPC over HTTP/2).
fn is_grpc_type(value: &[u8]) -> bool {
    let Some((kind, rest)) = value.split_at_checked(b"application/grpc".len()) else { return false };
    kind.eq_ignore_ascii_case(b"application/grpc") && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
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
        None => match memchr::memchr(b':', bytes) {
            Some(at) => bytes.split_at(at),
            None => (bytes, &[][..]),
        },
    };
    let port_ok = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    port_ok && !host.is_empty() && (bytes.starts_with(b"[") || host.iter().copied().all(is_name_byte))
}
