//! The load generator's HTTP/1.1 connection: prepared bytes out, the answer's frame in, the body counted and dropped.
//!
//! Cheaper than a full client, and strict: what doesn't end where its head says is a protocol failure. It doesn't
//! pipeline and doesn't repeat a request.

mod body;

use std::cell::Cell;
use std::rc::Rc;

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::dial;
use super::tally::{Answer, Failure, Kind};
use crate::limits;
use body::{Body, Framing};

/// What every connection of a run sends and looks for.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) address: String,
    /// Head and body as they go on the wire.
    pub(crate) request: Bytes,
    /// Answers to HEAD have no body, whatever their head says (RFC 9112 §6.3).
    pub(crate) is_head: bool,
    pub(crate) version_header: HeaderName,
}

/// One connection, dialled again whenever it was closed.
#[derive(Debug)]
pub(crate) struct Connection {
    template: Rc<Template>,
    stream: Option<TcpStream>,
    received: BytesMut,
}

impl Connection {
    pub(crate) fn new(template: Rc<Template>) -> Self {
        Self { template, stream: None, received: BytesMut::new() }
    }

    /// Makes sure that there is a connection; true if it had to be opened.
    pub(crate) async fn prepare(&mut self) -> Result<bool, Failure> {
        if self.stream.as_ref().is_some_and(is_quiet) {
            return Ok(false);
        }
        self.received.clear();
        self.stream = Some(dial(&self.template.address).await?);
        Ok(true)
    }

    /// Sends the request and reads the answer to its end; `begun` becomes true with its head. Dropped half way, it leaves no
    /// connection behind.
    pub(crate) async fn exchange(&mut self, begun: &Cell<bool>) -> Result<Answer, Failure> {
        let Some(mut stream) = self.stream.take() else {
            return Err(Failure::new(Kind::Connect, "there is no connection"));
        };
        stream.write_all(&self.template.request).await.map_err(|error| Failure::new(Kind::Reset, error))?;
        let head = self.read_head(&mut stream).await?;
        begun.set(true);
        let (body_bytes, ended_well) = self.read_body(&mut stream, Body::new(head.framing)).await?;
        if !self.received.is_empty() {
            return Err(Failure::new(Kind::Protocol, "bytes behind the end of the answer"));
        }
        if head.keep_alive && ended_well {
            self.stream = Some(stream);
        }
        Ok(Answer { status: head.status, grpc_status: None, version: head.version, body_bytes, messages: 0 })
    }

    async fn read_head(&mut self, stream: &mut TcpStream) -> Result<Head, Failure> {
        loop {
            if let Some((head, length)) = parse(&self.received, &self.template)? {
                self.received.advance(length);
                // An interim answer (RFC 9110 §15.2); the final one follows.
                if head.status < 200 {
                    continue;
                }
                return Ok(head);
            }
            if self.received.len() >= limits::HEAD_BYTES {
                return Err(Failure::new(
                    Kind::Protocol,
                    format!("the head is longer than {} bytes", limits::HEAD_BYTES),
                ));
            }
            self.fill(stream, Kind::Reset).await?;
        }
    }

    /// Length of the body, and whether the connection is fit for another request.
    async fn read_body(&mut self, stream: &mut TcpStream, mut body: Body) -> Result<(u64, bool), Failure> {
        loop {
            let taken = body.feed(&self.received).map_err(|wrong| Failure::new(Kind::Protocol, wrong))?;
            self.received.advance(taken);
            if body.is_done() {
                return Ok((body.length(), true));
            }
            if body.ends_with_connection() {
                if self.read(stream, Kind::Cut).await? == 0 {
                    return Ok((body.length(), false));
                }
            } else {
                self.fill(stream, Kind::Cut).await?;
            }
        }
    }

    /// Reads more; `broken` is how an answer fails that has come as far as this.
    async fn fill(&mut self, stream: &mut TcpStream, broken: Kind) -> Result<(), Failure> {
        match self.read(stream, broken).await? {
            0 => Err(Failure::new(broken, "the connection ended before the answer did")),
            _ => Ok(()),
        }
    }

    async fn read(&mut self, stream: &mut TcpStream, broken: Kind) -> Result<usize, Failure> {
        self.received.reserve(limits::CHUNK_BYTES);
        stream.read_buf(&mut self.received).await.map_err(|error| Failure::new(broken, error))
    }
}

/// Whether an idle connection is still open and said nothing unasked, such as a 408 before its end.
fn is_quiet(stream: &TcpStream) -> bool {
    stream.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// What the load generator wants to know of an answer's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    version: Option<Box<str>>,
    framing: Framing,
    keep_alive: bool,
}

/// Parses a complete head; the number is its length. `None` while it is incomplete.
fn parse(bytes: &[u8], template: &Template) -> Result<Option<(Head, usize)>, Failure> {
    let protocol = |wrong: &str| Failure::new(Kind::Protocol, wrong);
    let mut headers = [httparse::EMPTY_HEADER; limits::HEAD_LINES];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(Failure::new(Kind::Protocol, error)),
    };
    let status = response.code.unwrap_or_default();
    if status == 101 {
        return Err(protocol("the server switched protocols unasked"));
    }
    // HTTP/1.0 closes unless told otherwise; a proxy that speaks it is worth seeing as reconnects.
    let mut head =
        Head { status, version: None, framing: Framing::UntilEnd, keep_alive: response.version == Some(1) };
    let (mut declared, mut chunked) = (None, false);
    for header in response.headers.iter() {
        let is = |name: &HeaderName| header.name.eq_ignore_ascii_case(name.as_str());
        if is(&http::header::CONTENT_LENGTH) {
            let number = std::str::from_utf8(header.value).ok().and_then(|text| text.parse().ok());
            let number: u64 = number.ok_or_else(|| protocol("a wrong Content-Length"))?;
            if declared.replace(number).is_some_and(|other| other != number) {
                return Err(protocol("two different Content-Lengths"));
            }
        } else if is(&http::header::TRANSFER_ENCODING) {
            if chunked || !header.value.eq_ignore_ascii_case(b"chunked") {
                return Err(protocol("a Transfer-Encoding other than chunked"));
            }
            chunked = true;
        } else if is(&http::header::CONNECTION) {
            head.keep_alive &= !header.value.eq_ignore_ascii_case(b"close");
        } else if is(&template.version_header) {
            head.version = Some(String::from_utf8_lossy(header.value).into());
        }
    }
    head.framing = match (chunked, declared) {
        _ if template.is_head || status < 200 || status == 204 || status == 304 => Framing::Length(0),
        (true, Some(_)) => return Err(protocol("both Content-Length and Transfer-Encoding")),
        (true, None) => Framing::Chunked,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::UntilEnd,
    };
    Ok(Some((head, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(is_head: bool) -> Template {
        Template {
            address: String::new(),
            request: Bytes::new(),
            is_head,
            version_header: HeaderName::from_static("x-version"),
        }
    }

    #[test]
    fn framing_follows_the_head() {
        for (lines, expected) in [
            ("Content-Length: 5\r\n", Some(Framing::Length(5))),
            ("content-length: 5\r\nContent-Length: 5\r\n", Some(Framing::Length(5))),
            ("Transfer-Encoding: Chunked\r\n", Some(Framing::Chunked)),
            ("", Some(Framing::UntilEnd)),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", None),
            ("Content-Length: +5\r\nTransfer-Encoding: chunked\r\n", None),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", None),
            ("Transfer-Encoding: gzip, chunked\r\n", None),
            ("Content-Length: five\r\n", None),
        ] {
            let bytes = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            let parsed = parse(bytes.as_bytes(), &template(false));
            assert_eq!(parsed.ok().flatten().map(|(head, _)| head.framing), expected, "{lines}");
        }
    }

    #[test]
    fn some_answers_have_no_body() {
        for (status, is_head) in [
            ("204 No Content", false),
            ("304 Not Modified", false),
            ("200 OK", true),
            ("103 Early Hints", false),
        ] {
            let bytes = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
            let (head, length) = parse(bytes.as_bytes(), &template(is_head)).unwrap().unwrap();
            assert_eq!((head.framing, length), (Framing::Length(0), bytes.len()), "{status}");
        }
    }

    #[test]
    fn keeps_the_connection_only_when_it_may() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\n", true),
            ("HTTP/1.1 200 OK\r\nConnection: Close\r\n", false),
            ("HTTP/1.0 200 OK\r\n", false),
        ] {
            let parsed = parse(format!("{head}x-version: v2\r\n\r\n").as_bytes(), &template(false))
                .unwrap()
                .unwrap()
                .0;
            assert_eq!((parsed.keep_alive, parsed.version.as_deref()), (expected, Some("v2")), "{head}");
        }
    }
}
