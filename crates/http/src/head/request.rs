//! Heads of requests.

use std::borrow::Cow;

use http::Method;
use leno_model::request::RequestView;

use super::{
    Connect, Fields, Framing, InvalidField, Scheme, Text, Version, any_of, is_authority, outside_targets,
    query_at,
};

/// The head of a request: as large as a pointer, since it is moved some dozen times on its way through a proxy.
#[derive(Clone, Debug)]
pub struct RequestHead {
    pub(crate) parts: Box<RequestParts>,
}

/// What a [`RequestHead`] says.
#[derive(Clone, Debug)]
pub(crate) struct RequestParts {
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

impl From<RequestParts> for RequestHead {
    fn from(parts: RequestParts) -> Self {
        Self { parts: Box::new(parts) }
    }
}

impl RequestHead {
    /// A request of the proxy's own, without fields and body.
    ///
    /// # Errors
    /// If `authority` or `target` could not be sent as they are.
    pub fn new(method: Method, scheme: Scheme, authority: &str, target: &str) -> Result<Self, InvalidField> {
        let mut head = Self::from(RequestParts {
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
        });
        head.set_authority(authority)?;
        if head.parts.method == Method::CONNECT {
            head.parts.connect = Connect::Connect;
        } else {
            head.set_target(target)?;
        }
        Ok(head)
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.parts.fields
    }

    /// The fields, to edit them.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.parts.fields
    }

    /// The method as a value.
    #[must_use]
    pub fn method_ref(&self) -> &Method {
        &self.parts.method
    }

    /// Replaces the method. Asking for `CONNECT`, or replacing it, isn't possible this way and has no effect.
    pub fn set_method(&mut self, method: Method) {
        if method != Method::CONNECT && self.parts.method != Method::CONNECT {
            self.parts.method = method;
        }
    }

    /// Replaces the scheme.
    pub fn set_scheme(&mut self, scheme: Scheme) {
        self.parts.scheme = scheme;
    }

    /// Path and query as sent; `*` for `OPTIONS *`, empty for plain `CONNECT`.
    #[must_use]
    pub fn target(&self) -> &str {
        self.parts.target.as_str(&self.parts.fields)
    }

    /// [`Self::target`], for those who only write it.
    #[must_use]
    pub fn target_bytes(&self) -> &[u8] {
        self.parts.target.as_bytes(&self.parts.fields)
    }

    /// The authority, for those who only write it.
    #[must_use]
    pub fn authority_bytes(&self) -> &[u8] {
        self.parts.authority.as_bytes(&self.parts.fields)
    }

    /// Replaces path and query.
    ///
    /// # Errors
    /// [`InvalidField::Target`] unless it begins with `/`, or is `*` with `OPTIONS`, and is free of characters that a
    /// target can't hold.
    pub fn set_target(&mut self, target: &str) -> Result<(), InvalidField> {
        let asterisk = target == "*" && self.parts.method == Method::OPTIONS;
        if !(asterisk || target.starts_with('/')) || any_of(target.as_bytes(), outside_targets) {
            return Err(InvalidField::Target);
        }
        self.parts.query_at = query_at(target.as_bytes());
        self.parts.target = Text::Owned(target.into());
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
        self.parts.authority = Text::Owned(authority.into());
        Ok(())
    }

    /// What follows the head.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.parts.framing
    }

    /// Says what will follow the head, for instance after a body was buffered or transformed.
    pub fn set_framing(&mut self, framing: Framing) {
        self.parts.framing = framing;
        self.parts.fields.set_length(framing);
    }

    /// The version that the request came in.
    #[must_use]
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// Whether this is an ordinary request.
    #[must_use]
    pub fn connect(&self) -> &Connect {
        &self.parts.connect
    }

    /// Takes the wish to upgrade off the request, which then is an ordinary one.
    pub fn clear_upgrade(&mut self) {
        if matches!(self.parts.connect, Connect::Upgrade(_)) {
            self.parts.connect = Connect::None;
        }
    }

    /// Whether the client waits for a `100 Continue` before it sends its body.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.parts.expect_continue
    }

    /// Takes `Expect: 100-continue` off the request: the proxy answers it itself.
    pub fn clear_expect(&mut self) {
        self.parts.expect_continue = false;
        self.parts.fields.remove("expect");
    }

    /// Whether the sender accepts trailers (`TE: trailers`), which gRPC requires.
    #[must_use]
    pub fn accepts_trailers(&self) -> bool {
        self.parts.te_trailers
    }

    /// Says that trailers are accepted.
    pub fn accept_trailers(&mut self) {
        self.parts.te_trailers = true;
    }

    /// Whether the request is gRPC by its content type.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.parts.fields.get("content-type").is_some_and(is_grpc_type)
    }
}

impl RequestView for RequestHead {
    /// An extended CONNECT is the GET that it becomes for a server which speaks HTTP/1 (RFC 8441 §5), or a policy about
    /// GET would not cover it.
    fn method(&self) -> &str {
        if matches!(self.parts.connect, Connect::Extended(_)) { "GET" } else { self.parts.method.as_str() }
    }

    fn scheme(&self) -> &str {
        self.parts.scheme.as_str()
    }

    fn authority(&self) -> &str {
        self.parts.authority.as_str(&self.parts.fields)
    }

    fn path(&self) -> &str {
        let target = self.target();
        match self.parts.query_at {
            Some(at) => target.get(..at as usize).unwrap_or(target),
            None => target,
        }
    }

    fn path_bytes(&self) -> &[u8] {
        let target = self.target_bytes();
        match self.parts.query_at {
            Some(at) => target.get(..at as usize).unwrap_or(target),
            None => target,
        }
    }

    fn query(&self) -> Option<&str> {
        self.parts.query_at.and_then(|at| self.target().get(at as usize + 1..))
    }

    /// Also answers `host` and the pseudo fields, as Envoy's matchers do.
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let text = match name {
            "host" | ":authority" => self.authority(),
            ":path" => self.target(),
            ":method" => self.method(),
            ":scheme" => self.scheme(),
            _ => return self.parts.fields.joined(name),
        };
        Some(Cow::Borrowed(text.as_bytes())).filter(|text| !text.is_empty())
    }
}

/// `application/grpc`, alone or with a message format or parameters (gRPC over HTTP/2).
fn is_grpc_type(value: &[u8]) -> bool {
    let Some((kind, rest)) = value.split_at_checked(b"application/grpc".len()) else { return false };
    kind.eq_ignore_ascii_case(b"application/grpc") && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}
