//! A client whose server is raw bytes, and what a case makes of it.

use std::time::Duration;

use http::Method;
use leno_http::client::Config;
use leno_http::exchange::{Answer, Outgoing, Response};
use leno_http::h2::ClientConnection;
use leno_http::head::{Framing, RequestHead, Scheme};
use leno_model::failure::Failure;
use tokio::io::duplex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::hpack::block;
use super::server::{error_of, reset_of, take};
use super::wire::{
    Frame, PREFACE, Peer, SILENCE, WINDOW, code, flag, headers, kind, setting, settings, settings_ack,
};
use super::{Steps, run};
use crate::support::local;

pub(super) struct Client {
    /// The server.
    pub(super) peer: Peer,
    pub(super) connection: ClientConnection,
    /// The settings that the client has sent.
    pub(super) settings: Vec<(u16, u32)>,
    /// The window of the connection that the client has granted.
    pub(super) window: usize,
    driver: JoinHandle<()>,
}

impl Client {
    /// The client has sent its preface; the server nothing.
    pub(super) async fn dial(config: Config) -> Self {
        Self::dial_in(1 << 21, config).await
    }

    /// The same over sockets that hold so many bytes.
    pub(super) async fn dial_in(room: usize, config: Config) -> Self {
        let (ours, theirs) = duplex(room);
        let (connection, driver) = ClientConnection::new(Box::new(theirs), &config);
        let driver = local(driver);
        let mut peer = Peer::new(ours);
        assert_eq!(peer.bytes(PREFACE.len()).await, PREFACE);
        let frames = peer.rest().await;
        let first = frames.first().expect("settings");
        assert!(first.is(kind::SETTINGS, 0) && !first.has(flag::ACK), "SETTINGS first (RFC 9113 §3.4)");
        let grown = frames[1..].iter().map(|frame| {
            assert!(frame.is(kind::WINDOW_UPDATE, 0), "{frame:?}");
            usize::try_from(frame.number(0)).expect("a window")
        });
        let window = WINDOW + grown.sum::<usize>();
        Self { peer, connection, settings: first.settings(), window, driver }
    }

    /// With the prefaces exchanged.
    pub(super) async fn open() -> Self {
        Self::open_with(&[]).await
    }

    pub(super) async fn open_with(values: &[(u16, u32)]) -> Self {
        let mut client = Self::dial(Config::default()).await;
        client.peer.send(&[settings(values), settings_ack()].concat()).await;
        let frames = client.peer.rest().await;
        assert!(
            frames.len() == 1 && frames[0].is(kind::SETTINGS, 0) && frames[0].has(flag::ACK),
            "{frames:?}"
        );
        client
    }

    /// The window that the client gives each stream.
    pub(super) fn stream_window(&self) -> usize {
        let value = self.settings.iter().find(|(id, _)| *id == setting::INITIAL_WINDOW_SIZE);
        value.map_or(WINDOW, |(_, value)| usize::try_from(*value).expect("a window"))
    }

    /// Sends a request that is taken at once.
    pub(super) async fn ask(&mut self, head: &RequestHead) -> (Outgoing, Response) {
        timeout(SILENCE, self.connection.send(head)).await.expect("at once").expect("sent")
    }

    pub(super) async fn get(&mut self) -> Response {
        self.ask(&head(Method::GET, Framing::None)).await.1
    }

    /// The frames of a request that was sent.
    pub(super) async fn heard(&mut self, stream: u32) -> Frame {
        self.peer.expect(kind::HEADERS, stream).await
    }

    /// A further exchange works; all frames that came.
    pub(super) async fn probe(&mut self, stream: u32) -> Vec<Frame> {
        let mut response = self.get().await;
        let frames = self.peer.rest().await;
        assert!(frames.iter().any(|frame| frame.is(kind::HEADERS, stream)), "a request: {frames:?}");
        self.peer.send(&answer(stream, 204, flag::END_STREAM)).await;
        assert_eq!(outcome(&mut response).await, Ok((204, 0, 0)), "{frames:?}");
        frames
    }

    /// Drops what is left; panics unless the connection ends.
    pub(super) async fn end(self) {
        let Self { mut peer, connection, driver, .. } = self;
        drop(connection);
        peer.close().await;
        let drained = async { while peer.next().await.is_some() {} };
        let (ended, ()) = tokio::join!(timeout(Duration::from_secs(30), driver), drained);
        ended.expect("the connection ends").expect("no panic");
    }
}

impl Client {
    /// Drops what is left but the server, which does nothing; panics unless the connection ends.
    pub(super) async fn abandon(self) {
        let Self { peer: _peer, connection, driver, .. } = self;
        drop(connection);
        timeout(PATIENCE, driver).await.expect("the connection ends").expect("no panic");
    }
}

pub(super) fn head(method: Method, framing: Framing) -> RequestHead {
    let mut head = RequestHead::new(method, Scheme::Http, "a", "/x?y").expect("well-formed");
    head.set_framing(framing);
    head
}

/// HEADERS of an answer without fields.
pub(super) fn answer(stream: u32, status: u16, flags: u8) -> Vec<u8> {
    headers(stream, flags, &block(&[(":status", &status.to_string())]))
}

/// More than all silences of a case.
const PATIENCE: Duration = Duration::from_secs(60);

/// Status, bytes and trailers of a whole answer, past its interim ones.
pub(super) async fn outcome(response: &mut Response) -> Result<(u16, usize, usize), Failure> {
    loop {
        let answer = timeout(PATIENCE, response.head()).await.expect("a head or none");
        if let Answer::Final(head, mut body) = answer? {
            let (bytes, trailers) = timeout(PATIENCE, take(&mut body)).await.expect("a body or none")?;
            return Ok((head.status().as_u16(), bytes, trailers));
        }
    }
}

/// What a case is to lead to; another exchange on the connection must work, unless it was ended.
pub(super) enum Expect {
    /// This status, so many bytes and so many trailers.
    Answers(u16, usize, usize),
    /// No whole answer, and a reset with one of these codes.
    Reset(&'static [u32]),
    /// No whole answer. Where it has ended the stream already, a reset has nothing to end.
    Malformed,
    /// A reset or a connection error with one of these codes.
    Either(&'static [u32]),
    /// A connection error with one of these codes.
    Goaway(&'static [u32]),
    /// Whatever becomes of the exchange, the connection goes on or is ended with one of these codes.
    Tolerated(&'static [u32]),
}

/// Runs a case of [`super::cases`]: the server sends the steps after a GET on stream 1.
pub(super) fn check(steps: fn() -> Steps, expect: Expect) {
    check_method(Method::GET, steps, expect);
}

/// The same after a HEAD.
pub(super) fn check_head(steps: fn() -> Steps, expect: Expect) {
    check_method(Method::HEAD, steps, expect);
}

fn check_method(method: Method, steps: fn() -> Steps, expect: Expect) {
    run(move || async move {
        let mut client = Client::open().await;
        let (_outgoing, mut response) = client.ask(&head(method, Framing::None)).await;
        client.heard(1).await;
        let asked = local(async move { outcome(&mut response).await });
        let frames = client.peer.play(&steps().0).await;
        judge(client, asked, frames, expect).await;
    });
}

async fn judge(
    mut client: Client,
    asked: JoinHandle<Result<(u16, usize, usize), Failure>>,
    frames: Vec<Frame>,
    expect: Expect,
) {
    let error = error_of(&frames);
    let reset = reset_of(&frames, 1);
    if let (None, Expect::Goaway(codes)) = (error, &expect) {
        panic!("GOAWAY {codes:?}: {frames:?}");
    }
    // A case that gives no answer and no error is over here.
    let outcome = asked.await;
    let context = format!("{outcome:?} {frames:?}");
    let is_error = |codes: &[u32]| error.is_some_and(|code| codes.contains(&code));
    let is_reset = |codes: &[u32]| reset.is_some_and(|code| codes.contains(&code));
    match expect {
        Expect::Answers(status, bytes, trailers) => {
            assert_eq!(outcome.expect("no panic"), Ok((status, bytes, trailers)), "{frames:?}");
            assert_eq!((error, reset), (None, None));
        }
        Expect::Reset(codes) => {
            assert_eq!(outcome.expect("no panic"), Err(Failure::UpstreamProtocol), "{frames:?}");
            assert!(is_reset(codes) && error.is_none(), "RST_STREAM {codes:?}: {context}");
        }
        Expect::Malformed => {
            assert_eq!(outcome.expect("no panic"), Err(Failure::UpstreamProtocol), "{frames:?}");
            let fits = reset.is_none_or(|code| matches!(code, code::PROTOCOL | code::CANCEL));
            assert!(fits && error.is_none(), "one stream's error: {context}");
        }
        Expect::Either(codes) => {
            assert!(is_reset(codes) || is_error(codes), "an error {codes:?}: {context}");
        }
        Expect::Goaway(codes) => assert!(is_error(codes), "GOAWAY {codes:?}: {context}"),
        Expect::Tolerated(codes) => assert!(error.is_none() || is_error(codes), "{codes:?}: {context}"),
    }
    if error.is_some() {
        assert!(client.peer.ended && !client.connection.is_open(), "closed: {context}");
    } else {
        assert!(client.connection.is_open(), "{context}");
        client.probe(3).await;
    }
    client.end().await;
}
