//! Writing heads, chunks and trailers (RFC 9112 §3, §4, §7.1).
//!
//! The codec alone writes the fields that decide framing and connection, from what the head says; see
//! [`crate::head::is_managed`]. Field values were checked when they entered the head.

use http::{HeaderMap, Method, StatusCode};
use leno_model::request::RequestView;

use crate::head::{Connect, Framing, RequestHead, ResponseHead, Version};

/// Room for what a head's own lines need besides its fields, and for a small body behind it.
const STEP: usize = 512;

/// How a body is to be written after a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// No body.
    None,
    /// So many bytes more.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Plain bytes until the connection is closed, or a tunnel.
    Plain,
}

/// Writes a request head and says how its body follows.
pub(crate) fn request(head: &RequestHead, out: &mut Vec<u8>) -> Encoding {
    out.reserve(head.parts.fields.written_size() + STEP);
    let (method, target) = match &head.parts.connect {
        Connect::Connect => (Method::CONNECT.as_str(), head.authority_bytes()),
        // RFC 8441 §5: what HTTP/1.1 calls an upgrade is a GET there.
        Connect::Extended(_) => (Method::GET.as_str(), head.target_bytes()),
        Connect::None | Connect::Upgrade(_) => (head.method(), head.target_bytes()),
    };
    put(out, &[method.as_bytes(), b" ", target, b" HTTP/1.1\r\nhost: ", head.authority_bytes(), b"\r\n"]);
    head.parts.fields.0.write(out);
    match &head.parts.connect {
        Connect::Upgrade(protocol) | Connect::Extended(protocol) => {
            // RFC 8441 §5.1: over HTTP/2 there is no key.
            if matches!(head.parts.connect, Connect::Extended(_))
                && head.parts.fields.get("sec-websocket-key").is_none()
            {
                put(out, &[b"sec-websocket-key: ", crate::websocket::key().as_bytes(), b"\r\n"]);
            }
            put(out, &[b"connection: upgrade\r\nupgrade: ", protocol.as_bytes(), b"\r\n\r\n"]);
            return Encoding::None;
        }
        Connect::Connect => {
            out.extend_from_slice(b"\r\n");
            return Encoding::None;
        }
        Connect::None => {}
    }
    if head.parts.te_trailers {
        out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
    }
    let encoding = match head.parts.framing {
        // RFC 9110 §8.6: methods that anticipate a body say that there is none.
        Framing::None if matches!(head.parts.method, Method::POST | Method::PUT | Method::PATCH) => {
            out.extend_from_slice(b"content-length: 0\r\n");
            Encoding::None
        }
        Framing::None => Encoding::None,
        Framing::Length(length) => {
            content_length(length, out);
            if length == 0 { Encoding::None } else { Encoding::Length(length) }
        }
        Framing::Stream => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Encoding::Chunked
        }
    };
    out.extend_from_slice(b"\r\n");
    encoding
}

/// What of the request decides how its response is written.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) version: Version,
    pub(crate) is_head: bool,
    pub(crate) connect: Connect,
    /// Whether the connection is to go on afterwards.
    pub(crate) persistent: bool,
}

/// Writes a response head and says how its body follows, and whether the connection may go on after it.
pub(crate) fn response(head: &ResponseHead, request: &Answered, out: &mut Vec<u8>) -> (Encoding, bool) {
    out.reserve(head.parts.fields.written_size() + STEP);
    let (status, tunnel) = tunnel_status(head.parts.status, &request.connect);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    match head.parts.fields.slice(head.parts.reason) {
        [] => out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes()),
        reason => out.extend_from_slice(reason),
    }
    out.extend_from_slice(b"\r\n");
    head.parts.fields.0.write(out);
    if tunnel {
        if let (StatusCode::SWITCHING_PROTOCOLS, Connect::Upgrade(asked)) = (status, &request.connect) {
            let protocol = head.parts.upgrade.as_deref().unwrap_or(asked);
            put(out, &[b"connection: upgrade\r\nupgrade: ", protocol.as_bytes(), b"\r\n"]);
        }
        out.extend_from_slice(b"\r\n");
        return (Encoding::Plain, false);
    }
    let encoding = response_framing(head, status, request, out);
    let persistent = request.persistent && encoding != Encoding::Plain;
    if status.is_informational() {
        // An interim response says nothing of the connection.
    } else if !persistent {
        out.extend_from_slice(b"connection: close\r\n");
    } else if request.version == Version::Http10 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
    (encoding, persistent)
}

/// The status to send, and whether a tunnel begins. RFC 8441 answers 200 where HTTP/1.1 answers 101.
fn tunnel_status(status: StatusCode, connect: &Connect) -> (StatusCode, bool) {
    match connect {
        Connect::Upgrade(_) if status == StatusCode::SWITCHING_PROTOCOLS => (status, true),
        Connect::Connect | Connect::Extended(_) if status.is_success() => (status, true),
        _ => (status, false),
    }
}

/// Writes the length field that belongs to the response (RFC 9110 §8.6, RFC 9112 §6).
fn response_framing(
    head: &ResponseHead,
    status: StatusCode,
    request: &Answered,
    out: &mut Vec<u8>,
) -> Encoding {
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return Encoding::None;
    }
    if request.is_head || status == StatusCode::NOT_MODIFIED {
        let announced =
            head.parts.fields.get("content-length").and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
        if let Some(length) = announced {
            content_length(length, out);
        }
        return Encoding::None;
    }
    match head.parts.framing {
        Framing::None => {
            content_length(0, out);
            Encoding::None
        }
        Framing::Length(length) => {
            content_length(length, out);
            if length == 0 { Encoding::None } else { Encoding::Length(length) }
        }
        Framing::Stream if request.version == Version::Http10 => Encoding::Plain,
        Framing::Stream => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Encoding::Chunked
        }
    }
}

/// Writes the line before a chunk's data. Formatting machinery would cost more than all else about a short chunk.
pub(crate) fn chunk_size(size: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = size >> (place * 4) & 0xf;
        out.push(b"0123456789abcdef".get(digit).copied().unwrap_or_default());
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk and the trailers, without those that can't be any.
pub(crate) fn last_chunk(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        if !super::parse::is_forbidden_trailer(name.as_str()) {
            put(out, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn content_length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_they_are_read() {
        for value in [0, 1, 9, 10, 15, 16, 255, 256, 4095, 4096, 1 << 60, usize::MAX] {
            let mut line = Vec::new();
            chunk_size(value, &mut line);
            assert_eq!(line, format!("{value:x}\r\n").as_bytes());
        }
    }
}
