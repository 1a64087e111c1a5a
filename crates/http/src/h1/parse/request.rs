//! Request heads (RFC 9112 §3).

use http::Method;

use super::fields::Section;
use super::line::line_end;
use super::scan::check_beginning;
use super::{Limits, Parsed, Refusal, Stop};
use crate::head::spans::{Span, Spans};
use crate::head::{
    Connect, Fields, Framing, RequestHead, RequestParts, Text, Version, is_authority, is_protocol,
    outside_targets, position_of, query_at,
};
use crate::limits::METHOD_BYTES;

/// Room for edits in the copy of a head, so that usual ones don't make it move.
const EDIT_ROOM: usize = 256;

/// A request head and what it says about its connection.
#[derive(Debug)]
pub struct ParsedRequest {
    /// The head.
    pub head: RequestHead,
    /// Whether the connection may carry another request afterwards.
    pub persistent: bool,
}

/// Parses the request head that `bytes` begin with. One empty line may come before it (RFC 9112 §2.2).
#[must_use]
pub fn request(bytes: &[u8], limits: Limits) -> Parsed<ParsedRequest> {
    let lead = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let bytes = bytes.get(lead..).unwrap_or_default();
    match parse(bytes, limits) {
        Ok((parsed, end)) => Parsed::Complete(parsed, lead + end),
        Err(Stop::Refused(refusal)) => Parsed::Refused(refusal),
        Err(Stop::NeedMore) if bytes.len() >= limits.bytes => Parsed::Refused(Refusal::HeadTooLarge),
        Err(Stop::NeedMore) => match check_beginning(bytes) {
            Ok(()) => Parsed::NeedMore,
            Err(refusal) => Parsed::Refused(refusal),
        },
    }
}

fn parse(bytes: &[u8], limits: Limits) -> Result<(ParsedRequest, usize), Stop> {
    let line = RequestLine::read(bytes)?;
    let (mut section, end) = Section::read(bytes, line.next, limits)?;
    section.check_framing(line.version)?;
    section.drop_nominated(bytes);

    let target = Target::of(&line, bytes)?;
    let authority = authority(&target, &section, line.version, bytes)?;
    let is_connect = line.method == Method::CONNECT;
    if is_connect && (section.chunked || section.length.is_some_and(|length| length > 0)) {
        return Err(Refusal::ConnectBody.into());
    }
    let framing = match section.length {
        _ if section.chunked => Framing::Stream,
        Some(_) if is_connect => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::None,
    };
    let has_body = framing.has_body();
    let expect_continue = section.expect.is_some() && has_body && line.version == Version::Http11;
    if section.expect.is_some() && !expect_continue {
        section.drop_named(bytes, b"expect");
    }
    let connect =
        if is_connect { Connect::Connect } else { upgrade(&section, bytes, line.version, has_body) };
    let persistent = section.is_persistent(line.version);

    let mut buffer = Vec::with_capacity(end + EDIT_ROOM);
    buffer.extend_from_slice(bytes.get(..end).unwrap_or_default());
    let head = RequestParts {
        scheme: limits.scheme,
        authority: Text::Span(authority),
        query_at: target.query_at(bytes),
        target: target.text,
        fields: Fields(Spans { buffer, lines: section.lines }),
        framing,
        version: line.version,
        connect,
        expect_continue,
        te_trailers: section.te_trailers,
        method: line.method,
    };
    Ok((ParsedRequest { head: head.into(), persistent }, end))
}

/// The request line.
struct RequestLine {
    method: Method,
    target: Span,
    version: Version,
    next: usize,
}

impl RequestLine {
    fn read(bytes: &[u8]) -> Result<Self, Stop> {
        let looked_at = bytes.get(..=METHOD_BYTES).unwrap_or(bytes);
        let Some(method_end) = looked_at.iter().position(|b| *b == b' ') else {
            let end = line_end(bytes, 0)?;
            return Err(if end > METHOD_BYTES { Refusal::Method } else { Refusal::RequestLine }.into());
        };
        let method = Method::from_bytes(bytes.get(..method_end).unwrap_or_default())
            .map_err(|_invalid| Refusal::Method)?;
        let start = method_end + 1;
        let rest = bytes.get(start..).unwrap_or_default();
        let Some(len) = position_of(rest, outside_targets) else { return Err(Stop::NeedMore) };
        if rest.get(len) != Some(&b' ') {
            // Tells a missing version (HTTP/0.9) and stray control characters from a malformed target.
            let end = line_end(bytes, start)?;
            return Err(if end == start + len { Refusal::RequestLine } else { Refusal::Target }.into());
        }
        let target = Span::new(start, start + len);
        let (version, next) = Self::version(bytes, start + len + 1)?;
        if method.as_str() == "PRI" {
            return Err(Refusal::Version.into());
        }
        Ok(Self { method, target, version, next })
    }

    fn version(bytes: &[u8], start: usize) -> Result<(Version, usize), Stop> {
        match bytes.get(start..start + 10) {
            Some(b"HTTP/1.1\r\n") => Ok((Version::Http11, start + 10)),
            Some(b"HTTP/1.0\r\n") => Ok((Version::Http10, start + 10)),
            _ => {
                let end = line_end(bytes, start)?;
                let text = bytes.get(start..end).unwrap_or_default();
                let is_version = text.starts_with(b"HTTP/") && !text.contains(&b' ');
                Err(if is_version { Refusal::Version } else { Refusal::RequestLine }.into())
            }
        }
    }
}

/// The target in the form in which it goes on, and the authority that it named.
struct Target {
    text: Text,
    authority: Option<Span>,
}

impl Target {
    /// Sorts the target into one of the four forms of RFC 9112 §3.2; the absolute form becomes the origin form.
    fn of(line: &RequestLine, bytes: &[u8]) -> Result<Self, Refusal> {
        let target = line.target.of(bytes);
        let start = line.target.start as usize;
        let end = start + target.len();
        if line.method == Method::CONNECT {
            let (_, port) =
                leno_model::request::split_authority(std::str::from_utf8(target).unwrap_or_default());
            if port.is_none() || !is_authority(target) {
                return Err(Refusal::Target);
            }
            return Ok(Self { text: Text::EMPTY, authority: Some(line.target) });
        }
        match target {
            [b'/', ..] => Ok(Self { text: Text::Span(line.target), authority: None }),
            b"*" if line.method == Method::OPTIONS => {
                Ok(Self { text: Text::Span(line.target), authority: None })
            }
            _ => {
                let scheme_len = absolute_scheme(target).ok_or(Refusal::Target)?;
                let rest = target.get(scheme_len..).unwrap_or_default();
                let authority_len = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
                let authority = Span::new(start + scheme_len, start + scheme_len + authority_len);
                let path = Span::new(start + scheme_len + authority_len, end);
                let text = match path.of(bytes) {
                    [b'/', ..] => Text::Span(path),
                    // `OPTIONS http://host` asks about the server as a whole (RFC 9112 §3.2.4).
                    [] if line.method == Method::OPTIONS => Text::Owned("*".into()),
                    rest => Text::Owned(format!("/{}", String::from_utf8_lossy(rest)).into()),
                };
                Ok(Self { text, authority: Some(authority) })
            }
        }
    }

    fn query_at(&self, bytes: &[u8]) -> Option<u32> {
        let text = match &self.text {
            Text::Span(span) => span.of(bytes),
            Text::Owned(text) => text.as_bytes(),
        };
        query_at(text)
    }
}

/// The length of `http://` or `https://` at the beginning of a target.
fn absolute_scheme(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)))
        .map(<[u8]>::len)
}

/// The one authority of the request: `Host`, with which a target that names one must agree.
fn authority(target: &Target, section: &Section, version: Version, bytes: &[u8]) -> Result<Span, Refusal> {
    let host = match section.host {
        None if version == Version::Http11 => return Err(Refusal::HostMissing),
        Some(host) if !is_authority(host.of(bytes)) => return Err(Refusal::HostInvalid),
        host => host,
    };
    let Some(named) = target.authority else { return Ok(host.unwrap_or_default()) };
    if !is_authority(named.of(bytes)) {
        return Err(Refusal::HostInvalid);
    }
    match host {
        Some(host) if !host.of(bytes).eq_ignore_ascii_case(named.of(bytes)) => Err(Refusal::HostMismatch),
        _ => Ok(named),
    }
}

/// The protocol that the client wishes to switch to. A wish that comes with a body, or for HTTP/2, is ignored as
/// RFC 9110 §7.8 and RFC 9113 §3.1 allow.
fn upgrade(section: &Section, bytes: &[u8], version: Version, has_body: bool) -> Connect {
    let Some(value) = section.upgrade else { return Connect::None };
    let first = value.of(bytes).split(|b| *b == b',').next().unwrap_or_default().trim_ascii();
    let ignored = !section.options.upgrade || version != Version::Http11 || has_body;
    if ignored || !is_protocol(first) || first.eq_ignore_ascii_case(b"h2c") {
        return Connect::None;
    }
    match std::str::from_utf8(first) {
        Ok(protocol) => Connect::Upgrade(protocol.into()),
        Err(_not_text) => Connect::None,
    }
}
