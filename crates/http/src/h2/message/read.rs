//! Heads and trailers out of decoded fields.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use leno_model::failure::Failure;

use crate::h1::parse::{is_forbidden_trailer, length};
use crate::h2::hpack::{Field, Sink};
use crate::head::spans::{Kind, Line, Lines, Name, Span, Spans};
use crate::head::{
    Connect, Fields, Framing, RequestHead, RequestParts, ResponseHead, ResponseParts, Scheme, Text, Version,
    any_of, has_control, is_authority, is_lower_token, is_protocol, outside_targets, query_at,
};
use crate::limits::METHOD_BYTES;

/// What a field costs besides its bytes (RFC 9113 §6.5.2).
const FIELD_COST: usize = 32;

/// Room for what most heads take decoded, with some edits.
const ROOM: usize = 1024;

/// Lines that a head is expected to have.
const LINES: usize = 20;

/// Names by their first index in HPACK's static table (RFC 7541 Appendix A).
mod known {
    pub(super) const AUTHORITY: u8 = 1;
    pub(super) const METHOD: u8 = 2;
    pub(super) const PATH: u8 = 4;
    pub(super) const SCHEME: u8 = 6;
    pub(super) const STATUS: u8 = 8;
    pub(super) const CONTENT_LENGTH: u8 = 28;
    pub(super) const COOKIE: u8 = 32;
    pub(super) const EXPECT: u8 = 35;
    pub(super) const HOST: u8 = 38;
    pub(super) const TRANSFER_ENCODING: u8 = 57;
}

/// RFC 9113 §8.2.2.
const OF_CONNECTION: Fault = Fault::Malformed("a field that belongs to a connection of HTTP/1");

/// CGI-like interfaces can't tell these from the real ones.
const LIKE_FRAMING: Fault = Fault::Refused("a field that looks like one of framing");

const PROTOCOL: Fault = Fault::Refused("malformed :protocol");

/// Why a message can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::h2) enum Fault {
    /// Malformed as RFC 9113 §8.1.1 has it, by this rule: the stream is reset.
    Malformed(&'static str),
    /// What HTTP/1 would refuse as well, by an answer, by this rule.
    Refused(&'static str),
    /// Too many fields or bytes.
    TooLarge,
}

/// Pseudo fields, as ranges of the buffer.
#[derive(Debug, Default)]
struct Pseudo {
    method: Option<Span>,
    scheme: Option<Span>,
    authority: Option<Span>,
    path: Option<Span>,
    protocol: Option<Span>,
    status: Option<Span>,
}

/// One header block while it is decoded.
#[derive(Debug)]
pub(in crate::h2) struct Reading {
    spans: Spans,
    pseudo: Pseudo,
    /// The first thing that is wrong; what comes after isn't kept.
    fault: Option<Fault>,
    /// Bytes and fields as the limits count them.
    size: usize,
    most_bytes: usize,
    most_fields: usize,
    host: Option<Span>,
    length: Option<u64>,
    expect: bool,
    te_trailers: bool,
    cookies: usize,
    /// Whether fields have begun, before which pseudo fields stand.
    begun: bool,
}

impl Sink for Reading {
    fn is_plain(&self, field: &Field<'_>) -> bool {
        // Beyond the limits nothing is looked at.
        self.fault.is_none() && self.size + size(field) <= self.most_bytes && check(field).is_ok()
    }

    fn field(&mut self, field: Field<'_>) {
        if self.fault.is_none()
            && let Err(fault) = self.take(&field)
        {
            self.fault = Some(fault);
        }
    }

    fn too_large(&mut self) {
        self.fault.get_or_insert(Fault::TooLarge);
    }
}

impl Reading {
    /// A block that may hold `bytes` in at most `fields` fields.
    pub(in crate::h2) fn new(bytes: usize, fields: usize) -> Self {
        Self {
            spans: Spans { buffer: Vec::with_capacity(ROOM), lines: Lines::with_capacity(LINES) },
            pseudo: Pseudo::default(),
            fault: None,
            size: 0,
            most_bytes: bytes,
            most_fields: fields,
            host: None,
            length: None,
            expect: false,
            te_trailers: false,
            cookies: 0,
            begun: false,
        }
    }

    /// What the fields hold, as RFC 9113 §6.5.2 counts it.
    pub(in crate::h2) fn size(&self) -> usize {
        self.size
    }

    fn take(&mut self, field: &Field<'_>) -> Result<(), Fault> {
        let Field { name, value, .. } = *field;
        self.size += size(field);
        if self.size > self.most_bytes {
            return Err(Fault::TooLarge);
        }
        if !field.is_plain {
            check(field)?;
        }
        if let Some(b':') = name.first() {
            return self.take_pseudo(field);
        }
        self.begun = true;
        let kind = match field.known {
            0 => self.classify(name, value)?,
            known => self.classify_known(known, value)?,
        };
        let Some(kind) = kind else { return Ok(()) };
        if self.spans.lines.len() >= self.most_fields {
            return Err(Fault::TooLarge);
        }
        self.line(field, kind)
    }

    fn take_pseudo(&mut self, field: &Field<'_>) -> Result<(), Fault> {
        if self.begun {
            return Err(Fault::Malformed("a pseudo field behind a field"));
        }
        let place = match field.known {
            known::AUTHORITY => &mut self.pseudo.authority,
            known::METHOD => &mut self.pseudo.method,
            known::PATH => &mut self.pseudo.path,
            known::SCHEME => &mut self.pseudo.scheme,
            known::STATUS => &mut self.pseudo.status,
            _ if field.name == b":protocol" => &mut self.pseudo.protocol,
            _ => return Err(Fault::Malformed("an unknown pseudo field")),
        };
        if place.replace(self.spans.store(field.value)).is_some() {
            return Err(Fault::Malformed("a pseudo field twice"));
        }
        Ok(())
    }

    /// What a field means to the codec whose name is in HPACK's static table; `None` for those that aren't kept.
    fn classify_known(&mut self, known: u8, value: &[u8]) -> Result<Option<Kind>, Fault> {
        match known {
            known::CONTENT_LENGTH => {
                let length = length(value).map_err(|_invalid| Fault::Refused("malformed content-length"))?;
                if self.length.replace(length).is_some() {
                    return Err(Fault::Refused("several content-lengths"));
                }
                return Ok(Some(Kind::Managed));
            }
            known::COOKIE => self.cookies += 1,
            known::EXPECT => {
                if self.expect || !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Fault::Refused("unknown expectation"));
                }
                self.expect = true;
            }
            known::HOST => {
                let host = self.spans.store(value);
                if self.host.replace(host).is_some() {
                    return Err(Fault::Refused("several hosts"));
                }
                return Ok(None);
            }
            known::TRANSFER_ENCODING => return Err(OF_CONNECTION),
            _ => {}
        }
        Ok(Some(Kind::Verbatim))
    }

    /// The same for all other names.
    fn classify(&mut self, name: &[u8], value: &[u8]) -> Result<Option<Kind>, Fault> {
        // The first letter tells nearly all names from those below; comparing them costs more.
        match (name.len(), name.first()) {
            (2, Some(b't')) if name == b"te" => {
                if !value.eq_ignore_ascii_case(b"trailers") {
                    return Err(Fault::Malformed("te with something other than trailers"));
                }
                self.te_trailers = true;
                return Ok(None);
            }
            (7, Some(b'u')) if name == b"upgrade" => return Err(OF_CONNECTION),
            (10, Some(b'c')) if name == b"connection" => return Err(OF_CONNECTION),
            (10, Some(b'k')) if name == b"keep-alive" => return Err(OF_CONNECTION),
            (16, Some(b'p')) if name == b"proxy-connection" => return Err(OF_CONNECTION),
            (14, Some(b'h')) if name == b"http2-settings" => return Ok(None),
            (14, Some(b'c')) if name == b"content_length" => return Err(LIKE_FRAMING),
            (17, Some(b't')) if name == b"transfer_encoding" => return Err(LIKE_FRAMING),
            _ => {}
        }
        Ok(Some(Kind::Verbatim))
    }

    fn line(&mut self, field: &Field<'_>, kind: Kind) -> Result<(), Fault> {
        let Field { name, value, never_indexed: is_secret, .. } = *field;
        if name.len() > usize::from(u16::MAX) {
            return Err(Fault::TooLarge);
        }
        self.spans.push(Name::of(name), value, kind, is_secret);
        Ok(())
    }

    fn of(&self, span: Option<Span>) -> Option<&[u8]> {
        span.map(|span| span.of(&self.spans.buffer))
    }

    /// The head of a request that came with or without END_STREAM.
    pub(in crate::h2) fn request(mut self, ended: bool, scheme: Scheme) -> Result<RequestHead, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let (method, connect) = self.method()?;
        self.check_parts(&connect)?;
        let authority = self.authority()?;
        let (target, query_at) = self.target(&method, &connect)?;
        let is_tunnel = connect != Connect::None;
        let framing = if is_tunnel { Framing::None } else { self.framing(ended)? };
        if is_tunnel {
            self.spans.remove(Name::of(b"content-length"));
        }
        let has_body = framing.has_body();
        if self.expect && !has_body {
            self.spans.remove(Name::of(b"expect"));
        }
        self.join_cookies();
        let head = RequestParts {
            method,
            scheme,
            authority: Text::Span(authority),
            target,
            query_at,
            fields: Fields(self.spans),
            framing,
            version: Version::Http2,
            connect,
            expect_continue: self.expect && has_body,
            te_trailers: self.te_trailers,
        };
        Ok(head.into())
    }

    fn method(&self) -> Result<(Method, Connect), Fault> {
        let method = self.of(self.pseudo.method).ok_or(Fault::Malformed("no :method"))?;
        if method.len() > METHOD_BYTES {
            return Err(Fault::Malformed("a method that is none"));
        }
        let method =
            Method::from_bytes(method).map_err(|_invalid| Fault::Malformed("a method that is none"))?;
        let connect = match (method == Method::CONNECT, self.of(self.pseudo.protocol)) {
            (true, None) => Connect::Connect,
            (true, Some(protocol)) if is_protocol(protocol) => {
                let protocol = std::str::from_utf8(protocol).map_err(|_not_text| PROTOCOL)?;
                Connect::Extended(protocol.into())
            }
            (true, Some(_)) => return Err(PROTOCOL),
            (false, None) => Connect::None,
            (false, Some(_)) => return Err(Fault::Malformed(":protocol without CONNECT")),
        };
        Ok((method, connect))
    }

    /// Which pseudo fields there must and mustn't be (RFC 9113 §8.3.1, §8.5, RFC 8441 §4).
    fn check_parts(&self, connect: &Connect) -> Result<(), Fault> {
        let Pseudo { scheme, authority, path, status, .. } = &self.pseudo;
        if status.is_some() {
            return Err(Fault::Malformed(":status in a request"));
        }
        match connect {
            Connect::Connect if scheme.is_some() || path.is_some() => {
                Err(Fault::Malformed("CONNECT with :scheme or :path"))
            }
            Connect::Connect | Connect::Extended(_) if authority.is_none() => {
                Err(Fault::Malformed("CONNECT without :authority"))
            }
            Connect::Connect => Ok(()),
            _ if self.of(*path).is_none_or(<[u8]>::is_empty) => Err(Fault::Malformed("no :path")),
            _ if !self.of(*scheme).is_some_and(is_scheme) => Err(Fault::Malformed("no :scheme")),
            _ => Ok(()),
        }
    }

    /// The one authority: `:authority`, or `Host` where there is none; both only if they agree (RFC 9113 §8.3.1).
    fn authority(&self) -> Result<Span, Fault> {
        let (pseudo, host) = (self.pseudo.authority, self.host);
        if let (Some(pseudo), Some(host)) = (self.of(pseudo), self.of(host))
            && !host.eq_ignore_ascii_case(pseudo)
        {
            return Err(Fault::Refused(":authority and host differ"));
        }
        let span = pseudo.or(host).ok_or(Fault::Refused("no :authority"))?;
        let is_one = is_authority(span.of(&self.spans.buffer));
        if is_one { Ok(span) } else { Err(Fault::Refused("malformed :authority")) }
    }

    /// Path and query, and where the latter begins.
    fn target(&self, method: &Method, connect: &Connect) -> Result<(Text, Option<u32>), Fault> {
        let (Some(span), false) = (self.pseudo.path, *connect == Connect::Connect) else {
            return Ok((Text::EMPTY, None));
        };
        let text = span.of(&self.spans.buffer);
        let asterisk = text == b"*" && *method == Method::OPTIONS;
        if !(text.starts_with(b"/") || asterisk) || any_of(text, outside_targets) {
            return Err(Fault::Refused("malformed :path"));
        }
        Ok((Text::Span(span), query_at(text)))
    }

    /// What follows the head.
    fn framing(&self, ended: bool) -> Result<Framing, Fault> {
        match self.length {
            None if ended => Ok(Framing::None),
            None => Ok(Framing::Stream),
            Some(length) if ended && length > 0 => Err(Fault::Malformed("a length with no body")),
            Some(length) => Ok(Framing::Length(length)),
        }
    }

    /// Makes one line of cookie crumbs (RFC 9113 §8.2.3).
    fn join_cookies(&mut self) {
        if self.cookies < 2 {
            return;
        }
        let is_cookie = |line: &&Line| line.name().of(&self.spans.buffer) == b"cookie";
        let is_secret = self.spans.lines.iter().filter(is_cookie).any(|line| line.is_secret);
        // A last crumb of nothing would leave a blank at the end, which no value may have.
        let crumbs = self.spans.all(Name::of(b"cookie")).filter(|crumb| !crumb.is_empty());
        let joined = crumbs.collect::<Vec<_>>().join(&b"; "[..]);
        self.spans.replace(Name::of(b"cookie"), &joined, Kind::Verbatim);
        if let Some(line) = self.spans.lines.last_mut() {
            line.is_secret = is_secret;
        }
    }

    /// The head of a response that came with or without END_STREAM, to a HEAD or not.
    pub(in crate::h2) fn response(mut self, ended: bool, is_head: bool) -> Result<ResponseHead, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let Pseudo { method, scheme, authority, path, protocol, status } = &self.pseudo;
        if [method, scheme, authority, path, protocol].into_iter().any(Option::is_some) {
            return Err(Fault::Malformed("pseudo fields of a request in a response"));
        }
        let status = self.of(*status).ok_or(Fault::Malformed("no :status"))?;
        let status =
            StatusCode::from_bytes(status).map_err(|_invalid| Fault::Malformed("a status that is none"))?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            // There is none in HTTP/2 (RFC 9113 §8.6).
            return Err(Fault::Malformed("101 in HTTP/2"));
        }
        // RFC 9110 §8.6. Over HTTP/1 a recipient could wait for the body, or take the next response for it.
        let is_announced = self.length.is_some_and(|length| length > 0);
        if is_announced && (status.is_informational() || status == StatusCode::NO_CONTENT) {
            return Err(Fault::Malformed("a length where there is no body"));
        }
        let bodiless = ended && (is_head || status == StatusCode::NOT_MODIFIED || status.is_informational());
        let framing = if bodiless { Framing::None } else { self.framing(ended)? };
        self.join_cookies();
        let head = ResponseParts {
            status,
            reason: Span::default(),
            fields: Fields(self.spans),
            framing,
            version: Version::Http2,
            upgrade: None,
        };
        Ok(head.into())
    }

    /// Trailers, without those that can't be any: HTTP/2 can't be misled by them, but a recipient behind HTTP/1 could.
    pub(in crate::h2) fn trailers(self) -> Result<HeaderMap, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let Pseudo { method, scheme, authority, path, protocol, status } = &self.pseudo;
        if [method, scheme, authority, path, protocol, status].into_iter().any(Option::is_some) {
            return Err(Fault::Malformed("a pseudo field in trailers"));
        }
        let mut trailers = HeaderMap::with_capacity(self.spans.lines.len());
        for (name, value, is_secret) in self.spans.of_others() {
            let named = HeaderName::from_bytes(name);
            if let (Ok(name), Ok(mut value)) = (named, HeaderValue::from_bytes(value))
                && !is_forbidden_trailer(name.as_str())
            {
                value.set_sensitive(is_secret);
                trailers.append(name, value);
            }
        }
        Ok(trailers)
    }
}

impl Fault {
    /// What it is to a server's client.
    pub(in crate::h2) const fn of_client(self) -> Failure {
        match self {
            Self::Malformed(_) => Failure::DownstreamProtocol,
            Self::Refused(_) => Failure::BadRequest,
            Self::TooLarge => Failure::HeadTooLarge,
        }
    }

    /// The rule that was broken, for logs.
    pub(in crate::h2) const fn rule(self) -> &'static str {
        match self {
            Self::Malformed(rule) | Self::Refused(rule) => rule,
            Self::TooLarge => "too many fields or bytes in a head",
        }
    }
}

/// What a field counts for the limits.
fn size(field: &Field<'_>) -> usize {
    field.name.len() + field.value.len() + FIELD_COST
}

/// What is wrong with a field whatever it means. Values of pseudo fields have rules of their own.
fn check(field: &Field<'_>) -> Result<(), Fault> {
    let Field { name, value, known, .. } = *field;
    if has_control(value) {
        return Err(Fault::Malformed("a field value with a control character"));
    }
    if name.first() == Some(&b':') {
        return Ok(());
    }
    if known == 0 && !is_lower_token(name) {
        return Err(Fault::Malformed("a field name that isn't a lower-case token"));
    }
    if is_blank(value.first()) || is_blank(value.last()) {
        return Err(Fault::Malformed("a field value with blanks at its ends"));
    }
    Ok(())
}

/// Whether a value's first or last byte can't be one (RFC 9113 §8.2.1).
fn is_blank(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b' ' | b'\t'))
}

/// RFC 3986 §3.1.
fn is_scheme(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}
