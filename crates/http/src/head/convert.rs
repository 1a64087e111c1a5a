//! Heads between the wire's bytes and the `http` crate's parts, which `h2` speaks.
//!
//! HTTP/2 heads enter as maps and leave as maps. A head that came over HTTP/1 is turned into a map here, with its
//! values as slices of one copy of its bytes. What connection-specific fields there were ended when the head was
//! parsed, on either version.

use std::borrow::Cow;

use bytes::Bytes;
use h2::ext::Protocol;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri};
use leno_model::failure::Failure;
use leno_model::request::RequestView;

use super::spans::{Kind, Span, Spans};
use super::{
    Connect, Fields, Framing, Repr, RequestHead, RequestParts, ResponseHead, ResponseParts, Scheme, Text,
    Version,
};
use super::{is_authority, is_protocol, is_target_byte};

/// Makes a head of a request that arrived over HTTP/2.
///
/// `h2` has refused malformed names, values, pseudo and connection-specific fields; here the rest is checked that
/// would be refused over HTTP/1.
pub(crate) fn from_h2_request(
    request: Request<()>,
    ended: bool,
    scheme: Scheme,
    max_fields: usize,
) -> Result<RequestHead, Failure> {
    let (mut parts, ()) = request.into_parts();
    if parts.headers.len() > max_fields {
        return Err(Failure::HeadTooLarge);
    }
    // CGI-like interfaces can't tell these from the real ones.
    if parts.headers.keys().any(|name| matches!(name.as_str(), "content_length" | "transfer_encoding")) {
        return Err(Failure::BadRequest);
    }
    let protocol = parts.extensions.remove::<Protocol>();
    if protocol.as_ref().is_some_and(|protocol| !is_protocol(protocol.as_str().as_bytes())) {
        return Err(Failure::BadRequest);
    }
    let connect = match (parts.method == Method::CONNECT, protocol) {
        (true, Some(protocol)) => Connect::Extended(protocol.as_str().into()),
        (true, None) => Connect::Connect,
        (false, _) => Connect::None,
    };
    let uri = parts.uri.into_parts();
    let authority = authority(uri.authority, &mut parts.headers)?;
    let target = match (uri.path_and_query, &connect) {
        (_, Connect::Connect) => Text::EMPTY,
        (Some(path), _) => {
            let text = path.as_str();
            let asterisk = text == "*" && parts.method == Method::OPTIONS;
            if !(text.starts_with('/') || asterisk) || !text.bytes().all(is_target_byte) {
                return Err(Failure::BadRequest);
            }
            Text::Path(path)
        }
        (None, _) => return Err(Failure::BadRequest),
    };
    let is_tunnel = connect != Connect::None;
    let framing = if is_tunnel { Framing::None } else { framing(&parts.headers, ended)? };
    if is_tunnel {
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    let expect_continue = expectation(&mut parts.headers, framing)?;
    let te_trailers = parts.headers.get(header::TE).is_some_and(|te| te == "trailers");
    let mut head = RequestHead::from(RequestParts {
        method: parts.method,
        scheme,
        authority,
        target,
        query_at: None,
        fields: Fields(Repr::Map(parts.headers)),
        framing,
        version: Version::Http2,
        connect,
        expect_continue,
        te_trailers,
    });
    head.parts.query_at =
        memchr::memchr(b'?', head.target().as_bytes()).and_then(|at| u32::try_from(at).ok());
    Ok(head)
}

/// The one authority: `:authority`, or `Host` where there is none; both only if they agree (RFC 9113 §8.3.1).
fn authority(pseudo: Option<Authority>, headers: &mut HeaderMap) -> Result<Text, Failure> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Failure::BadRequest);
    }
    let text = match (pseudo, host) {
        (Some(pseudo), Some(host)) if !host.as_bytes().eq_ignore_ascii_case(pseudo.as_str().as_bytes()) => {
            return Err(Failure::BadRequest);
        }
        (Some(pseudo), _) => Text::Authority(pseudo),
        (None, Some(host)) => Text::Owned(host.to_str().map_err(|_not_text| Failure::BadRequest)?.into()),
        (None, None) => return Err(Failure::BadRequest),
    };
    if !is_authority(text.as_str(&Fields::empty()).as_bytes()) {
        return Err(Failure::BadRequest);
    }
    headers.remove(header::HOST);
    Ok(text)
}

/// What follows a head that came with or without END_STREAM. `h2` holds the body to the length.
fn framing(headers: &HeaderMap, ended: bool) -> Result<Framing, Failure> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(if ended { Framing::None } else { Framing::Stream }) };
    let length = crate::h1::parse::length(length.as_bytes()).map_err(|_invalid| Failure::BadRequest)?;
    if lengths.next().is_some() || (ended && length > 0) {
        return Err(Failure::BadRequest);
    }
    Ok(Framing::Length(length))
}

fn expectation(headers: &mut HeaderMap, framing: Framing) -> Result<bool, Failure> {
    let Some(value) = headers.get(header::EXPECT) else { return Ok(false) };
    if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
        return Err(Failure::BadRequest);
    }
    let has_body = !matches!(framing, Framing::None | Framing::Length(0));
    if !has_body {
        headers.remove(header::EXPECT);
    }
    Ok(has_body)
}

/// Makes a head of a response that arrived over HTTP/2.
pub(crate) fn from_h2_response(
    response: Response<()>,
    ended: bool,
    is_head: bool,
    max_fields: usize,
) -> Result<ResponseHead, Failure> {
    let (parts, ()) = response.into_parts();
    // RFC 9113 §8.6: there is no 101 in HTTP/2.
    if parts.headers.len() > max_fields || parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::UpstreamProtocol);
    }
    let bodiless =
        ended && (is_head || parts.status == StatusCode::NOT_MODIFIED || parts.status.is_informational());
    let framing = match bodiless {
        true => Framing::None,
        false => framing(&parts.headers, ended).map_err(|_bad| Failure::UpstreamProtocol)?,
    };
    // RFC 9110 §8.6. Over HTTP/1 a recipient could wait for the body, or take the next response for it.
    let is_announced = parts.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if is_announced && (parts.status.is_informational() || parts.status == StatusCode::NO_CONTENT) {
        return Err(Failure::UpstreamProtocol);
    }
    let parts = ResponseParts {
        status: parts.status,
        reason: Span::default(),
        fields: Fields(Repr::Map(parts.headers)),
        framing,
        version: Version::Http2,
        upgrade: None,
    };
    Ok(parts.into())
}

/// Makes the parts of a request that goes out over HTTP/2.
pub(crate) fn to_h2_request(head: &RequestHead) -> Result<Request<()>, Failure> {
    let mut headers = match &head.parts.fields.0 {
        Repr::Map(map) => map.clone(),
        Repr::Spans(spans) => to_map(spans, Bytes::copy_from_slice(&spans.buffer)),
    };
    set_length(&mut headers, head.parts.framing);
    if head.parts.te_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let mut request = Request::new(());
    let mut parts = uri::Parts::default();
    parts.authority = authority_of(head)?;
    if head.parts.connect == Connect::Connect {
        *request.method_mut() = Method::CONNECT;
    } else {
        parts.path_and_query = Some(path_of(head)?);
        if parts.authority.is_some() {
            parts.scheme = Some(match head.parts.scheme {
                Scheme::Http => uri::Scheme::HTTP,
                Scheme::Https => uri::Scheme::HTTPS,
            });
        }
        *request.method_mut() = head.parts.method.clone();
    }
    for (_, value) in headers.iter_mut().filter(|(name, _)| is_passing(name.as_str())) {
        value.set_sensitive(true);
    }
    if let Connect::Extended(protocol) | Connect::Upgrade(protocol) = &head.parts.connect {
        // RFC 8441 §5: what HTTP/1.1 calls an upgrade is a CONNECT there, and its key has no use.
        *request.method_mut() = Method::CONNECT;
        headers.remove(header::SEC_WEBSOCKET_KEY);
        request.extensions_mut().insert(Protocol::from(&**protocol));
    }
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_invalid| Failure::BadRequest)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Makes the parts of a response that goes out over HTTP/2.
pub(crate) fn to_h2_response(head: ResponseHead) -> Response<()> {
    let ResponseParts { status, fields, framing, .. } = *head.parts;
    let mut headers = match fields.0 {
        Repr::Map(map) => map,
        Repr::Spans(mut spans) => {
            let buffer = Bytes::from(std::mem::take(&mut spans.buffer));
            to_map(&spans, buffer)
        }
    };
    if framing != Framing::None {
        set_length(&mut headers, framing);
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Whether a field's value is another with every request. `h2` would take each into its table, and look through all of
/// them for the next one; that it is never to be indexed (RFC 7541 §6.2.3) is the one way to tell it not to.
fn is_passing(name: &str) -> bool {
    matches!(
        name,
        "x-request-id" | "traceparent" | "b3" | "x-b3-traceid" | "x-b3-spanid" | "x-b3-parentspanid"
    )
}

fn set_length(headers: &mut HeaderMap, framing: Framing) {
    match framing {
        Framing::Length(length) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        Framing::None | Framing::Stream => {
            headers.remove(header::CONTENT_LENGTH);
        }
    }
}

/// Lines as a map, with the values as slices of `buffer`.
fn to_map(spans: &Spans, buffer: Bytes) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(spans.lines.len());
    for line in spans.lines.iter().filter(|line| line.kind != Kind::Gone) {
        let start = line.value.start as usize;
        let value = buffer.slice(start..start + line.value.len as usize);
        // Both were checked when they entered the head.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(line.name().of(&buffer)), HeaderValue::from_maybe_shared(value))
        {
            map.append(name, value);
        }
    }
    map
}

fn authority_of(head: &RequestHead) -> Result<Option<Authority>, Failure> {
    match &head.parts.authority {
        Text::Authority(authority) => Ok(Some(authority.clone())),
        _ if head.authority().is_empty() => Ok(None),
        _ => Authority::try_from(head.authority()).map(Some).map_err(|_invalid| Failure::BadRequest),
    }
}

fn path_of(head: &RequestHead) -> Result<PathAndQuery, Failure> {
    if let Text::Path(path) = &head.parts.target {
        return Ok(path.clone());
    }
    let text = encode_excluded(head.target());
    PathAndQuery::try_from(&*text).map_err(|_invalid| Failure::BadRequest)
}

/// Percent-encodes the characters that clients send over HTTP/1 although no URI may hold them (RFC 3986 §2), and that
/// `http` refuses. Decoded, the target is the same.
fn encode_excluded(target: &str) -> Cow<'_, str> {
    let encoded = |c: char| match c {
        '"' => Some("%22"),
        '<' => Some("%3C"),
        '>' => Some("%3E"),
        '`' => Some("%60"),
        _ => None,
    };
    if !target.contains(|c| encoded(c).is_some()) {
        return Cow::Borrowed(target);
    }
    let mut text = String::with_capacity(target.len() + 8);
    for c in target.chars() {
        match encoded(c) {
            Some(code) => text.push_str(code),
            None => text.push(c),
        }
    }
    Cow::Owned(text)
}
