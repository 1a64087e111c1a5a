//! Why bytes were refused as HTTP/1.

use leno_model::failure::Failure;

/// The rule that a peer's bytes broke. All of these end the connection; none reaches another peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// A line ends in LF without CR. RFC 9112 §2.2 allows recipients to accept it; peers that don't would see another
    /// message.
    #[error("a line ends without CR")]
    BareLf,
    /// A CR that isn't part of a line end (RFC 9112 §2.2).
    #[error("a CR without LF")]
    BareCr,
    /// A NUL or another control character in a head (RFC 9110 §5.5).
    #[error("a control character in the head")]
    Control,
    /// The head is larger than the limit.
    #[error("the head is too large")]
    HeadTooLarge,
    /// The head is larger than usual and the budget of buffered bytes is used up.
    #[error("no memory left for a large head")]
    Overload,
    /// The head has more fields than the limit.
    #[error("too many fields")]
    TooManyFields,
    /// The request line isn't method, target and version with one space between them (RFC 9112 §3).
    #[error("malformed request line")]
    RequestLine,
    /// The method isn't a token, or is too long.
    #[error("malformed method")]
    Method,
    /// The target fits none of the four forms of RFC 9112 §3.2 or its method.
    #[error("malformed request target")]
    Target,
    /// The version isn't HTTP/1.0 or HTTP/1.1.
    #[error("unsupported HTTP version")]
    Version,
    /// The status line is malformed (RFC 9112 §4).
    #[error("malformed status line")]
    StatusLine,
    /// A line begins with a blank: a fold (RFC 9112 §5.2).
    #[error("a folded field line")]
    Fold,
    /// A field name isn't a token.
    #[error("malformed field name")]
    FieldName,
    /// A blank between a field name and its colon (RFC 9112 §5.1).
    #[error("a blank before the colon")]
    BlankBeforeColon,
    /// HTTP/1.1 without `Host` (RFC 9112 §3.2).
    #[error("no Host")]
    HostMissing,
    /// Several `Host` lines (RFC 9112 §3.2).
    #[error("several Hosts")]
    HostRepeated,
    /// `Host` or the target's authority isn't a host with an optional port.
    #[error("malformed host")]
    HostInvalid,
    /// The target's authority and `Host` differ.
    #[error("the target and Host differ")]
    HostMismatch,
    /// `Content-Length` isn't a plain number below 2^63.
    #[error("malformed Content-Length")]
    LengthInvalid,
    /// Several `Content-Length` lines, equal or not.
    #[error("several Content-Lengths")]
    LengthRepeated,
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112 §6.3).
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    /// A transfer coding other than exactly `chunked`.
    #[error("a transfer coding other than chunked")]
    Encoding,
    /// `Transfer-Encoding` in HTTP/1.0 (RFC 9112 §6.1).
    #[error("Transfer-Encoding in HTTP/1.0")]
    EncodingInHttp10,
    /// `Connection` names a field that is not the connection's (RFC 9110 §7.6.1).
    #[error("Connection names an end-to-end field")]
    ConnectionOption,
    /// An expectation other than `100-continue`.
    #[error("unknown expectation")]
    Expectation,
    /// `CONNECT` with a body (RFC 9110 §9.3.6).
    #[error("CONNECT with a body")]
    ConnectBody,
    /// A chunk size that isn't plain hex digits, or too many of them.
    #[error("malformed chunk size")]
    ChunkSize,
    /// A chunk extension that is malformed or too long.
    #[error("malformed or long chunk extension")]
    ChunkExtension,
    /// A chunk isn't followed by CRLF.
    #[error("a chunk without its end")]
    ChunkEnd,
    /// A trailer that would set framing, routing or authority (RFC 9110 §6.5.1).
    #[error("a field that can't be a trailer")]
    TrailerField,
    /// The trailers are larger than the limit.
    #[error("the trailers are too large")]
    TrailersTooLarge,
    /// A 1xx or 204 that announces a body (RFC 9110 §8.6, RFC 9112 §6.1).
    #[error("a body is announced where there can't be one")]
    BodyAnnounced,
    /// A 101 that nobody asked for.
    #[error("an unasked switch of protocols")]
    Switch,
    /// More interim responses than the limit.
    #[error("too many interim responses")]
    Informational,
}

impl Refusal {
    /// The failure when a client sent these bytes.
    #[must_use]
    pub fn of_client(self) -> Failure {
        match self {
            Self::HeadTooLarge | Self::TooManyFields => Failure::HeadTooLarge,
            Self::Overload => Failure::Overload,
            _ => Failure::BadRequest,
        }
    }

    /// The failure when a server sent these bytes.
    #[must_use]
    pub fn of_server(self) -> Failure {
        if self == Self::Overload { Failure::Overload } else { Failure::UpstreamProtocol }
    }
}
