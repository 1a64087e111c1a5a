//! What hyper makes of bytes.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;

use super::generate::Asked;
use super::message::{Message, Reading, end_to_end, sorted};
use crate::http1::Lines;

/// How often something is polled that only gives way to others.
const POLLS: usize = 10_000;

/// A peer in memory, of whom everything is there at once; to a client, once it has asked.
struct Memory {
    input: Bytes,
    waits_for_request: bool,
}

impl Read for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.waits_for_request {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let n = self.input.len().min(buf.remaining());
        buf.put_slice(&self.input[..n]);
        self.input.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.waits_for_request = false;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Polls what has nothing to wait for.
fn now<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..POLLS {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
    }
    None
}

/// The requests that a server sees.
#[must_use]
pub fn requests(input: &[u8]) -> Reading {
    let io = Memory { input: Bytes::copy_from_slice(input), waits_for_request: false };
    let reading = Rc::new(RefCell::new(Reading::default()));
    let seen = Rc::clone(&reading);
    let service = service_fn(move |request: Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            note(request, &seen).await;
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let connection =
        server::Builder::new().half_close(true).header_read_timeout(None).serve_connection(io, service);
    let ended = now(pin!(connection));
    let mut reading = reading.take();
    match ended {
        Some(Err(error)) if !error.is_incomplete_message() => reading.refusal = Some(error.to_string()),
        Some(Ok(())) | Some(Err(_)) => {}
        None => reading.refusal = Some("never ends".to_owned()),
    }
    reading
}

async fn note(request: Request<Incoming>, reading: &RefCell<Reading>) {
    let (head, body) = request.into_parts();
    let Some((body, trailers)) = whole(body).await else { return };
    let is_switch = head.method == Method::CONNECT;
    let closes = closes(&head.headers, head.version);
    let host = match head.uri.authority() {
        Some(authority) => authority.to_string(),
        None => head
            .headers
            .get("host")
            .map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned())
            .unwrap_or_default(),
    };
    let target = if is_switch { "" } else { head.uri.path_and_query().map_or("/", |target| target.as_str()) };
    let message = Message {
        first: head.method.to_string(),
        target: target.to_owned(),
        host,
        fields: end_to_end(lines(&head.headers)),
        body,
        trailers,
    };
    let mut reading = reading.borrow_mut();
    reading.messages.push(message);
    reading.is_over = is_switch || closes;
}

/// Whether the message is the last of its connection (RFC 9112 §9.3).
fn closes(fields: &HeaderMap, version: Version) -> bool {
    let has = |option: &str| {
        let values = fields
            .get_all("connection")
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        values.into_iter().any(|value| value.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    };
    has("close") || (version == Version::HTTP_10 && !has("keep-alive"))
}

/// Body and trailers, if they end well.
async fn whole(mut body: Incoming) -> Option<(Vec<u8>, Lines)> {
    let (mut data, mut trailers) = (Vec::new(), Lines::new());
    while let Some(frame) = body.frame().await {
        match frame.ok()?.into_data() {
            Ok(bytes) => data.extend_from_slice(&bytes),
            Err(frame) => trailers = sorted(lines(&frame.into_trailers().ok()?)),
        }
    }
    Some((data, trailers))
}

fn lines(map: &HeaderMap) -> Lines {
    map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// The answer that a client sees.
#[must_use]
pub fn response(input: &[u8], asked: Asked) -> Reading {
    let io = Memory { input: Bytes::copy_from_slice(input), waits_for_request: true };
    let reading = pin!(async {
        let (mut send, connection) = client::handshake(io).await.ok()?;
        let method = if asked == Asked::Head { Method::HEAD } else { Method::GET };
        let request = Request::builder()
            .method(method)
            .uri("/")
            .header("host", "a")
            .body(Empty::<Bytes>::new())
            .ok()?;
        let mut connection = pin!(connection);
        let mut answer = pin!(async move { ask(send.send_request(request)).await });
        std::future::poll_fn(|cx| {
            let ended = connection.as_mut().poll(cx);
            match answer.as_mut().poll(cx) {
                Poll::Ready(reading) => Poll::Ready(Some(reading)),
                // Nobody moves the answer any more.
                Poll::Pending if ended.is_ready() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    });
    now(reading)
        .flatten()
        .unwrap_or_else(|| Reading { refusal: Some("never ends".to_owned()), ..Reading::default() })
}

async fn ask(answer: impl Future<Output = hyper::Result<Response<Incoming>>>) -> Reading {
    let mut reading = Reading { is_over: true, ..Reading::default() };
    let response = match answer.await {
        Ok(response) => response,
        Err(error) => {
            reading.is_over = false;
            reading.refusal = Some(error.to_string());
            return reading;
        }
    };
    let (head, body) = response.into_parts();
    match whole(body).await {
        Some((body, trailers)) => reading.messages.push(Message {
            first: head.status.as_str().to_owned(),
            fields: end_to_end(lines(&head.headers)),
            body,
            trailers,
            ..Message::default()
        }),
        None => reading.refusal = Some("the body".to_owned()),
    }
    reading
}
