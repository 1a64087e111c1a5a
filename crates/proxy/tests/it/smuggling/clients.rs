//! Clients that send exactly the bytes they are told to.

use std::fmt;
use std::net::SocketAddr;

use leno_runtime::task;
use leno_testkit::frames::{self, Frame};
use leno_testkit::smuggling::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::{SOON, soon};

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    /// Whether all of it came.
    pub(super) is_whole: bool,
}

/// What came back.
#[derive(Default)]
pub(super) struct Got {
    /// All of it.
    pub(super) raw: Vec<u8>,
    /// The final answers in it.
    pub(super) answers: Vec<Answer>,
    /// Whether the connection was closed by the proxy.
    pub(super) is_closed: bool,
    /// How the stream ended where it did without an answer.
    pub(super) reset: Option<&'static str>,
    /// Whether nothing more came in time.
    pub(super) is_stuck: bool,
}

impl fmt::Debug for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { raw, answers, is_closed, reset, is_stuck } = self;
        let raw = raw.escape_ascii();
        write!(f, "{answers:?} closed {is_closed} stuck {is_stuck} reset {reset:?} of \"{raw:.500}\"")
    }
}

impl Got {
    /// Status and body, or what else ended it.
    pub(super) fn told(&self) -> String {
        match (self.answers.first(), self.reset) {
            (Some(answer), _) if answer.is_whole => {
                format!("{}\n{}", answer.status, answer.body).trim_end().to_owned()
            }
            (Some(answer), reset) => format!("{} cut off{}", answer.status, reset.unwrap_or("")),
            (None, Some(reset)) => reset.to_owned(),
            (None, None) => "nothing".to_owned(),
        }
    }
}

/// An HTTP/1 connection.
pub(super) struct Http1(TcpStream, Got);

impl Http1 {
    pub(super) async fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream, Got::default())
    }

    /// Sends, whether or not it is taken: who refuses may close before it has read everything.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _refused = self.0.write_all(bytes).await;
    }

    /// Waits for a first piece of an answer.
    pub(super) async fn first(&mut self) {
        let read = soon(self.0.read_buf(&mut self.1.raw)).await;
        assert!(matches!(read, Ok(1..)), "{read:?}");
    }

    /// Reads until so many answers are whole, or to the end.
    pub(super) async fn read(mut self, wanted: usize, to_head: bool) -> Got {
        loop {
            self.1.answers = answers(&self.1.raw, to_head, self.1.is_closed);
            if self.1.is_closed || self.1.answers.iter().filter(|answer| answer.is_whole).count() >= wanted {
                return self.1;
            }
            match timeout(SOON, self.0.read_buf(&mut self.1.raw)).await {
                Ok(read) => self.1.is_closed = !matches!(read, Ok(1..)),
                Err(_elapsed) => {
                    self.1.is_stuck = true;
                    return self.1;
                }
            }
        }
    }
}

/// The final answers in what came. What the proxy writes is strictly framed; anything else shows.
fn answers(mut raw: &[u8], to_head: bool, is_closed: bool) -> Vec<Answer> {
    let mut all = Vec::new();
    while let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&raw[..end]).to_ascii_lowercase();
        let status: u16 = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        raw = &raw[end + 4..];
        if (100..200).contains(&status) {
            continue;
        }
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let bodiless = to_head || matches!(status, 204 | 304);
        let (body, used) = match (field("content-length: "), field("transfer-encoding: ")) {
            _ if bodiless => (Vec::new(), Some(0)),
            (Some(length), None) => {
                let length: usize = length.parse().unwrap();
                let body = &raw[..raw.len().min(length)];
                (body.to_vec(), Some(length).filter(|_| body.len() == length))
            }
            (None, Some("chunked")) => chunks(raw),
            (None, None) => (raw.to_vec(), Some(raw.len()).filter(|_| is_closed)),
            framing => panic!("{framing:?}"),
        };
        let is_whole = used.is_some();
        raw = &raw[used.unwrap_or(raw.len())..];
        all.push(Answer { status, body: String::from_utf8_lossy(&body).into_owned(), is_whole });
    }
    all
}

/// The data of chunks, and what they take if the last one is there.
fn chunks(raw: &[u8]) -> (Vec<u8>, Option<usize>) {
    let (mut body, mut at) = (Vec::new(), 0);
    while let Some(length) = raw[at..].windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&raw[at..at + length]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        at += length + 2;
        if size == 0 {
            let end = raw[at - 2..].windows(4).position(|four| four == b"\r\n\r\n");
            return (body, end.map(|end| at + 2 + end));
        }
        let Some(data) = raw.get(at..at + size) else { break };
        body.extend_from_slice(data);
        at = raw.len().min(at + size + 2);
    }
    (body, None)
}

/// One message over HTTP/2 in one piece.
pub(super) async fn http2(to: SocketAddr, message: &Stream) -> Got {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let frames: Vec<u8> = message_frames(message, 1).iter().flat_map(Frame::bytes).collect();
    let _refused = stream.write_all(&[frames::PREFACE, &frames].concat()).await;
    let (mut got, mut unread) = (Got::default(), Vec::new());
    let mut answer = Answer { status: 0, body: String::new(), is_whole: false };
    while !answer.is_whole && got.reset.is_none() {
        match timeout(SOON, stream.read_buf(&mut unread)).await {
            Ok(Ok(1..)) => {}
            Ok(_) => {
                got.is_closed = true;
                break;
            }
            Err(_elapsed) => {
                got.is_stuck = true;
                break;
            }
        }
        while let Some((frame, used)) = Frame::read(&unread) {
            got.raw.extend(unread.drain(..used));
            match frame.kind {
                frames::SETTINGS if frame.flags & 1 == 0 => {
                    let ack = Frame { flags: 1, payload: Vec::new(), ..frame };
                    let _gone = stream.write_all(&ack.bytes()).await;
                    continue;
                }
                frames::HEADERS if answer.status == 0 => answer.status = frame.status().unwrap(),
                frames::HEADERS => {}
                frames::DATA => answer.body.push_str(&String::from_utf8_lossy(&frame.payload)),
                _ => {
                    got.reset = frame.error().filter(|error| *error != "NO_ERROR").or(got.reset);
                    continue;
                }
            }
            answer.is_whole |= frame.flags & frames::END_STREAM != 0;
        }
    }
    if answer.status != 0 {
        got.answers.push(answer);
    }
    got
}

/// The frames of a message.
pub(super) fn message_frames(message: &Stream, stream: u32) -> Vec<Frame> {
    let ends = |is_last: bool| if is_last { frames::END_STREAM } else { 0 };
    let head_flags = frames::END_HEADERS | ends(message.body.is_none() && message.trailers.is_none());
    let headers =
        |flags, fields| Frame { kind: frames::HEADERS, flags, stream, payload: frames::block(fields) };
    let mut all = vec![headers(head_flags, message.head)];
    if let Some(body) = message.body {
        let flags = ends(message.trailers.is_none());
        all.push(Frame { kind: frames::DATA, flags, stream, payload: body.to_vec() });
    }
    if let Some(trailers) = message.trailers {
        all.push(headers(frames::END_HEADERS | frames::END_STREAM, trailers));
    }
    all
}

/// A well-formed request over HTTP/2, by who knows the protocol.
pub(super) async fn ask2(to: SocketAddr, method: &str, path: &str) -> Got {
    let stream = TcpStream::connect(to).await.unwrap();
    let (mut send, connection) = soon(h2::client::handshake(stream)).await.unwrap();
    let moving = task::spawn("connection", async move { drop(connection.await) });
    let request = http::Request::builder().method(method).uri(format!("http://a{path}")).body(()).unwrap();
    let (response, _) = send.send_request(request, true).unwrap();
    let got = soon(answer2(response)).await;
    drop((send, moving));
    got
}

async fn answer2(response: h2::client::ResponseFuture) -> Got {
    let mut got = Got::default();
    let response = match response.await {
        Ok(response) => response,
        Err(error) => {
            got.reset = Some(reason(&error));
            return got;
        }
    };
    let (head, mut body) = response.into_parts();
    got.raw.extend_from_slice(format!("{:?}", head.headers).as_bytes());
    let mut answer = Answer { status: head.status.as_u16(), body: String::new(), is_whole: true };
    while let Some(data) = body.data().await {
        match data {
            Ok(data) => answer.body.push_str(&String::from_utf8_lossy(&data)),
            Err(error) => {
                answer.is_whole = false;
                got.reset = Some(reason(&error));
                break;
            }
        }
    }
    if answer.is_whole
        && let Err(error) = body.trailers().await
    {
        answer.is_whole = false;
        got.reset = Some(reason(&error));
    }
    got.raw.extend_from_slice(answer.body.as_bytes());
    got.answers.push(answer);
    got
}

fn reason(error: &h2::Error) -> &'static str {
    match error.reason() {
        Some(h2::Reason::PROTOCOL_ERROR) => "PROTOCOL_ERROR",
        Some(h2::Reason::INTERNAL_ERROR) => "INTERNAL_ERROR",
        Some(h2::Reason::CANCEL) => "CANCEL",
        Some(h2::Reason::ENHANCE_YOUR_CALM) => "ENHANCE_YOUR_CALM",
        _ => "an error",
    }
}
