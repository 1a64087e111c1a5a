//! The proxy's own answers, made from the failure table.
//!
//! A gRPC client can't read an HTTP error, so it gets 200 with the gRPC status in the head and no body ("trailers
//! only", gRPC over HTTP/2). Bodies are short, plain and give nothing away.

use bytes::Bytes;
use http::StatusCode;
use leno_model::failure::{Failure, grpc};

use crate::exchange::Reply;
use crate::head::{Framing, ResponseHead};
use crate::limits::REPLY_BYTES;

/// An answer to send by [`Reply::whole`].
#[derive(Debug)]
pub struct LocalReply {
    /// The head, framing included.
    pub head: ResponseHead,
    /// The body.
    pub body: Bytes,
}

impl LocalReply {
    /// The answer for a failure; `None` where the connection or stream is to be cut without one.
    #[must_use]
    pub fn of(failure: Failure, is_grpc: bool) -> Option<Self> {
        let row = failure.row();
        let status = StatusCode::from_u16(row.http).ok()?;
        Some(if is_grpc { Self::grpc(row.grpc, row.body) } else { Self::http(status, row.body) })
    }

    /// The same with the rule that the client broke, which says to whoever wrote it what to mend.
    #[must_use]
    pub fn because(failure: Failure, is_grpc: bool, rule: &str) -> Option<Self> {
        let row = failure.row();
        let status = StatusCode::from_u16(row.http).ok()?;
        let body = format!("{}: {rule}", row.body);
        Some(if is_grpc { Self::grpc(row.grpc, &body) } else { Self::http(status, &body) })
    }

    /// An answer with a status that configuration chose, such as a fault rule's.
    #[must_use]
    pub fn with_status(status: StatusCode, body: &str, is_grpc: bool) -> Self {
        if is_grpc { Self::grpc(grpc_status(status), body) } else { Self::http(status, body) }
    }

    /// Status and a plain text; an empty text gives an empty body.
    #[must_use]
    pub fn http(status: StatusCode, body: &str) -> Self {
        let mut head = ResponseHead::new(status);
        let body = Bytes::copy_from_slice(prefix(body).as_bytes());
        if !body.is_empty() {
            set(&mut head, "content-type", b"text/plain");
        }
        head.set_framing(Framing::Length(body.len() as u64));
        Self { head, body }
    }

    /// A trailers-only gRPC answer.
    #[must_use]
    pub fn grpc(status: u8, message: &str) -> Self {
        let mut head = ResponseHead::new(StatusCode::OK);
        set(&mut head, "content-type", b"application/grpc");
        set(&mut head, "grpc-status", status.to_string().as_bytes());
        if !message.is_empty() {
            set(&mut head, "grpc-message", encode_message(prefix(message)).as_bytes());
        }
        Self { head, body: Bytes::new() }
    }
}

impl Reply {
    /// Answers with the failure's local reply, or cuts the exchange off where the table has none.
    pub fn local(self, failure: Failure, is_grpc: bool) {
        self.answer(failure, LocalReply::of(failure, is_grpc));
    }

    /// The same with the rule that the client broke.
    pub fn local_because(self, failure: Failure, is_grpc: bool, rule: &str) {
        self.answer(failure, LocalReply::because(failure, is_grpc, rule));
    }

    fn answer(self, failure: Failure, reply: Option<LocalReply>) {
        match reply {
            Some(LocalReply { head, body }) => self.whole(head, body),
            None => self.abort(failure),
        }
    }
}

fn set(head: &mut ResponseHead, name: &str, value: &[u8]) {
    let set = head.fields_mut().set(name, value);
    debug_assert!(set.is_ok(), "{name} is a well-formed field");
}

/// At most [`REPLY_BYTES`] of a text, cut between characters.
fn prefix(text: &str) -> &str {
    text.get(..text.floor_char_boundary(REPLY_BYTES)).unwrap_or_default()
}

/// Percent-encodes what `grpc-message` can't hold: anything but printable ASCII, and `%` (gRPC over HTTP/2).
fn encode_message(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        // Blanks at the ends would not survive as a field value.
        let inner_blank = byte == b' ' && at > 0 && at + 1 < text.len();
        if inner_blank || matches!(byte, b'!'..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The gRPC status that clients make of an HTTP status (grpc/doc/http-grpc-status-mapping.md).
#[must_use]
pub fn grpc_status(status: StatusCode) -> u8 {
    match status.as_u16() {
        200 => grpc::OK,
        400 => grpc::INTERNAL,
        401 => grpc::UNAUTHENTICATED,
        403 => grpc::PERMISSION_DENIED,
        404 => grpc::UNIMPLEMENTED,
        429 | 502..=504 => grpc::UNAVAILABLE,
        _ => grpc::UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_reply() {
        for &failure in Failure::ALL {
            let row = failure.row();
            let plain = LocalReply::of(failure, false);
            let grpc = LocalReply::of(failure, true);
            if row.http == 0 {
                assert!(plain.is_none() && grpc.is_none(), "{failure:?}");
                continue;
            }
            let plain = plain.expect("has a status");
            assert_eq!(plain.head.status().as_u16(), row.http, "{failure:?}");
            assert_eq!(plain.body, row.body.as_bytes(), "{failure:?}");
            let grpc = grpc.expect("has a status");
            assert_eq!(grpc.head.status(), StatusCode::OK, "{failure:?}");
            assert_eq!(grpc.head.grpc_status(), Some(u16::from(row.grpc)), "{failure:?}");
            assert!(grpc.body.is_empty());
        }
    }

    #[test]
    fn grpc_messages_are_percent_encoded() {
        for (text, encoded) in [
            ("RBAC: access denied", "RBAC: access denied"),
            ("100% sure", "100%25 sure"),
            ("a\nb", "a%0Ab"),
            ("ü", "%C3%BC"),
            (" x ", "%20x%20"),
            ("", ""),
        ] {
            assert_eq!(encode_message(text), encoded);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = "ü".repeat(REPLY_BYTES);
        let reply = LocalReply::http(StatusCode::IM_A_TEAPOT, &text);
        assert_eq!(reply.body.len(), REPLY_BYTES);
        let odd = format!("x{text}");
        assert_eq!(LocalReply::http(StatusCode::IM_A_TEAPOT, &odd).body.len(), REPLY_BYTES - 1);
    }
}
