//! Applications that remember everything they get, and applications that answer what they are told to.

use std::sync::{Arc, Mutex, MutexGuard};

use leno_runtime::task;
use leno_testkit::frames::{self, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// What an application got.
#[derive(Debug, Default)]
pub(super) struct Got {
    /// Everything that arrived: bytes over HTTP/1, heads over HTTP/2.
    pub(super) begun: String,
    /// Requests that arrived whole, `METHOD TARGET BODY`.
    pub(super) whole: Vec<String>,
}

/// Shared with an application.
#[derive(Clone, Default)]
pub(super) struct Recorder(Arc<(Mutex<Got>, watch::Sender<()>)>);

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, Got> {
        self.0.0.lock().unwrap()
    }

    /// Takes what is there.
    pub(super) fn take(&self) -> Got {
        std::mem::take(&mut *self.lock())
    }

    fn begun(&self, bytes: &[u8]) {
        self.lock().begun.push_str(&String::from_utf8_lossy(bytes));
        self.0.1.send_replace(());
    }

    fn whole(&self, request: String) {
        self.lock().whole.push(request);
    }

    /// Waits until something with this in it has arrived.
    pub(super) async fn sees(&self, word: &str) {
        let mut changes = self.0.1.subscribe();
        while !self.lock().begun.contains(word) {
            changes.changed().await.unwrap();
        }
    }
}

/// A request as a strict application takes it: what a proxy sends leaves nothing to interpret.
struct Request {
    method: String,
    target: String,
    body: Vec<u8>,
}

/// Answers every request with its target.
pub(super) async fn http1(mut stream: TcpStream, recorder: Recorder) {
    let mut bytes = Vec::new();
    loop {
        while let Some((request, used)) = request(&bytes) {
            bytes.drain(..used);
            let Request { method, target, body } = request;
            recorder.whole(format!("{method} {target} {}", String::from_utf8_lossy(&body)));
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{target}", target.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        let before = bytes.len();
        let Ok(1..) = stream.read_buf(&mut bytes).await else { return };
        recorder.begun(&bytes[before..]);
    }
}

/// The request at the beginning, once it is there.
fn request(bytes: &[u8]) -> Option<(Request, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
    let mut lines = head.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let [method, target, "HTTP/1.1"] = first[..] else { panic!("{head:?}") };
    let (mut hosts, mut length, mut chunked) = (0, None, false);
    for line in lines {
        assert!(!line.contains(['\r', '\n', '\0']), "{head:?}");
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?} in {head:?}"));
        match name.to_ascii_lowercase().as_str() {
            "host" => hosts += 1,
            "content-length" => assert_eq!(length.replace(value.parse::<usize>().unwrap()), None, "{head:?}"),
            "transfer-encoding" => {
                assert!(value == "chunked" && !chunked, "{head:?}");
                chunked = true;
            }
            "http2-settings" | "keep-alive" | "proxy-connection" | "x-hop" => panic!("{head:?}"),
            "upgrade" => assert_eq!(value, "websocket", "{head:?}"),
            "content_length" | "transfer_encoding" => panic!("{head:?}"),
            _ => assert!(!name.contains(' '), "{head:?}"),
        }
    }
    assert!(hosts == 1 && !(chunked && length.is_some()), "{head:?}");
    let rest = &bytes[end + 4..];
    let (body, used) = if chunked {
        chunks(rest)?
    } else {
        let length = length.unwrap_or(0);
        (rest.get(..length)?.to_vec(), length)
    };
    Some((Request { method: method.to_owned(), target: target.to_owned(), body }, end + 4 + used))
}

/// A body in chunks, without extensions.
fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    let line = |at: usize| {
        let length = bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        Some((std::str::from_utf8(&bytes[at..at + length]).unwrap(), at + length + 2))
    };
    loop {
        let (size, data) = line(at)?;
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("{size:?} is a size"));
        at = data;
        if size == 0 {
            break;
        }
        body.extend_from_slice(bytes.get(at..at + size)?);
        assert!(bytes.get(at + size..at + size + 2)? == b"\r\n", "a chunk ends");
        at += size + 2;
    }
    loop {
        let (field, next) = line(at)?;
        at = next;
        if field.is_empty() {
            return Some((body, at));
        }
        assert!(field.starts_with("checksum: "), "{field:?}");
    }
}

/// The same over HTTP/2.
pub(super) async fn http2(stream: TcpStream, recorder: Recorder) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (head, mut incoming) = request.into_parts();
        let (method, path) = (head.method, head.uri.path().to_owned());
        recorder.begun(format!("{method} {path}\n").as_bytes());
        let recorder = recorder.clone();
        task::spawn("request", async move {
            let mut body = Vec::new();
            while let Some(data) = incoming.data().await {
                let Ok(data) = data else { return };
                let _released = incoming.flow_control().release_capacity(data.len());
                body.extend_from_slice(&data);
            }
            let Ok(trailers) = incoming.trailers().await else { return };
            assert!(trailers.is_none_or(|trailers| trailers.keys().all(|name| name == "checksum")));
            recorder.whole(format!("{method} {path} {}", String::from_utf8_lossy(&body)));
            let answer = respond.send_response(http::Response::new(()), false);
            if let Ok(mut answer) = answer {
                let _sent = answer.send_data(path.into(), true);
            }
        })
        .detach();
    }
}

/// What an application answers next.
#[derive(Clone, Debug)]
pub(super) enum Next {
    /// As it should.
    Good,
    /// These bytes.
    Bytes(Vec<u8>),
    /// These bytes and, once the client has seen something of them, those.
    InPieces(Vec<u8>, Vec<u8>),
    /// These frames of HTTP/2, with the stream still to be filled in.
    Frames(Vec<Frame>),
}

/// What an application is told, and what came of it.
#[derive(Clone)]
pub(super) struct Script(Arc<Mutex<State>>, pub(super) Arc<tokio::sync::Notify>);

struct State {
    next: Next,
    /// Connections that were asked again after an answer that was not as it should be.
    reused: usize,
}

impl Script {
    pub(super) fn new() -> Self {
        let state = State { next: Next::Good, reused: 0 };
        Self(Arc::new(Mutex::new(state)), Arc::default())
    }

    pub(super) fn set(&self, next: Next) {
        self.0.lock().unwrap().next = next;
    }

    /// How often a connection was used again that should not have been.
    pub(super) fn reused(&self) -> usize {
        self.0.lock().unwrap().reused
    }

    fn take(&self) -> Next {
        std::mem::replace(&mut self.0.lock().unwrap().next, Next::Good)
    }
}

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";

/// Answers requests without a body over HTTP/1 as the script says.
pub(super) async fn scripted1(mut stream: TcpStream, script: Script) {
    let mut is_spoilt = false;
    while let Some(head) = crate::app::head(&mut stream).await {
        if is_spoilt {
            script.0.lock().unwrap().reused += 1;
        }
        let next = script.take();
        is_spoilt |= !matches!(next, Next::Good);
        let written = match next {
            Next::Good if head.starts_with("HEAD ") => stream.write_all(&GOOD[..GOOD.len() - 4]).await,
            Next::Good => stream.write_all(GOOD).await,
            Next::Bytes(bytes) => stream.write_all(&bytes).await,
            Next::InPieces(first, second) => {
                stream.write_all(&first).await.unwrap();
                script.1.notified().await;
                stream.write_all(&second).await
            }
            Next::Frames(_) => panic!("this application speaks HTTP/1"),
        };
        if written.is_err() {
            return;
        }
    }
}

/// The same over HTTP/2. The fields of requests aren't looked at.
pub(super) async fn scripted2(mut stream: TcpStream, script: Script) {
    let settings = Frame { kind: frames::SETTINGS, flags: 0, stream: 0, payload: Vec::new() };
    let mut bytes = Vec::new();
    stream.write_all(&settings.bytes()).await.unwrap();
    let preface = frames::PREFACE.len() - 9;
    loop {
        let Ok(1..) = stream.read_buf(&mut bytes).await else { return };
        if bytes.len() >= preface {
            break;
        }
    }
    bytes.drain(..preface);
    loop {
        while let Some((frame, used)) = Frame::read(&bytes) {
            bytes.drain(..used);
            let answer = match frame.kind {
                frames::SETTINGS if frame.flags & 1 == 0 => Frame { flags: 1, ..settings.clone() }.bytes(),
                frames::HEADERS => answer2(script.take(), frame.stream),
                _ => continue,
            };
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
        let Ok(1..) = stream.read_buf(&mut bytes).await else { return };
    }
}

fn answer2(next: Next, stream: u32) -> Vec<u8> {
    let flags = frames::END_HEADERS;
    let good = || {
        let head = Frame { kind: frames::HEADERS, flags, stream, payload: vec![0x88] };
        let data = Frame { kind: frames::DATA, flags: frames::END_STREAM, stream, payload: b"good".to_vec() };
        vec![head, data]
    };
    let answer = match next {
        Next::Good => good(),
        Next::Frames(frames) => frames,
        Next::Bytes(_) | Next::InPieces(..) => panic!("this application speaks HTTP/2"),
    };
    answer.into_iter().flat_map(|frame| Frame { stream, ..frame }.bytes()).collect()
}
