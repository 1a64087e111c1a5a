//! Heads of responses.

use std::fmt;

use http::StatusCode;

use super::spans::Span;
use super::{Fields, Framing, Version, is_protocol};

/// The head of a response: as large as a pointer, as that of a request is.
#[derive(Clone)]
pub struct ResponseHead {
    pub(crate) parts: Box<ResponseParts>,
}

/// What a [`ResponseHead`] says.
#[derive(Clone)]
pub(crate) struct ResponseParts {
    pub(crate) status: StatusCode,
    pub(crate) reason: Span,
    pub(crate) fields: Fields,
    pub(crate) framing: Framing,
    pub(crate) version: Version,
    /// The protocol that a 101 switches to.
    pub(crate) upgrade: Option<Box<str>>,
}

impl From<ResponseParts> for ResponseHead {
    fn from(parts: ResponseParts) -> Self {
        Self { parts: Box::new(parts) }
    }
}

impl ResponseHead {
    /// A response of the proxy's own, without fields and body.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self::from(ResponseParts {
            status,
            reason: Span::default(),
            fields: Fields::empty(),
            framing: Framing::None,
            version: Version::Http11,
            upgrade: None,
        })
    }

    /// A `101 Switching Protocols`.
    #[must_use]
    pub fn switching(protocol: &str) -> Self {
        let mut head = Self::new(StatusCode::SWITCHING_PROTOCOLS);
        head.parts.upgrade = is_protocol(protocol.as_bytes()).then(|| protocol.into());
        head.parts.framing = Framing::Stream;
        head
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// Replaces the status and drops the reason phrase.
    pub fn set_status(&mut self, status: StatusCode) {
        self.parts.status = status;
        self.parts.reason = Span::default();
    }

    /// Whether this is an interim response (1xx other than 101).
    #[must_use]
    pub fn is_informational(&self) -> bool {
        self.parts.status.is_informational() && self.parts.status != StatusCode::SWITCHING_PROTOCOLS
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

    /// What follows the head. A response to HEAD, and a 304, may have a `content-length` field all the same.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.parts.framing
    }

    /// Says what will follow the head.
    pub fn set_framing(&mut self, framing: Framing) {
        self.parts.framing = framing;
        self.parts.fields.set_length(framing);
    }

    /// The version that the response came in.
    #[must_use]
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// `grpc-status` where it stands in the head itself, as in a trailers-only answer.
    #[must_use]
    pub fn grpc_status(&self) -> Option<u16> {
        std::str::from_utf8(self.parts.fields.get("grpc-status")?).ok()?.parse().ok()
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.parts.status)
            .field("version", &self.parts.version)
            .field("framing", &self.parts.framing)
            .field("fields", &self.parts.fields)
            .finish_non_exhaustive()
    }
}
