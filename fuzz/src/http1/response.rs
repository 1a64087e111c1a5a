//! Response heads and the bodies behind them, as a client connection reads them.
//!
//! The first byte chooses the request. What arrives doesn't depend on how; it is what a plain recipient and httparse
//! see; and it survives being passed on to a client.

use std::rc::Rc;

use bytes::Bytes;
use leno_http::exchange::{Answer, Exchange, Frame, Incoming};
use leno_http::h1::parse::{Asked, Limits, Parsed, ParsedResponse, response};
use leno_http::h1::{ClientConnection, ServerConnection};
use leno_http::head::{Framing as Framed, ResponseHead};
use leno_http::{client, limits};

use super::naive::{self, Body, Framing};
use super::peer::{Peer, Written, now};
use super::{Lines, drops, halves, lines, plain};
use crate::Outcome;

const REQUESTS: [(&[u8], Asked); 4] = [
    (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", Asked::Plain),
    (b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", Asked::Head),
    (b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", Asked::Connect),
    (b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", Asked::Upgrade),
];

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Some((choice, data)) = data.split_first() else { return Outcome::Refused };
    let (request, asked) = REQUESTS[usize::from(*choice) % REQUESTS.len()];
    let whole = receive(request, vec![Bytes::copy_from_slice(data)]);
    for pieces in [halves(data), drops(data)] {
        assert!(receive(request, pieces).agrees(&whole), "it matters how the bytes arrive");
    }
    let first = response(data, asked, Limits::default());
    prefixes_agree(data, asked, &first);
    let Parsed::Complete(parsed, taken) = first else { return Outcome::Refused };
    let read = reads_the_same(&parsed, data, taken);
    httparse_agrees(&parsed.head, data, taken);
    survives_being_passed_on(&parsed.head, request, asked);
    if !parsed.head.is_informational() {
        body_as_expected(&read, asked, &whole, &data[taken..]);
    }
    Outcome::Accepted
}

/// What a client makes of the bytes of a connection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Received {
    heads: Vec<(u16, Lines)>,
    data: Vec<u8>,
    trailers: usize,
    /// Whether everything came.
    is_complete: bool,
}

impl Received {
    /// Whether that is the same. How much of a broken answer goes on depends on how it arrives: nothing where its fault
    /// was here with its head.
    fn agrees(&self, whole: &Self) -> bool {
        self == whole || (!self.is_complete && !whole.is_complete && self.heads.starts_with(&whole.heads))
    }
}

fn receive(request: &'static [u8], pieces: Vec<Bytes>) -> Received {
    let mut received = Received::default();
    let mut connection = ClientConnection::new(Peer::new(pieces).0, &client::Config::default());
    let head = accept(request).0.head;
    let (_outgoing, mut response) = connection.send(&head).expect("a fresh connection takes a request");
    while let Ok(answer) = now(response.head()) {
        match answer {
            Answer::Informational(head) => {
                received.heads.push((head.status().as_u16(), lines(head.fields())))
            }
            Answer::Final(head, body) => {
                received.heads.push((head.status().as_u16(), lines(head.fields())));
                read_body(body, &mut received);
                return received;
            }
        }
    }
    received
}

fn read_body(mut body: Incoming, received: &mut Received) {
    loop {
        match now(body.frame()) {
            Frame::Data(data) => received.data.extend_from_slice(&data),
            Frame::Trailers(trailers) => received.trailers += trailers.len(),
            Frame::End => {
                received.is_complete = true;
                return;
            }
            Frame::Abort(_) => return,
        }
    }
}

/// A request of a client who gets nothing before it is answered, and what is written to that client.
fn accept(request: &'static [u8]) -> (Exchange, ServerConnection, Written) {
    let (peer, written) = Peer::new([Bytes::from_static(request)]);
    let mut connection = ServerConnection::new(peer, Rc::default());
    let exchange = now(connection.accept()).expect("a well-formed request");
    (exchange, connection, written)
}

/// A prefix of a head is incomplete, a refused prefix stays refused, and what follows a head changes nothing.
fn prefixes_agree(data: &[u8], asked: Asked, whole: &Parsed<ParsedResponse>) {
    let step = data.len() / 64 + 1;
    for cut in (0..data.len()).step_by(step) {
        match (response(&data[..cut], asked, Limits::default()), whole) {
            (Parsed::NeedMore, Parsed::Complete(_, taken)) => assert!(cut < *taken, "complete at {taken}"),
            (Parsed::Complete(_, early), Parsed::Complete(_, taken)) => assert_eq!(early, *taken),
            (Parsed::NeedMore, _) | (Parsed::Refused(_), Parsed::Refused(_)) => {}
            (part, whole) => panic!("{part:?} after {cut} bytes, but in the end {whole:?}"),
        }
    }
}

/// The head is what a recipient sees that takes the lines one by one.
fn reads_the_same(parsed: &ParsedResponse, data: &[u8], taken: usize) -> naive::Head {
    let read = naive::head(data).expect("an accepted head is one");
    assert_eq!(read.len, taken, "the head ends elsewhere");
    assert_eq!(parsed.head.version().as_str(), read.first[0]);
    assert_eq!(parsed.head.status().as_str(), read.first[1]);
    assert_eq!(lines(parsed.head.fields()), read.end_to_end());
    assert_ne!(read.framing(), Framing::Unclear);
    read
}

fn httparse_agrees(head: &ResponseHead, data: &[u8], taken: usize) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut theirs = httparse::Response::new(&mut fields);
    assert_eq!(theirs.parse(data), Ok(httparse::Status::Complete(taken)), "httparse sees another head");
    assert_eq!(theirs.code, Some(head.status().as_u16()));
    for (name, value) in lines(head.fields()) {
        let is_this =
            |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(&name) && field.value == value;
        assert!(theirs.headers.iter().any(|field| is_this(&field)), "httparse sees no {name}");
    }
}

/// What a client gets is one head with the same meaning, and nothing else.
pub(crate) fn survives_being_passed_on(head: &ResponseHead, request: &'static [u8], asked: Asked) {
    let (Exchange { mut reply, .. }, mut connection, written) = accept(request);
    if head.is_informational() {
        now(reply.informational(head)).expect("the client takes everything");
        drop(reply);
    } else {
        reply.head(head.clone()).finish();
    }
    assert!(now(connection.accept()).is_none(), "there is one request");
    let sent = written.take();
    let Parsed::Complete(again, taken) = response(&sent, asked, Limits::default()) else {
        // What the codec writes itself may be longer than what it replaces.
        assert!(
            sent.len() > limits::HEAD_BYTES - 128 || head.fields().iter().count() >= 99,
            "{}",
            sent.escape_ascii()
        );
        return;
    };
    assert_eq!(again.head.status(), head.status());
    assert_eq!(lines(again.head.fields()), lines(head.fields()));
    let is_tunnel = asked == Asked::Connect && head.status().is_success();
    let never = asked == Asked::Head || (matches!(head.status().as_u16(), 204 | 304) && !is_tunnel);
    let framing = if never || head.is_informational() { Framed::None } else { plain(head.framing()) };
    assert_eq!(plain(again.head.framing()), framing);
    // Nothing follows but the end of an empty body in chunks.
    assert!(matches!(&sent[taken..], b"" | b"0\r\n\r\n"), "more than a head: {}", sent.escape_ascii());
}

/// The body is what a plain recipient sees behind the head.
fn body_as_expected(head: &naive::Head, asked: Asked, received: &Received, rest: &[u8]) {
    let never = matches!(head.first[1].as_str(), "204" | "304") || asked == Asked::Head;
    let is_tunnel = head.first[1] == "101" || (asked == Asked::Connect && head.first[1].starts_with('2'));
    let expected = match head.framing() {
        _ if is_tunnel => naive::sized(rest, rest.len()),
        _ if never => naive::sized(rest, 0),
        Framing::Unsaid | Framing::Unclear => naive::sized(rest, rest.len()),
        Framing::Length(length) => naive::sized(rest, length),
        Framing::Chunked => naive::chunked(rest),
    };
    match (expected, received.is_complete) {
        (Body::Complete { data, .. }, true) => assert_eq!(received.data, data),
        (_, false) if head.framing() == Framing::Chunked => {}
        (Body::Partial { data }, false) => assert_eq!(received.data, data),
        (expected, _) => panic!("{received:?} where {expected:?} was expected"),
    }
}
