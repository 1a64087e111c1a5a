//! Heads and trailers into header blocks. Field values were checked when they entered the head.

use std::borrow::Cow;

use http::{HeaderMap, Method, StatusCode};

use crate::h1::parse::is_forbidden_trailer;
use crate::h2::hpack::{Encoder, Indexing, indexing};
use crate::head::{Connect, Fields, Framing, RequestHead, ResponseHead, Scheme, any_of};

/// Writes the block of a request's head.
pub(in crate::h2) fn request(head: &RequestHead, encoder: &mut Encoder, out: &mut Vec<u8>) {
    let parts = &head.parts;
    encoder.begin(out);
    let mut put = |name: &[u8], value: &[u8]| encoder.field(name, value, indexing(name, value), out);
    let protocol = match &parts.connect {
        Connect::Extended(protocol) | Connect::Upgrade(protocol) => Some(protocol),
        Connect::None | Connect::Connect => None,
    };
    // RFC 8441 §5: what HTTP/1.1 calls an upgrade is a CONNECT there.
    let method = if protocol.is_some() { Method::CONNECT.as_str() } else { parts.method.as_str() };
    put(b":method", method.as_bytes());
    if parts.connect != Connect::Connect {
        put(
            b":scheme",
            match parts.scheme {
                Scheme::Http => b"http",
                Scheme::Https => b"https",
            },
        );
    }
    if !head.authority_bytes().is_empty() {
        put(b":authority", head.authority_bytes());
    }
    if parts.connect != Connect::Connect {
        put(b":path", &encode_excluded(head.target_bytes()));
    }
    if let Some(protocol) = protocol {
        put(b":protocol", protocol.as_bytes());
    }
    fields(&parts.fields, parts.framing, encoder, out, |name| {
        // RFC 8441 §5: the key of an upgrade has no use.
        protocol.is_some() && name.eq_ignore_ascii_case(b"sec-websocket-key")
    });
    if parts.te_trailers {
        encoder.field(b"te", b"trailers", Indexing::Indexed, out);
    }
}

/// Writes the block of a final response's head.
pub(in crate::h2) fn response(head: &ResponseHead, encoder: &mut Encoder, out: &mut Vec<u8>) {
    status(head, encoder, out);
    // RFC 9110 §8.6 forbids it.
    let may_have_length = head.parts.status != StatusCode::NO_CONTENT;
    let framing = if may_have_length { head.parts.framing } else { Framing::None };
    let keeps_length = may_have_length && framing == Framing::None;
    fields(&head.parts.fields, framing, encoder, out, |_| false);
    if keeps_length && let Some(length) = head.parts.fields.get("content-length") {
        // Of what isn't sent, as the answer to HEAD has it (RFC 9110 §8.6).
        encoder.field(b"content-length", length, Indexing::Passing, out);
    }
}

/// Writes the block of an interim response's head.
pub(in crate::h2) fn informational(head: &ResponseHead, encoder: &mut Encoder, out: &mut Vec<u8>) {
    status(head, encoder, out);
    fields(&head.parts.fields, Framing::None, encoder, out, |_| false);
}

fn status(head: &ResponseHead, encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.begin(out);
    encoder.field(b":status", head.parts.status.as_str().as_bytes(), Indexing::Indexed, out);
}

/// Writes the fields that aren't the codec's own, and the length.
fn fields(
    fields: &Fields,
    framing: Framing,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    is_unwanted: impl Fn(&[u8]) -> bool,
) {
    for (name, value, is_secret) in fields.of_others().filter(|(name, ..)| !is_unwanted(name)) {
        let indexing = if is_secret { Indexing::Never } else { indexing(name, value) };
        encoder.field(name, value, indexing, out);
    }
    if let Framing::Length(length) = framing {
        let mut digits = itoa::Buffer::new();
        encoder.field(b"content-length", digits.format(length).as_bytes(), Indexing::Passing, out);
    }
}

/// Writes the block of trailers, without those that can't be any.
pub(in crate::h2) fn trailers(trailers: &HeaderMap, encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.begin(out);
    for (name, value) in trailers {
        if !is_forbidden_trailer(name.as_str()) {
            let is_secret = value.is_sensitive();
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            let indexing = if is_secret { Indexing::Never } else { indexing(name, value) };
            encoder.field(name, value, indexing, out);
        }
    }
}

/// Percent-encodes the characters that clients send over HTTP/1 although no URI may hold them (RFC 3986 §2), and that
/// strict servers refuse. Decoded, the target is the same.
fn encode_excluded(target: &[u8]) -> Cow<'_, [u8]> {
    if !any_of(target, |b| b.are(b'"') | b.are(b'<') | b.are(b'>') | b.are(b'`')) {
        return Cow::Borrowed(target);
    }
    let mut text = Vec::with_capacity(target.len() + 8);
    for byte in target {
        match byte {
            b'"' => text.extend_from_slice(b"%22"),
            b'<' => text.extend_from_slice(b"%3C"),
            b'>' => text.extend_from_slice(b"%3E"),
            b'`' => text.extend_from_slice(b"%60"),
            byte => text.push(*byte),
        }
    }
    Cow::Owned(text)
}
