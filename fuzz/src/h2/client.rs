//! A server's whole connection, as our client reads it that has sent a request of each kind.
//!
//! What arrives doesn't depend on how the bytes do, is what a plain recipient sees, and survives being passed on by either
//! version. Every exchange ends with its connection.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::Method;
use leno_http::client::Config;
use leno_http::exchange::{Answer, Frame, Outgoing, Response};
use leno_http::h1::parse::Asked;
use leno_http::h2::{ClientConnection, ServerConnection};
use leno_http::head::{Framing, RequestHead, ResponseHead, Scheme};
use leno_http::limits::INFORMATIONAL;
use leno_testkit::frames;

use super::naive::{self, Talk};
use super::server::{PREFACE, follows, is_clean, status};
use super::sides::{Socket, Tasks, Writes, accepted, sent_by_http2};
use super::{cuts, spoken};
use crate::Outcome;
use crate::http1::response::survives_being_passed_on;
use crate::http1::{Lines, lines, plain};

/// The server reads in small pieces.
const NARROW: u8 = 2;
/// Heads have bounds that inputs reach.
const SMALL: u8 = 4;

/// The requests, on streams 1, 3, 5 and 7, and how HTTP/1 writes them.
const REQUESTS: [(Method, &[u8], Asked); 4] = [
    (Method::GET, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", Asked::Plain),
    (Method::HEAD, b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", Asked::Head),
    (Method::POST, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", Asked::Plain),
    (Method::CONNECT, b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", Asked::Connect),
];

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Some((&switches, input)) = data.split_first() else { return Outcome::Refused };
    let bytes = spoken(switches, b"", input);
    let told = naive::read(&bytes, |_, _| {});
    let [whole, others @ ..] = cuts(&bytes).map(|pieces| ask(pieces, switches));
    for asked in &others {
        assert_eq!(asked.answers, whole.answers, "it matters how the bytes arrive");
    }
    for asked in others.iter().chain([&whole]) {
        is_well_asked(asked, switches & NARROW != 0);
    }
    let answers = whole.answers.iter().zip(&REQUESTS).zip([1, 3, 5, 7]);
    for ((answer, (method, request, asked)), id) in answers {
        is_what_was_told(answer, &told, id, *method == Method::HEAD);
        for head in answer.heads.iter().take(3) {
            passes_on(head, method, request, *asked);
        }
    }
    Outcome::accepted_if(whole.answers.iter().any(|answer| answer.is_complete))
}

/// What came on one stream.
#[derive(Default)]
struct Got {
    heads: Vec<ResponseHead>,
    data: Vec<u8>,
    trailers: Lines,
    is_complete: bool,
}

impl Got {
    fn told(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let heads = self.heads.iter().map(|head| (head.status(), lines(head.fields()), head.framing()));
        (heads.collect::<Vec<_>>(), self.data.clone(), self.trailers.clone(), self.is_complete)
    }
}

impl PartialEq for Got {
    fn eq(&self, other: &Self) -> bool {
        self.told() == other.told()
    }
}

impl std::fmt::Debug for Got {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.told().fmt(f)
    }
}

struct Done {
    answers: Vec<Got>,
    written: Vec<u8>,
}

fn request(method: &Method) -> RequestHead {
    if *method == Method::CONNECT {
        let fields: [(&[u8], &[u8]); 2] = [(b":method", b"CONNECT"), (b":authority", b"a:1")];
        let head =
            frames::Frame { kind: frames::HEADERS, flags: 4, stream: 1, payload: frames::block(&fields) };
        return accepted([frames::PREFACE, &head.bytes()].concat().into());
    }
    let mut head = RequestHead::new(method.clone(), Scheme::Http, "a", "/").expect("a head");
    if *method == Method::POST {
        head.set_framing(Framing::Stream);
    }
    head
}

/// Sends the requests to a server who says so much, then nothing, and then goes.
fn ask(pieces: Vec<Bytes>, switches: u8) -> Done {
    let how = if switches & NARROW == 0 { Writes::All } else { Writes::Narrow };
    let (socket, tasks) = (Socket::new(pieces, how), Tasks::default());
    let config = if switches & SMALL == 0 {
        Config::default()
    } else {
        Config { head_bytes: 512, head_fields: 8, ..Config::default() }
    };
    let (connection, driver) = ClientConnection::new(Box::new(socket.clone()), &config);
    let answers: Vec<Rc<RefCell<Got>>> = REQUESTS.iter().map(|_| Rc::default()).collect();
    for ((method, ..), got) in REQUESTS.iter().zip(&answers) {
        let (mut connection, got, head) = (connection.clone(), Rc::clone(got), request(method));
        tasks.begin(async move {
            let Ok((outgoing, response)) = connection.send(&head).await else { return };
            hear(outgoing, response, &got).await;
        });
    }
    drop(connection);
    // The requests go first: a server can answer none that it doesn't know.
    tasks.begin(driver);
    tasks.settle();
    socket.close();
    assert_eq!(tasks.settle(), 0, "everything ends with its connection");
    Done { answers: answers.into_iter().map(|got| got.take()).collect(), written: socket.written() }
}

async fn hear(mut outgoing: Outgoing, mut response: Response, got: &RefCell<Got>) {
    if !outgoing.is_finished() {
        let _given = outgoing.data(Bytes::from_static(b"something"));
    }
    let mut body = loop {
        match response.head().await {
            Ok(Answer::Informational(head)) => got.borrow_mut().heads.push(head),
            Ok(Answer::Final(head, body)) => {
                got.borrow_mut().heads.push(head);
                break body;
            }
            Err(_) => return,
        }
    };
    loop {
        let frame = body.frame().await;
        let mut got = got.borrow_mut();
        match frame {
            Frame::Data(data) => got.data.extend_from_slice(&data),
            Frame::Trailers(map) => {
                let fields =
                    map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
                got.trailers = fields.collect();
            }
            Frame::End => {
                got.is_complete = true;
                return;
            }
            Frame::Abort(_) => return,
        }
    }
}

/// What was sent is well-formed, and a broken rule is the end of it.
fn is_well_asked(done: &Done, is_slow: bool) {
    let written = done.written.strip_prefix(PREFACE).expect("the preface first");
    let mut open = None;
    let told = naive::read(written, |told, frame| {
        // A request has no head before which a body couldn't come.
        if frame.kind == 0 {
            assert!(!told.stream(frame.stream).heads.is_empty(), "a body before its head");
        } else {
            follows(told, frame, &mut open);
        }
    });
    let is_broken = told.farewells.iter().any(|code| *code != 0);
    assert!(is_slow || (told.rest, open) == (0, None), "everything that was said is whole");
    assert!(!is_broken || told.ends_by_farewell, "something behind the farewell");
}

/// The answer is that of a plain recipient.
fn is_what_was_told(got: &Got, told: &Talk, id: u32, is_head: bool) {
    if got.heads.is_empty() {
        return;
    }
    let said = told.streams.iter().find(|said| said.id == id).expect("somebody answered");
    assert!(got.heads.len() <= INFORMATIONAL + 1, "interim heads without end");
    for (head, fields) in got.heads.iter().zip(&said.heads) {
        assert_eq!(status(fields), Some(head.status().as_u16()));
        let others = fields.iter().filter(|(name, ..)| {
            let is_own: [&[u8]; 6] =
                [b"content-length", b"cookie", b"host", b"http2-settings", b"te", b"expect"];
            !name.starts_with(b":") && !is_own.contains(&name.as_slice())
        });
        let others: Lines = others
            .map(|(name, value, _)| (String::from_utf8_lossy(name).into_owned(), value.clone()))
            .collect();
        let own: Lines = lines(head.fields())
            .into_iter()
            .filter(|(name, _)| name != "cookie" && name != "expect")
            .collect();
        assert_eq!(own, others);
        assert!(others.iter().all(|(name, value)| is_clean(name.as_bytes(), value)));
    }
    assert!(got.heads.len() <= said.heads.len() && said.data.starts_with(&got.data), "what nobody said");
    if got.is_complete {
        assert!(said.has_ended, "an answer lost its end");
        assert_eq!(got.data, said.data);
        let last = got.heads.last().map(ResponseHead::framing);
        if let (Some(Framing::Length(length)), false) = (last, is_head || id == 7) {
            let never = got.heads.last().is_some_and(|head| matches!(head.status().as_u16(), 204 | 304));
            assert!(never || length == got.data.len() as u64, "a body of another length");
        }
    }
}

/// What a client gets is a head with the same meaning.
fn passes_on(head: &ResponseHead, method: &Method, request: &'static [u8], asked: Asked) {
    // What the codec adds itself may be too much.
    if head.fields().size() > 40_000 || head.fields().iter().count() > 90 {
        return;
    }
    survives_being_passed_on(head, request, asked);
    let again = by_http2(head, method);
    assert_eq!((again.status(), lines(again.fields())), (head.status(), lines(head.fields())));
    let never = *method == Method::HEAD || matches!(head.status().as_u16(), 204 | 304);
    assert!(never || head.is_informational() || plain(again.framing()) == plain(head.framing()));
}

/// The head as our client gets it of our server.
fn by_http2(head: &ResponseHead, method: &Method) -> ResponseHead {
    let to_client = Socket::new(vec![sent_by_http2(&request(method))], Writes::All);
    let tasks = Tasks::default();
    let mut connection = ServerConnection::new(Box::new(to_client.clone()), Rc::default());
    let answer = head.clone();
    tasks.begin(async move {
        let mut exchange = connection.accept().await.expect("what our client sends is taken");
        if answer.is_informational() {
            let _given = exchange.reply.informational(&answer).await;
            connection.accept().await;
        } else {
            let outgoing = exchange.reply.head(answer);
            connection.accept().await;
            drop(outgoing);
        }
    });
    tasks.settle();
    let got = ask_one(to_client.written().into(), method);
    got.heads.into_iter().next().expect("what our server sends is taken")
}

fn ask_one(answer: Bytes, method: &Method) -> Got {
    let (socket, tasks) = (Socket::new(vec![answer], Writes::All), Tasks::default());
    let (mut connection, driver) = ClientConnection::new(Box::new(socket.clone()), &Config::default());
    let (got, head) = (Rc::new(RefCell::new(Got::default())), request(method));
    let place = Rc::clone(&got);
    tasks.begin(async move {
        let (outgoing, response) = connection.send(&head).await.expect("a fresh connection takes a request");
        hear(outgoing, response, &place).await;
    });
    tasks.begin(driver);
    tasks.settle();
    socket.close();
    tasks.settle();
    got.take()
}
