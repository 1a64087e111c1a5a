//! Response heads (RFC 9112 §4) and the length of what follows (§6.3).

use http::StatusCode;

use super::fields::Section;
use super::line::line_end;
use super::{Limits, Parsed, Refusal, Stop};
use crate::head::spans::{Span, Spans};
use crate::head::{Fields, Framing, ResponseHead, ResponseParts, Version, is_protocol};

/// What the request was, as far as it decides how its response is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// None of the others.
    Plain,
    /// `HEAD`: the response has no body.
    Head,
    /// `CONNECT`: a 2xx begins a tunnel.
    Connect,
    /// With `Upgrade`: a 101 begins a tunnel.
    Upgrade,
}

/// How the bytes after a response head are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Length(u64),
    Chunked,
    UntilClose,
    Tunnel,
}

/// A response head and what it says about its connection.
#[derive(Debug)]
pub struct ParsedResponse {
    /// The head.
    pub head: ResponseHead,
    /// Whether the connection may carry another request afterwards.
    pub persistent: bool,
    pub(crate) body: Body,
}

/// Parses the response head that `bytes` begin with.
#[must_use]
pub fn response(bytes: &[u8], asked: Asked, limits: Limits) -> Parsed<ParsedResponse> {
    match parse(bytes, asked, limits) {
        Ok((parsed, end)) => Parsed::Complete(parsed, end),
        Err(Stop::NeedMore) if bytes.len() >= limits.bytes => Parsed::Refused(Refusal::HeadTooLarge),
        Err(Stop::NeedMore) if !b"HTTP/1.".starts_with(bytes.get(..7).unwrap_or(bytes)) => {
            Parsed::Refused(Refusal::StatusLine)
        }
        Err(stop) => stop.into(),
    }
}

fn parse(bytes: &[u8], asked: Asked, limits: Limits) -> Result<(ParsedResponse, usize), Stop> {
    let (version, status, reason, next) = status_line(bytes)?;
    let (mut section, end) = Section::read(bytes, next, limits)?;
    section.check_framing(version)?;
    section.drop_nominated(bytes);

    let body = body(status, asked, &section)?;
    // Lengths that announce no body of this message: none at all is meant, or that of another message (RFC 9110 §8.6).
    let describes_other = asked == Asked::Head || status == StatusCode::NOT_MODIFIED;
    if matches!(body, Body::None | Body::Tunnel) && !describes_other {
        section.drop_named(bytes, b"content-length");
    }
    let framing = match body {
        Body::Length(length) => Framing::Length(length),
        Body::None => Framing::None,
        Body::Chunked | Body::UntilClose | Body::Tunnel => Framing::Stream,
    };
    let persistent = section.is_persistent(version) && !matches!(body, Body::UntilClose | Body::Tunnel);
    let upgrade = section.upgrade.filter(|_| status == StatusCode::SWITCHING_PROTOCOLS);
    let upgrade = upgrade.map(|span| span.of(bytes)).filter(|protocol| is_protocol(protocol));
    let upgrade = upgrade.and_then(|protocol| std::str::from_utf8(protocol).ok().map(Into::into));

    let mut buffer = Vec::with_capacity(end + 128);
    buffer.extend_from_slice(bytes.get(..end).unwrap_or_default());
    let fields = Fields(Spans { buffer, lines: section.lines });
    let head = ResponseParts { status, reason, fields, framing, version, upgrade };
    Ok((ParsedResponse { head: head.into(), persistent, body }, end))
}

/// `HTTP/1.x SP 3DIGIT [SP reason] CRLF`. The space before an empty reason is required by the grammar and left out by
/// some servers, which confuses nobody.
fn status_line(bytes: &[u8]) -> Result<(Version, StatusCode, Span, usize), Stop> {
    let end = line_end(bytes, 0)?;
    let line = bytes.get(..end).unwrap_or_default();
    let version = match line.get(..9) {
        Some(b"HTTP/1.1 ") => Version::Http11,
        Some(b"HTTP/1.0 ") => Version::Http10,
        _ => return Err(Refusal::StatusLine.into()),
    };
    let digits = line.get(9..12).ok_or(Refusal::StatusLine)?;
    let status = StatusCode::from_bytes(digits).map_err(|_invalid| Refusal::StatusLine)?;
    let reason = match line.get(12) {
        None => Span::default(),
        Some(b' ') => Span::new(13, end),
        Some(_) => return Err(Refusal::StatusLine.into()),
    };
    Ok((version, status, reason, end + 2))
}

fn body(status: StatusCode, asked: Asked, section: &Section) -> Result<Body, Refusal> {
    // RFC 9110 §8.6, RFC 9112 §6.1. Who believes the announcement takes what follows for a body, and who doesn't for
    // the next response. A length of zero says nothing wrong.
    let is_announced = section.chunked || section.length.is_some_and(|length| length > 0);
    if is_announced && (status.is_informational() || status == StatusCode::NO_CONTENT) {
        return Err(Refusal::BodyAnnounced);
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return if asked == Asked::Upgrade { Ok(Body::Tunnel) } else { Err(Refusal::Switch) };
    }
    if asked == Asked::Connect && status.is_success() {
        return Ok(Body::Tunnel);
    }
    let never =
        status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    Ok(match section.length {
        _ if never || asked == Asked::Head => Body::None,
        _ if section.chunked => Body::Chunked,
        Some(length) => Body::Length(length),
        None => Body::UntilClose,
    })
}
