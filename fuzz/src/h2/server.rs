//! A client's whole connection, as our server reads and answers it.
//!
//! What is accepted doesn't depend on how the bytes arrive, is what a plain recipient sees, and survives being written by
//! either version and read again. Every exchange ends with its connection, whatever the application does and however
//! slowly the client reads; what is answered is well-formed and stays within the client's windows; a broken rule ends the
//! connection by a farewell that says so.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use leno_http::budget::Budget;
use leno_http::exchange::{Exchange, Frame, Incoming, Outgoing, Reply};
use leno_http::h2::{ServerConnection, Settings};
use leno_http::head::{Connect, Framing, RequestHead, ResponseHead};
use leno_http::limits::{H2_FRAME, H2_QUEUE};
use leno_http::relay;
use leno_http::server::{BrokenStream, Config, Tell};
use leno_model::failure::Failure;
use leno_model::request::RequestView;

use super::naive::{self, Fields, Raw, Said, Talk};
use super::sides::{Gate, Socket, Tasks, Writes, accepted, sent_by_http2};
use super::{cuts, spoken};
use crate::Outcome;
use crate::http1::relay::{is_one_message, sent};
use crate::http1::{lines, meaning, naive as http1, plain};

/// Answers are given as soon as requests come; otherwise when everything has come.
const EAGER: u8 = 2;
/// Windows, heads and memory have bounds that inputs reach.
const SMALL: u8 = 4;
/// The client reads in small pieces.
const NARROW: u8 = 8;
/// The client doesn't read until nothing else moves.
const BLOCKED: u8 = 16;

/// What the client says before its settings.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the budget of a small server has.
const MEMORY: usize = 20_000;

/// Bytes that an application gives at once.
const CHUNK: usize = 10_000;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Some((&switches, input)) = data.split_first() else { return Outcome::Refused };
    let bytes = spoken(switches, PREFACE, input);
    let asked = naive::read(bytes.strip_prefix(PREFACE).unwrap_or_default(), |_, _| {});
    let [whole, others @ ..] = cuts(&bytes).map(|pieces| serve(pieces, switches));
    let is_slow = switches & (NARROW | BLOCKED) != 0;
    for served in others.iter().chain([&whole]) {
        is_what_was_asked(served, &asked);
        is_well_answered(served, &asked, is_slow);
    }
    if switches & (EAGER | SMALL | BLOCKED) == 0 {
        others.iter().for_each(|served| served.agrees(&whole, &asked));
    }
    whole.requests.iter().take(3).for_each(survives);
    Outcome::accepted_if(whole.requests.iter().any(|request| request.is_complete))
}

/// A request as an application got it.
struct Request {
    head: RequestHead,
    data: Vec<u8>,
    trailers: usize,
    is_complete: bool,
}

/// What became of a connection.
#[derive(Default)]
struct Served {
    requests: Vec<Request>,
    /// The rule that ended it.
    broken: Option<&'static str>,
    /// Rules that were broken on streams.
    strays: Vec<&'static str>,
    written: Vec<u8>,
}

impl Served {
    /// Whether that is the same. What is taken back, or lost with its connection, may have been seen before or not.
    fn agrees(&self, whole: &Self, asked: &Talk) {
        if self.is_too_often() || whole.is_too_often() {
            return;
        }
        assert_eq!(self.broken, whole.broken, "it matters how the bytes arrive");
        assert_eq!(self.strays, whole.strays, "it matters how the bytes arrive");
        let is_cut = whole.broken.is_some()
            || !whole.strays.is_empty()
            || asked.streams.iter().any(|said| said.is_reset);
        let told = |served: &Self| {
            let complete = served.requests.iter().filter(|request| request.is_complete);
            complete
                .map(|one| format!("{:?} {:?} {}", meaning(&one.head), one.data, one.trailers))
                .collect::<Vec<_>>()
        };
        let (own, other) = (told(self), told(whole));
        assert!(is_cut || own == other, "it matters how the bytes arrive: {own:?} {other:?}");
        assert!(other.iter().all(|request| own.contains(request)), "{own:?} {other:?}");
    }

    /// Limits of how often something may be done depend on the time.
    fn is_too_often(&self) -> bool {
        self.broken.is_some_and(|rule| rule.starts_with("too many"))
    }
}

fn config(switches: u8, strays: Rc<RefCell<Vec<&'static str>>>) -> (Config, Option<Budget>) {
    let tell = Tell::by(move |broken: &BrokenStream| strays.borrow_mut().push(broken.rule));
    let config = Config { broken_streams: Some(tell), ..Config::default() };
    if switches & SMALL == 0 {
        return (config, None);
    }
    let h2 = Settings {
        streams: 3,
        stream_window: 1000,
        connection_window: 65_535,
        grown_window: 65_535,
        ..Settings::default()
    };
    let budget = Budget::new(MEMORY);
    (Config { head_bytes: 512, head_fields: 8, h2, budget: Some(budget.clone()), ..config }, Some(budget))
}

/// Serves a client who says so much, then nothing, and then goes.
fn serve(pieces: Vec<Bytes>, switches: u8) -> Served {
    let how = match switches {
        _ if switches & BLOCKED != 0 => Writes::Blocked,
        _ if switches & NARROW != 0 => Writes::Narrow,
        _ => Writes::All,
    };
    let (socket, tasks, strays) = (Socket::new(pieces, how), Tasks::default(), Rc::default());
    let (config, budget) = config(switches, Rc::clone(&strays));
    let is_eager = switches & EAGER != 0;
    let app = App { is_eager, gate: Gate::default(), requests: Rc::default(), given: Rc::default() };
    if is_eager {
        app.gate.open();
    }
    let broken = Rc::new(Cell::new(None));
    let mut connection = ServerConnection::new(Box::new(socket.clone()), Rc::new(config));
    tasks.begin({
        let (app, tasks, broken) = (app.clone(), tasks.clone(), Rc::clone(&broken));
        async move {
            while let Some(exchange) = connection.accept().await {
                tasks.begin(app.clone().serve(exchange));
            }
            broken.set(connection.broken());
        }
    });
    tasks.settle();
    if how == Writes::Blocked {
        let most = H2_QUEUE + app.requests.borrow().len() * CHUNK + H2_FRAME as usize;
        assert!(app.given.get() <= most, "{} bytes are queued", app.given.get());
        socket.unblock();
        tasks.settle();
    }
    app.gate.open();
    tasks.settle();
    socket.close();
    assert_eq!(tasks.settle(), 0, "everything ends with its connection");
    assert!(budget.is_none_or(|budget| budget.used() == 0), "memory is given back");
    let requests = app.requests.take().into_iter().map(|request| request.take().expect("noted")).collect();
    Served { requests, broken: broken.get(), strays: strays.take(), written: socket.written() }
}

type Place = Rc<RefCell<Option<Request>>>;

#[derive(Clone)]
struct App {
    is_eager: bool,
    gate: Gate,
    requests: Rc<RefCell<Vec<Place>>>,
    /// Bytes of answers so far.
    given: Rc<Cell<usize>>,
}

impl App {
    /// Does with each request something else. One that isn't eager first reads everything that comes.
    async fn serve(self, exchange: Exchange) {
        let Exchange { head, body, reply } = exchange;
        let place = Place::default();
        let nth = self.requests.borrow().len();
        self.requests.borrow_mut().push(Rc::clone(&place));
        let request = Request { head, data: Vec::new(), trailers: 0, is_complete: false };
        let is_tunnel = *request.head.connect() != Connect::None;
        match nth % 5 {
            // Without its body being read.
            1 if self.is_eager => {
                *place.borrow_mut() = Some(request);
                self.gate.opened().await;
                self.stream(reply, nth).await;
                drop(body);
            }
            2 if self.is_eager && is_tunnel => {
                *place.borrow_mut() = Some(request);
                self.gate.opened().await;
                let (mut body, mut outgoing) = (body, reply.head(ResponseHead::new(StatusCode::OK)));
                let _end = relay::body(&mut body, &mut outgoing, &relay::Tally::default()).await;
            }
            kind => {
                *place.borrow_mut() = Some(read(request, body).await);
                self.gate.opened().await;
                match kind {
                    0 => reply.whole(ResponseHead::new(StatusCode::OK), Bytes::from_static(b"hello")),
                    2 => self.hint(reply).await,
                    3 => reply.abort(Failure::Internal),
                    _ => self.stream(reply, nth).await,
                }
            }
        }
    }

    async fn hint(&self, mut reply: Reply) {
        for _ in 0..2 {
            if reply.informational(&ResponseHead::new(StatusCode::EARLY_HINTS)).await.is_err() {
                return;
            }
        }
        reply.whole(ResponseHead::new(StatusCode::NO_CONTENT), Bytes::new());
    }

    /// Much more than is queued, and trailers.
    async fn stream(&self, reply: Reply, nth: usize) {
        let mut head = ResponseHead::new(StatusCode::OK);
        let chunks = 40;
        head.set_framing(if nth.is_multiple_of(2) {
            Framing::Stream
        } else {
            Framing::Length((chunks * CHUNK) as u64)
        });
        let mut outgoing = reply.head(head);
        for _ in 0..chunks {
            if !self.give(&mut outgoing).await {
                return;
            }
        }
        outgoing.trailers(HeaderMap::from_iter([(
            "x-sum".parse().expect("a name"),
            "1".parse().expect("a value"),
        )]));
    }

    async fn give(&self, outgoing: &mut Outgoing) -> bool {
        let is_given = !outgoing.is_finished()
            && outgoing.ready().await.is_ok()
            && outgoing.data(Bytes::from_static(&[b'x'; CHUNK])).is_ok();
        self.given.set(self.given.get() + if is_given { CHUNK } else { 0 });
        is_given
    }
}

async fn read(mut request: Request, mut body: Incoming) -> Request {
    loop {
        match body.frame().await {
            Frame::Data(data) => request.data.extend_from_slice(&data),
            Frame::Trailers(trailers) => request.trailers += trailers.len(),
            Frame::End => {
                request.is_complete = true;
                return request;
            }
            Frame::Abort(_) => return request,
        }
    }
}

/// The requests are those that a plain recipient of the client's bytes sees, as far as they were accepted.
fn is_what_was_asked(served: &Served, asked: &Talk) {
    let mut streams = asked.streams.iter();
    for request in &served.requests {
        let is_it = |said: &&Said| said.heads.first().is_some_and(|fields| is_head(&request.head, fields));
        let said =
            streams.find(is_it).unwrap_or_else(|| panic!("nobody asked: {:?}", meaning(&request.head)));
        if request.is_complete {
            assert!(said.has_ended, "a body lost its end");
            assert_eq!(request.data, said.data);
            if let (Framing::Length(length), Connect::None) = (request.head.framing(), request.head.connect())
            {
                assert_eq!(length, request.data.len() as u64, "a body of another length");
            }
        }
    }
}

fn is_head(head: &RequestHead, fields: &Fields) -> bool {
    let one = |wanted: &str| {
        let mut values = fields.iter().filter(|(name, ..)| name == wanted.as_bytes());
        let first = values.next().map(|(_, value, _)| value.as_slice());
        // Nobody is to choose among several.
        first.filter(|_| values.next().is_none())
    };
    let is_method = one(":method") == Some(head.method_ref().as_str().as_bytes());
    let authority = one(":authority").or_else(|| one("host"));
    const PSEUDO: [&[u8]; 5] = [b":authority", b":method", b":path", b":protocol", b":scheme"];
    let is_known =
        fields.iter().all(|(name, ..)| !name.starts_with(b":") || PSEUDO.contains(&name.as_slice()));
    let is_same = is_method
        && is_known
        && one(":scheme").is_some() == (*head.connect() != Connect::Connect)
        && authority == Some(head.authority().as_bytes())
        && one(":path").unwrap_or_default() == head.target().as_bytes();
    if !is_same {
        return false;
    }
    let cookies: Vec<&[u8]> =
        fields.iter().filter(|(name, ..)| name == b"cookie").map(|(_, value, _)| &**value).collect();
    let crumbs: Vec<&[u8]> = cookies.iter().copied().filter(|crumb| !crumb.is_empty()).collect();
    let is_kept = |name: &[u8]| {
        let is_own: &[&[u8]] = &[b"content-length", b"cookie", b"host", b"http2-settings", b"te"];
        let is_moot = name == b"expect" && !head.expects_continue();
        !name.starts_with(b":") && !is_own.contains(&name) && !is_moot
    };
    let others = fields.iter().filter(|(name, ..)| is_kept(name));
    let others: Vec<_> = others.map(|(name, value, _)| (name.as_slice(), value.as_slice())).collect();
    let lines = lines(head.fields());
    let own: Vec<_> = lines.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
    let own_others: Vec<_> = own.iter().copied().filter(|(name, _)| *name != b"cookie").collect();
    let cookie: Vec<&[u8]> =
        own.iter().filter(|(name, _)| *name == b"cookie").map(|(_, value)| *value).collect();
    let is_cookie = if cookies.len() < 2 { cookie == cookies } else { cookie == [crumbs.join(&b"; "[..])] };
    own_others == others && is_cookie && others.iter().all(|(name, value)| is_clean(name, value))
}

/// Whether the field can't be read as another, or as more than one.
pub(super) fn is_clean(name: &[u8], value: &[u8]) -> bool {
    const OF_CONNECTION: [&[u8]; 5] =
        [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];
    let is_token = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(b);
    !name.is_empty()
        && name.iter().all(is_token)
        && !OF_CONNECTION.contains(&name)
        && !value.iter().any(|b| b"\r\n\0".contains(b))
        && ![value.first(), value.last()].into_iter().flatten().any(|b| b" \t".contains(b))
}

/// What was answered is well-formed, and no more than the client allows. Who breaks a rule and `is_slow` to read isn't
/// waited for.
fn is_well_answered(served: &Served, asked: &Talk, is_slow: bool) {
    let mut open = None;
    let mut kinds = Vec::new();
    let told = naive::read(&served.written, |told, frame| {
        follows(told, frame, &mut open);
        kinds.push(frame.kind);
    });
    assert!(kinds.first().is_none_or(|kind| *kind == 4), "SETTINGS first");
    let codes = told.farewells.iter().filter(|code| **code != 0).count();
    if served.broken.is_none() || !is_slow {
        assert_eq!((told.rest, open), (0, None), "everything that was said is whole");
        assert_eq!(codes, usize::from(served.broken.is_some()), "{:?}", served.broken);
        assert!(served.broken.is_none() || told.ends_by_farewell, "something behind the farewell");
    }
    let initial = asked.settings.iter().filter(|(id, _)| *id == 4).map(|(_, value)| u64::from(*value));
    let initial = initial.max().unwrap_or_default().max(65_535);
    let mut sum = 0;
    for said in &told.streams {
        sum += said.data.len() as u64;
        let raised = asked.streams.iter().find(|own| own.id == said.id).map_or(0, |own| own.raised);
        assert!(said.data.len() as u64 <= initial + raised, "more than the window of {}", said.id);
        is_answer(said);
    }
    assert!(sum <= 65_535 + asked.raised, "more than the connection's window");
}

/// A frame comes only where it may.
pub(super) fn follows(told: &mut Talk, frame: &Raw<'_>, open: &mut Option<u32>) {
    assert!(frame.payload.len() <= H2_FRAME as usize && matches!(frame.kind, 0 | 1 | 3 | 4 | 6..=9));
    match open.take() {
        Some(stream) => assert_eq!((frame.kind, frame.stream), (9, stream), "inside of a header block"),
        None => assert_ne!(frame.kind, 9, "nothing is continued"),
    }
    if matches!(frame.kind, 1 | 9) && !frame.has(4) {
        *open = Some(frame.stream);
    }
    match frame.kind {
        4 | 6 | 7 => assert_eq!(frame.stream, 0),
        8 => {}
        _ => assert_ne!(frame.stream, 0),
    }
    if matches!(frame.kind, 0 | 1) {
        let said = told.stream(frame.stream);
        assert!(!said.has_ended && !said.is_reset, "more on {}", frame.stream);
        assert!(frame.kind != 0 || is_final(said), "a body before its head");
    }
}

pub(super) fn status(fields: &Fields) -> Option<u16> {
    let (_, value, _) = fields.iter().find(|(name, ..)| name == b":status")?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn is_final(said: &Said) -> bool {
    said.heads.iter().filter_map(status).any(|status| status >= 200)
}

/// Interim heads, the final one, and trailers at the end.
fn is_answer(said: &Said) {
    let statuses: Vec<Option<u16>> = said.heads.iter().map(status).collect();
    let at = statuses.iter().position(|status| status.is_some_and(|status| status >= 200));
    let interim = &statuses[..at.unwrap_or(statuses.len())];
    assert!(interim.iter().all(|status| status.is_some_and(|status| (100..200).contains(&status))));
    let behind = at.map_or(&[][..], |at| &statuses[at + 1..]);
    assert!(behind.is_empty() || (behind == [None] && said.has_ended), "{statuses:?}");
    for (name, value, _) in said.heads.iter().flatten() {
        assert!(name == b":status" || is_clean(name, value), "{}", name.escape_ascii());
    }
    let length = at.and_then(|at| said.heads[at].iter().find(|(name, ..)| name == b"content-length"));
    if let (Some((_, length, _)), true) = (length, said.has_ended && !said.data.is_empty()) {
        assert_eq!(*length, said.data.len().to_string().into_bytes(), "a body of another length");
    }
}

/// Written by either version and read again, it is the same.
fn survives(request: &Request) {
    let head = &request.head;
    // What has no place in a URI is encoded on its way, and what the codec adds itself may be too much.
    let is_odd = head.target().bytes().any(|byte| b"\"<>`".contains(&byte));
    if is_odd || head.fields().size() > 40_000 || head.fields().iter().count() > 90 {
        return;
    }
    // As a server gets it to whom our client sends it.
    let again = accepted(sent_by_http2(head));
    assert_eq!(meaning(&again), meaning(head));
    assert_eq!(plain(again.framing()), plain(head.framing()));
    if *head.connect() == Connect::None && request.is_complete {
        let sent = sent(head.clone(), Incoming::whole(Bytes::copy_from_slice(&request.data)));
        assert!(sent.is_complete, "what came whole can be sent whole");
        is_one_message(&sent);
        let read = http1::head(&sent.bytes).expect("a head");
        let fields: Vec<_> = read.end_to_end().into_iter().filter(|(name, _)| name != "expect").collect();
        let own: Vec<_> = lines(head.fields()).into_iter().filter(|(name, _)| name != "expect").collect();
        assert_eq!(fields, own);
    }
}
