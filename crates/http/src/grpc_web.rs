//! gRPC-Web (gRPC's `PROTOCOL-WEB.md`): gRPC for browsers, which see no trailers and, in the text form, no bytes.
//!
//! A gateway makes gRPC of it and back: content types change, the text form is base64, and trailers become the last
//! message of the answer's body. Messages themselves are not looked into.

use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use leno_model::failure::Failure;

use crate::base64::{Decoder, Encoder};
use crate::exchange::{Frame, Incoming};
use crate::head::{Framing, RequestHead, ResponseHead};

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Binary,
    /// In base64.
    Text,
}

const TEXT: &str = "application/grpc-web-text";
const BINARY: &str = "application/grpc-web";
const GRPC: &str = "application/grpc";

/// The flag of the message that holds trailers.
const TRAILERS: u8 = 0x80;

/// The form of a content type, and what stands behind its name: the message format.
fn form(content_type: &[u8]) -> Option<(Form, &str)> {
    let text = std::str::from_utf8(content_type).ok()?;
    let named = |name: &str| {
        let (head, rest) = text.split_at_checked(name.len())?;
        let is_whole = rest.is_empty() || rest.starts_with(['+', ';', ' ']);
        (head.eq_ignore_ascii_case(name) && is_whole).then_some(rest)
    };
    named(TEXT).map(|rest| (Form::Text, rest)).or_else(|| named(BINARY).map(|rest| (Form::Binary, rest)))
}

/// Makes gRPC of a request, if it is gRPC-Web.
pub fn accept(head: &mut RequestHead, body: &mut Incoming) -> Option<Form> {
    let (form, format) = form(head.fields().get("content-type")?)?;
    let content_type = format!("{GRPC}{format}");
    // What was a well-formed value is one without a part of it.
    head.fields_mut().set("content-type", content_type.as_bytes()).ok()?;
    head.accept_trailers();
    if form == Form::Text {
        if !matches!(head.framing(), Framing::None) {
            head.set_framing(Framing::Stream);
        }
        let inner = std::mem::replace(body, Incoming::empty());
        *body = Incoming::grpc_web(Translated::request(inner));
    }
    Some(form)
}

/// Makes gRPC-Web of the answer to such a request. An answer that isn't gRPC stays as it is.
#[must_use]
pub fn answer(form: Form, head: &mut ResponseHead, body: Incoming) -> Incoming {
    let format = head.fields().get("content-type").and_then(|value| {
        let text = std::str::from_utf8(value).ok()?;
        text.strip_prefix(GRPC).filter(|rest| rest.is_empty() || rest.starts_with(['+', ';', ' ']))
    });
    let Some(format) = format else { return body };
    let name = if form == Form::Text { TEXT } else { BINARY };
    let content_type = format!("{name}{format}");
    let _set = head.fields_mut().set("content-type", content_type.as_bytes());
    // An answer of trailers alone has them in its head already.
    if body.is_ended() {
        return body;
    }
    head.set_framing(Framing::Stream);
    Incoming::grpc_web(Translated::answer(body, form))
}

/// A body in the other form.
#[derive(Debug)]
pub(crate) struct Translated {
    inner: Box<Incoming>,
    way: Way,
    /// What is to be yielded after what was.
    next: Option<Frame>,
    /// Of the trailers that became a message.
    status: Option<u16>,
}

#[derive(Debug)]
enum Way {
    Decode(Decoder),
    Encode(Encoder),
    Plain,
}

impl Translated {
    fn request(inner: Incoming) -> Self {
        Self { inner: Box::new(inner), way: Way::Decode(Decoder::default()), next: None, status: None }
    }

    fn answer(inner: Incoming, form: Form) -> Self {
        let way = if form == Form::Text { Way::Encode(Encoder::default()) } else { Way::Plain };
        Self { inner: Box::new(inner), way, next: None, status: None }
    }

    /// See [`Incoming::grpc_status`].
    pub(crate) fn status(&self) -> Option<u16> {
        self.status
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.next, Some(Frame::End))
    }

    pub(crate) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        self.inner.poll_stalled(cx)
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Frame> {
        loop {
            if let Some(next) = self.next.take() {
                // Ends are yielded again and again.
                match &next {
                    Frame::End => self.next = Some(Frame::End),
                    Frame::Abort(failure) => self.next = Some(Frame::Abort(*failure)),
                    Frame::Data(_) | Frame::Trailers(_) => {}
                }
                return Poll::Ready(next);
            }
            let frame = ready!(self.inner.poll_frame(cx));
            if let Frame::Trailers(trailers) = &frame {
                let status = trailers.get("grpc-status").and_then(|status| status.to_str().ok());
                self.status = status.and_then(|status| status.parse().ok());
            }
            let frame = match (frame, &mut self.way) {
                (Frame::Data(data), Way::Plain) => Frame::Data(data),
                (Frame::Data(data), Way::Encode(encoder)) => Frame::Data(encoder.encode(&data)),
                (Frame::Data(data), Way::Decode(decoder)) => match decoder.decode(&data) {
                    Some(decoded) => Frame::Data(decoded),
                    None => Frame::Abort(Failure::BadRequest),
                },
                (Frame::Trailers(trailers), Way::Plain) => Frame::Data(message(&trailers)),
                (Frame::Trailers(trailers), Way::Encode(encoder)) => {
                    Frame::Data(encoder.last(&message(&trailers)))
                }
                (Frame::Trailers(trailers), Way::Decode(_)) => Frame::Trailers(trailers),
                (Frame::End, Way::Decode(decoder)) if !decoder.is_whole() => {
                    Frame::Abort(Failure::BadRequest)
                }
                (Frame::End, Way::Encode(encoder)) => {
                    self.next = Some(Frame::End);
                    Frame::Data(encoder.last(&[]))
                }
                (frame, _) => frame,
            };
            match frame {
                // Data is never empty.
                Frame::Data(data) if data.is_empty() => {}
                Frame::Data(_) => return Poll::Ready(frame),
                frame => self.next = Some(frame),
            }
        }
    }
}

/// Trailers as a message: flag, length, and lines as HTTP/1 has them.
fn message(trailers: &HeaderMap) -> Bytes {
    let mut lines = BytesMut::new();
    for (name, value) in trailers {
        lines.put_slice(name.as_str().as_bytes());
        lines.put_slice(b": ");
        lines.put_slice(value.as_bytes());
        lines.put_slice(b"\r\n");
    }
    let mut message = BytesMut::with_capacity(5 + lines.len());
    message.put_u8(TRAILERS);
    // Trailers are limited to far less than what four bytes can count.
    message.put_u32(u32::try_from(lines.len()).unwrap_or(u32::MAX));
    message.put_slice(&lines);
    message.freeze()
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http::{Method, StatusCode};

    use super::*;
    use crate::head::Scheme;

    async fn all(mut body: Incoming) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        loop {
            match poll_fn(|cx| body.poll_frame(cx)).await {
                Frame::Data(data) => bytes.extend_from_slice(&data),
                Frame::Trailers(_) => panic!("browsers see none"),
                Frame::End => return Ok(bytes),
                Frame::Abort(failure) => return Err(failure),
            }
        }
    }

    fn request(content_type: &str) -> RequestHead {
        let mut head = RequestHead::new(Method::POST, Scheme::Https, "a", "/p.S/M").unwrap();
        head.fields_mut().set("content-type", content_type.as_bytes()).unwrap();
        head.set_framing(Framing::Stream);
        head
    }

    #[tokio::test]
    async fn requests_become_grpc() {
        for (given, sent, expected, form) in [
            ("application/grpc-web", &b"\0\0\0\0\x01x"[..], "application/grpc", Some(Form::Binary)),
            ("application/grpc-web+proto", b"\0\0\0\0\x01x", "application/grpc+proto", Some(Form::Binary)),
            ("application/grpc-web-text+proto", b"AAAAAAF4", "application/grpc+proto", Some(Form::Text)),
            // Two texts, each with an end of its own.
            ("application/grpc-web-text", b"AAAAAAE=eA==", "application/grpc", Some(Form::Text)),
            ("application/grpc", b"\0\0\0\0\x01x", "application/grpc", None),
            ("application/grpc-webby", b"\0\0\0\0\x01x", "application/grpc-webby", None),
        ] {
            let mut head = request(given);
            let mut body = Incoming::whole(Bytes::copy_from_slice(sent));
            assert_eq!(accept(&mut head, &mut body), form, "{given}");
            assert_eq!(head.fields().get("content-type"), Some(expected.as_bytes()));
            assert_eq!(head.accepts_trailers(), form.is_some());
            assert_eq!(all(body).await, Ok(b"\0\0\0\0\x01x".to_vec()), "{given}");
        }
        for sent in [&b"AAA"[..], b"AA!A", b"A===", b"=AAA"] {
            let mut body = Incoming::whole(Bytes::copy_from_slice(sent));
            accept(&mut request(TEXT), &mut body);
            assert_eq!(all(body).await, Err(Failure::BadRequest), "{}", sent.escape_ascii());
        }
    }

    #[tokio::test]
    async fn answers_that_are_no_grpc_stay_as_they_are() {
        let mut head = ResponseHead::new(StatusCode::SERVICE_UNAVAILABLE);
        head.fields_mut().set("content-type", b"text/plain").unwrap();
        let body = answer(Form::Text, &mut head, Incoming::whole(Bytes::from_static(b"no")));
        assert_eq!(all(body).await, Ok(b"no".to_vec()));
        head.fields_mut().set("content-type", b"application/grpc+proto").unwrap();
        let body = answer(Form::Text, &mut head, Incoming::whole(Bytes::from_static(b"\0\0\0\0\x01x")));
        assert_eq!(head.fields().get("content-type"), Some(&b"application/grpc-web-text+proto"[..]));
        assert_eq!(all(body).await, Ok(b"AAAAAAF4".to_vec()));
    }

    #[test]
    fn trailers_are_a_message() {
        let trailers = [("grpc-status".parse().unwrap(), "5".parse().unwrap())];
        assert_eq!(&message(&HeaderMap::from_iter(trailers))[..], b"\x80\0\0\0\x10grpc-status: 5\r\n");
    }
}
