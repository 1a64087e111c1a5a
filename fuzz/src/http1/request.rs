//! Request heads.
//!
//! An accepted head reads the same to a plain recipient and to httparse, doesn't depend on how it arrived, and survives
//! being sent on. A refused one has what the refusal says. The parser is stricter than httparse, which takes bare LF,
//! any number of empty lines before the head, any target without controls, and knows nothing of hosts and lengths.

use std::rc::Rc;

use bytes::Bytes;
use leno_http::client;
use leno_http::h1::body::Decoder;
use leno_http::h1::parse::{Limits, Parsed, ParsedRequest, request};
use leno_http::h1::{ClientConnection, Refusal, ServerConnection};
use leno_http::head::{Connect, Framing, RequestHead, Scheme};
use leno_http::server::Config;
use leno_model::request::RequestView;

use super::peer::{Peer, now};
use super::{drops, halves, lines, meaning, naive, plain};
use crate::Outcome;

/// Bounds that inputs reach.
const TIGHT: Limits = Limits { bytes: 128, fields: 4, scheme: Scheme::Http };

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    arrives_in_any_way(data, TIGHT);
    match arrives_in_any_way(data, Limits::default()) {
        Parsed::Complete(parsed, taken) => {
            reads_the_same(&parsed, data, taken);
            httparse_agrees(&parsed.head, data, taken);
            survives_being_sent(&parsed.head);
            Outcome::Accepted
        }
        Parsed::Refused(refusal) => {
            assert!(is_excused(refusal, data), "refused without need: {refusal}");
            Outcome::Refused
        }
        Parsed::NeedMore => Outcome::Refused,
    }
}

/// The parser's result, which is that of a connection as well, whatever the pieces.
fn arrives_in_any_way(data: &[u8], limits: Limits) -> Parsed<ParsedRequest> {
    let whole = request(data, limits);
    prefixes_agree(data, &whole, limits);
    let expected = if let Parsed::Complete(parsed, _) = &whole { Some(meaning(&parsed.head)) } else { None };
    for pieces in [halves(data), drops(data)] {
        let config = Config { head_bytes: limits.bytes, head_fields: limits.fields, ..Config::default() };
        let mut connection = ServerConnection::new(Peer::new(pieces).0, Rc::new(config));
        let first = now(connection.accept()).map(|exchange| meaning(&exchange.head));
        // A request whose chunks are wrong from the start is none, if they are here with its head.
        let is_spoilt = first.is_none() && has_bad_chunks(&whole, data);
        assert!(first == expected || is_spoilt, "it matters how the bytes arrive: {first:?} {expected:?}");
    }
    whole
}

fn has_bad_chunks(whole: &Parsed<ParsedRequest>, data: &[u8]) -> bool {
    let Parsed::Complete(parsed, taken) = whole else { return false };
    let behind = Bytes::copy_from_slice(&data[*taken..]);
    parsed.head.framing() == Framing::Stream && Decoder::check_chunked(&behind).is_err()
}

/// A prefix of a head is incomplete, a refused prefix stays refused, and what follows a head changes nothing.
fn prefixes_agree(data: &[u8], whole: &Parsed<ParsedRequest>, limits: Limits) {
    let step = data.len() / 64 + 1;
    for cut in (0..data.len()).step_by(step) {
        match (request(&data[..cut], limits), whole) {
            (Parsed::NeedMore, Parsed::Complete(_, taken)) => assert!(cut < *taken, "complete at {taken}"),
            (Parsed::Complete(_, early), Parsed::Complete(_, taken)) => assert_eq!(early, *taken),
            (Parsed::NeedMore, _) | (Parsed::Refused(_), Parsed::Refused(_)) => {}
            (part, whole) => panic!("{part:?} after {cut} bytes, but in the end {whole:?}"),
        }
    }
}

/// The head is what a recipient sees that takes the lines one by one.
fn reads_the_same(parsed: &ParsedRequest, data: &[u8], taken: usize) {
    let head = &parsed.head;
    let lead = if data.starts_with(b"\r\n") { 2 } else { 0 };
    let read = naive::head(&data[lead..]).expect("an accepted head is one");
    assert_eq!(read.len, taken - lead, "the head ends elsewhere");
    let [method, target, version] = &read.first;
    assert_eq!((head.method(), head.version().as_str()), (method.as_str(), version.as_str()));

    let hosts: Vec<&[u8]> = read.all("host").collect();
    assert!(hosts.len() <= 1, "several hosts");
    if let (Some(host), false) = (hosts.first(), head.authority().is_empty()) {
        assert!(host.eq_ignore_ascii_case(head.authority().as_bytes()), "another host than said");
    }
    match head.connect() {
        Connect::Connect => assert_eq!((target.as_str(), head.target()), (head.authority(), "")),
        _ if target.starts_with('/') || target == "*" => assert_eq!(head.target(), target),
        _ => {
            let rest = target.split_once("://").expect("the absolute form").1;
            let path = rest.strip_prefix(head.authority()).expect("the authority");
            let is_same = head.target() == path
                || head.target() == format!("/{path}")
                || (path.is_empty() && head.target() == "*");
            assert!(is_same, "{} instead of {path}", head.target());
        }
    }

    let is_connect = *head.connect() == Connect::Connect;
    let framing = match read.framing() {
        naive::Framing::Chunked => Framing::Stream,
        naive::Framing::Length(_) if is_connect => Framing::None,
        naive::Framing::Length(length) => Framing::Length(length as u64),
        naive::Framing::Unsaid => Framing::None,
        naive::Framing::Unclear => panic!("the framing is unclear"),
    };
    assert_eq!(head.framing(), framing);
    let mut fields = read.end_to_end();
    if !head.expects_continue() {
        fields.retain(|(name, _)| name != "expect");
    }
    assert_eq!(lines(head.fields()), fields);
    let options = read.options();
    let has = |option: &str| options.iter().any(|own| own == option);
    let stays = !has("close") && (version == "HTTP/1.1" || has("keep-alive"));
    assert_eq!(parsed.persistent, stays);
}

fn httparse_agrees(head: &RequestHead, data: &[u8], taken: usize) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut theirs = httparse::Request::new(&mut fields);
    assert_eq!(theirs.parse(data), Ok(httparse::Status::Complete(taken)), "httparse sees another head");
    assert_eq!(theirs.method, Some(head.method()));
    if head.target().starts_with('/') {
        assert!(theirs.path.is_some_and(|path| path.ends_with(head.target().trim_start_matches('/'))));
    }
    for (name, value) in lines(head.fields()) {
        let is_this =
            |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(&name) && field.value == value;
        assert!(theirs.headers.iter().any(|field| is_this(&field)), "httparse sees no {name}");
    }
}

/// What is sent on is one head with the same meaning, and nothing else.
fn survives_being_sent(head: &RequestHead) {
    let (peer, written) = Peer::new([]);
    let mut connection = ClientConnection::new(peer, &client::Config::default());
    let (_outgoing, mut response) = connection.send(head).expect("a fresh connection takes a request");
    assert!(now(response.head()).is_err(), "nobody answers");
    let sent = written.take();
    // HTTP/1.0 knows requests without a host; HTTP/1.1 needs the empty one that is written for them.
    if head.authority().is_empty() {
        return;
    }
    match request(&sent, Limits::default()) {
        Parsed::Complete(again, taken) => {
            assert_eq!(taken, sent.len(), "more than a head was sent");
            assert_eq!(meaning(&again.head), meaning(head));
            assert_eq!(plain(again.head.framing()), plain(head.framing()));
        }
        // What the codec writes itself may be longer than what it replaces.
        Parsed::Refused(Refusal::HeadTooLarge | Refusal::TooManyFields) => {}
        other => panic!("what was sent is {other:?}: {}", sent.escape_ascii()),
    }
}

/// Whether the input has what the refusal says, as far as that can be told without parsing.
fn is_excused(refusal: Refusal, data: &[u8]) -> bool {
    let lower = data.to_ascii_lowercase();
    let count = |text: &str| lower.windows(text.len()).filter(|part| *part == text.as_bytes()).count();
    let has = |text: &str| count(text) > 0;
    match refusal {
        Refusal::BareLf => (0..data.len()).any(|at| data[at] == b'\n' && (at == 0 || data[at - 1] != b'\r')),
        Refusal::BareCr => data.windows(2).any(|two| two[0] == b'\r' && two[1] != b'\n'),
        Refusal::Control => data.iter().any(|b| b.is_ascii_control() && !b"\r\n\t".contains(b)),
        Refusal::HeadTooLarge => data.len() >= leno_http::limits::HEAD_BYTES,
        Refusal::TooManyFields => {
            count("\r\n") > leno_http::limits::HEAD_FIELDS
                || count(",") >= leno_http::limits::CONNECTION_OPTIONS
        }
        Refusal::Fold => has("\r\n ") || has("\r\n\t"),
        Refusal::HostMissing => data.windows(4).any(|four| four == b"\r\n\r\n"),
        Refusal::HostRepeated => count("\r\nhost:") > 1,
        Refusal::HostInvalid => has("\r\nhost:") || has("://"),
        Refusal::HostMismatch => has("\r\nhost:"),
        Refusal::LengthRepeated => count("\r\ncontent-length:") > 1,
        Refusal::LengthInvalid => has("\r\ncontent-length:"),
        Refusal::LengthAndEncoding => has("\r\ncontent-length:") && has("\r\ntransfer-encoding:"),
        Refusal::Encoding => {
            has("\r\ntransfer-encoding:")
                && (count("\r\ntransfer-encoding:") > 1 || !has("\r\ntransfer-encoding: chunked\r\n"))
        }
        Refusal::EncodingInHttp10 => has("http/1.0\r\n") && has("\r\ntransfer-encoding:"),
        Refusal::ConnectionOption => has("\r\nconnection:"),
        Refusal::Expectation => has("\r\nexpect:"),
        Refusal::ConnectBody => has("connect "),
        Refusal::Version => has("http/") || has("pri "),
        Refusal::BlankBeforeColon | Refusal::FieldName => has("\r\n"),
        Refusal::RequestLine | Refusal::Method | Refusal::Target => !data.is_empty(),
        _ => false,
    }
}
