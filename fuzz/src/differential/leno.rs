//! What we make of bytes, by the codec that the proxy has, and what it sends on.

use std::rc::Rc;

use bytes::Bytes;
use http::HeaderMap;
use leno_http::client;
use leno_http::exchange::{Answer, Exchange, Frame};
use leno_http::h1::parse::{self, Limits, Parsed};
use leno_http::h1::{ClientConnection, ServerConnection};
use leno_http::head::{Connect, RequestHead};
use leno_model::failure::Failure;
use leno_model::request::RequestView;

use super::generate::Asked;
use super::message::{Message, Reading, end_to_end, sorted};
use crate::http1::peer::{Peer, now};
use crate::http1::relay::{Sent, relay};
use crate::http1::{Lines, lines};

/// The requests of a client, and each as it is sent on.
#[must_use]
pub fn requests(input: &[u8]) -> (Reading, Vec<Vec<u8>>) {
    let relayed = relay(vec![Bytes::copy_from_slice(input)]);
    let mut reading = Reading::default();
    let mut sent = Vec::new();
    for request in relayed.requests.into_iter().take_while(|request| request.is_complete) {
        reading.messages.push(message(&request));
        reading.is_over |= *request.head.connect() == Connect::Connect;
        sent.push(request.bytes);
    }
    reading.refusal = relayed.refusal.map(|refusal| format!("{refusal:?}"));
    // Whoever says that this is the last request is believed.
    reading.is_over |= has_closed(&relayed.answers) && reading.refusal.is_none();
    (reading, sent)
}

/// Whether the last answer says that the connection ends.
fn has_closed(answers: &[u8]) -> bool {
    let last = answers.windows(9).rposition(|bytes| bytes == b"HTTP/1.1 ");
    let last = last.and_then(|at| answers.get(at..)).unwrap_or_default();
    last.windows(17).any(|bytes| bytes == b"connection: close")
}

fn message(sent: &Sent) -> Message {
    let head = &sent.head;
    Message {
        first: method(head).to_owned(),
        target: head.target().to_owned(),
        host: head.authority().to_owned(),
        fields: end_to_end(lines(head.fields())),
        body: sent.data.clone(),
        trailers: of_map(&sent.trailers),
    }
}

fn method(head: &RequestHead) -> &str {
    head.method_ref().as_str()
}

fn of_map(map: &HeaderMap) -> Lines {
    sorted(map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
}

/// The answer of a server, and how it is sent on to the client.
#[must_use]
pub fn response(input: &[u8], asked: Asked) -> (Reading, Option<Vec<u8>>) {
    let mut reading = Reading { is_over: true, ..Reading::default() };
    let (from, _) = Peer::new([Bytes::copy_from_slice(input)]);
    let mut upstream = ClientConnection::new(from, &client::Config::default());
    let (to, written) = Peer::new([Bytes::from_static(asked.request())]);
    let mut downstream = ServerConnection::new(to, Rc::default());
    let Some(Exchange { head, reply, .. }) = now(downstream.accept()) else { return (reading, None) };
    let Ok((_outgoing, mut response)) = upstream.send(&head) else { return (reading, None) };
    let answer = loop {
        match now(response.head()) {
            Ok(Answer::Informational(_)) => {}
            Ok(Answer::Final(head, body)) => break Ok((head, body)),
            Err(failure) => break Err(failure),
        }
    };
    let (head, mut body) = match answer {
        Ok(answer) => answer,
        Err(failure) => {
            reading.is_over = false;
            reading.refusal = (failure == Failure::UpstreamProtocol).then(|| refusal(input, asked));
            return (reading, None);
        }
    };
    let mut message = Message {
        first: head.status().as_str().to_owned(),
        fields: end_to_end(lines(head.fields())),
        ..Message::default()
    };
    let mut outgoing = reply.head(head);
    loop {
        let frame = now(body.frame());
        if !matches!(frame, Frame::Abort(_)) && now(outgoing.ready()).is_err() {
            return (reading, None);
        }
        match frame {
            Frame::Data(data) => {
                message.body.extend_from_slice(&data);
                if outgoing.data(data).is_err() {
                    return (reading, None);
                }
            }
            Frame::Trailers(trailers) => {
                message.trailers = of_map(&trailers);
                outgoing.trailers(trailers);
                break;
            }
            Frame::End => {
                outgoing.finish();
                break;
            }
            Frame::Abort(failure) => {
                reading.refusal = Some(format!("the body: {failure:?}"));
                return (reading, None);
            }
        }
    }
    reading.messages.push(message);
    // Writes what is left of the answer.
    let _ended = now(downstream.accept());
    (reading, Some(written.take()))
}

/// The rule by which an answer is refused.
fn refusal(mut input: &[u8], asked: Asked) -> String {
    let plain = if asked == Asked::Head { parse::Asked::Head } else { parse::Asked::Plain };
    loop {
        match parse::response(input, plain, Limits::default()) {
            Parsed::Complete(parsed, taken) if parsed.head.is_informational() => input = &input[taken..],
            Parsed::Complete(..) => return "the body".to_owned(),
            Parsed::Refused(refusal) => return format!("{refusal:?}"),
            Parsed::NeedMore => return "incomplete".to_owned(),
        }
    }
}
