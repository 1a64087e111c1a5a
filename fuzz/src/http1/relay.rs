//! A whole connection, relayed: what the next server sees is what the client sent, request by request.
//!
//! This is the target for request smuggling. Each request that is accepted goes out on a connection of its own. There it
//! must be exactly one message to a plain recipient, with the body that the client sent to a plain recipient of its
//! bytes; and one that is cut off must look cut off.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use leno_http::client;
use leno_http::exchange::{Exchange, Frame, Incoming};
use leno_http::h1::{ClientConnection, Refusal, ServerConnection};
use leno_http::head::{Connect, RequestHead, ResponseHead};
use leno_model::request::RequestView;

use super::naive::{self, Body, Framing};
use super::peer::{Peer, now};
use super::{drops, halves};
use crate::Outcome;

/// A request as it was sent on.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) head: RequestHead,
    /// The body as it came.
    pub(crate) data: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    /// Whether all of it came.
    pub(crate) is_complete: bool,
    /// Whether it asks for a tunnel, which nobody grants here.
    pub(crate) is_switch: bool,
    pub(crate) bytes: Vec<u8>,
}

/// What became of a client's connection.
pub(crate) struct Relayed {
    pub(crate) requests: Vec<Sent>,
    /// What was answered.
    pub(crate) answers: Vec<u8>,
    /// The rule that ended it.
    pub(crate) refusal: Option<Refusal>,
}

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let sent = relay(vec![Bytes::copy_from_slice(data)]).requests;
    for pieces in [halves(data), drops(data)] {
        assert_eq!(complete(&relay(pieces).requests), complete(&sent), "it matters how the bytes arrive");
    }
    sent.iter().for_each(is_one_message);
    are_those_of(&sent, data);
    Outcome::accepted_if(sent.iter().any(|request| request.is_complete))
}

/// What requests say that came whole. How much of a broken one goes on depends on how it arrives: nothing where its
/// fault was here with its head.
fn complete(sent: &[Sent]) -> Vec<(&str, &[u8])> {
    let complete = sent.iter().filter(|request| request.is_complete);
    complete.map(|request| (request.head.method(), request.data.as_slice())).collect()
}

/// Accepts and sends on as many requests as there are.
pub(crate) fn relay(pieces: Vec<Bytes>) -> Relayed {
    let (peer, answers) = Peer::new(pieces);
    let mut connection = ServerConnection::new(peer, Rc::default());
    let mut requests = Vec::new();
    while let Some(exchange) = now(connection.accept()) {
        requests.push(send_on(exchange));
    }
    let answers = answers.take();
    assert!(answers.len() >= requests.len() * 16, "every request is answered");
    Relayed { requests, answers, refusal: connection.turned_away().and_then(|turned| turned.refusal) }
}

fn send_on(exchange: Exchange) -> Sent {
    let Exchange { head, body, reply } = exchange;
    let sent = sent(head, body);
    reply.whole(ResponseHead::new(StatusCode::OK), Bytes::new());
    sent
}

/// Sends a request to a server of HTTP/1.
pub(crate) fn sent(head: RequestHead, mut body: Incoming) -> Sent {
    let (peer, written) = Peer::new([Bytes::from_static(b"HTTP/1.1 204 No Content\r\n\r\n")]);
    let mut upstream = ClientConnection::new(peer, &client::Config::default());
    let (mut outgoing, mut response) = upstream.send(&head).expect("a fresh connection takes a request");
    let is_switch = *head.connect() != Connect::None;
    let (mut data, mut trailers, mut is_complete) = (Vec::new(), HeaderMap::new(), true);
    while !outgoing.is_finished() && !is_switch {
        now(outgoing.ready()).expect("the peer takes everything");
        match now(body.frame()) {
            Frame::Data(bytes) => {
                data.extend_from_slice(&bytes);
                outgoing.data(bytes).expect("no more than was announced");
            }
            Frame::Trailers(map) => {
                trailers.clone_from(&map);
                outgoing.trailers(map);
            }
            Frame::End => outgoing.finish(),
            Frame::Abort(_) => {
                is_complete = false;
                break;
            }
        }
    }
    assert_eq!(outgoing.is_finished() || is_switch, is_complete, "the body's end");
    if is_switch {
        let _head_alone = now(response.head());
    } else if is_complete {
        assert!(now(response.head()).is_ok(), "the request was answered");
    }
    drop(outgoing);
    Sent { head, data, trailers, is_complete, is_switch, bytes: written.take() }
}

/// On the wire the request is exactly one message.
pub(crate) fn is_one_message(sent: &Sent) {
    let head = naive::head(&sent.bytes).expect("a head was sent");
    assert_eq!(head.first[0], sent.head.method());
    assert_eq!(head.first[2], "HTTP/1.1");
    assert_eq!(head.all("host").count(), 1);
    let body = &sent.bytes[head.len..];
    match (head.framing(), sent.is_complete) {
        (Framing::Unclear, _) => panic!("what was sent can be read in two ways"),
        (Framing::Unsaid, _) => assert!(body.is_empty() && sent.data.is_empty(), "a body without framing"),
        (Framing::Length(length), is_complete) => {
            assert_eq!(body, sent.data);
            assert_eq!(body.len() == length, is_complete);
        }
        (Framing::Chunked, is_complete) => match naive::chunked(body) {
            Body::Complete { data, used, .. } => {
                assert!(is_complete, "a body that was cut off looks complete");
                assert_eq!((data, used), (sent.data.clone(), body.len()));
            }
            Body::Partial { data } => {
                assert!(!is_complete, "a body lost its end");
                assert_eq!(data, sent.data);
            }
            Body::Malformed => panic!("malformed chunks were sent"),
        },
    }
}

/// The requests are those that a plain recipient of the client's bytes sees, as far as they were accepted.
fn are_those_of(sent: &[Sent], data: &[u8]) {
    let mut rest = data;
    for request in sent {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        let head = naive::head(rest).expect("a request comes from a head");
        assert_eq!(head.first[0], request.head.method(), "requests don't begin where they should");
        rest = &rest[head.len..];
        let body = match head.framing() {
            _ if request.is_switch => return,
            Framing::Unsaid => naive::sized(rest, 0),
            Framing::Length(length) => naive::sized(rest, length),
            Framing::Chunked => naive::chunked(rest),
            Framing::Unclear => panic!("an unclear request was accepted"),
        };
        match (body, request.is_complete) {
            (Body::Complete { data, used, .. }, true) => {
                assert_eq!(data, request.data);
                rest = &rest[used..];
            }
            // Refused within the body: whatever follows is gone with the connection.
            (_, false) => return,
            (body, true) => panic!("{body:?} became {request:?}"),
        }
    }
}
