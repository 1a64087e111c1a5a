//! The load generator's HTTP/2 side, for HTTP and gRPC: several workers share one connection.
//!
//! A request that the server says it hasn't begun (REFUSED_STREAM, or an id above GOAWAY's last; RFC 9113 §8.7) is sent
//! again, once, on a new connection, and counted as repeated. Everything else is a failure.

mod talk;

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, Request};
use tokio::sync::Mutex;

pub(crate) use talk::Offers;
use talk::Talk;

use super::dial;
use super::tally::{Answer, Failure, Kind};
use crate::{limits, tasks};

/// What every stream of a run sends and looks for.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) address: String,
    pub(crate) request: Request<()>,
    pub(crate) content: Content,
    pub(crate) version_header: HeaderName,
}

/// What follows a request's head.
#[derive(Debug)]
pub(crate) enum Content {
    /// Of HTTP.
    Body(Bytes),
    /// Of a unary gRPC call, in its frame.
    Message(Bytes),
    /// Of a bidirectional gRPC stream.
    Offers(Offers),
}

/// A connection that its workers share, dialled again whenever it was closed.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    template: Rc<Template>,
    kept: Rc<Mutex<Option<SendRequest<Bytes>>>>,
}

/// An exchange that went wrong, and whether the server said that it hadn't begun.
struct Broken {
    failure: Failure,
    not_begun: bool,
}

impl Connection {
    pub(crate) fn new(template: Rc<Template>) -> Self {
        Self { template, kept: Rc::new(Mutex::new(None)) }
    }

    /// Makes sure that there is a connection; true if it had to be opened.
    pub(crate) async fn prepare(&self) -> Result<bool, Failure> {
        let mut kept = self.kept.lock().await;
        if let Some(send) = kept.clone()
            && send.ready().await.is_ok()
        {
            return Ok(false);
        }
        *kept = Some(self.dial().await?);
        Ok(true)
    }

    async fn dial(&self) -> Result<SendRequest<Bytes>, Failure> {
        let stream = dial(&self.template.address).await?;
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(limits::STREAM_WINDOW_BYTES)
            .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(|error| Failure::new(Kind::Connect, error))?;
        tasks::detach(connection);
        Ok(send)
    }

    /// One request and its answer; the number of times that it was sent again. `begun` becomes true with the answer's head.
    pub(crate) async fn exchange(&self, begun: &Cell<bool>) -> (Result<Answer, Failure>, u64) {
        match self.converse(begun).await {
            Err(broken) if broken.not_begun => {}
            outcome => return (outcome.map_err(|broken| broken.failure), 0),
        }
        let again = match self.prepare().await {
            Ok(_) => self.converse(begun).await.map_err(|broken| broken.failure),
            Err(failure) => Err(failure),
        };
        (again, 1)
    }

    async fn converse(&self, begun: &Cell<bool>) -> Result<Answer, Broken> {
        let send = self.kept.lock().await.clone();
        let send = send.ok_or_else(|| Broken {
            failure: Failure::new(Kind::Connect, "there is no connection"),
            not_begun: false,
        })?;
        // Waits for a free stream, and fails on a connection that is going away.
        let mut send =
            send.ready().await.map_err(|error| Broken { failure: reset(&error), not_begun: true })?;
        let content = &self.template.content;
        let is_empty = matches!(content, Content::Body(body) if body.is_empty());
        let (response, mut stream) =
            send.send_request(self.template.request.clone(), is_empty).map_err(broken)?;
        let mut talk = None;
        match content {
            Content::Body(_) if is_empty => {}
            Content::Body(body) | Content::Message(body) => {
                stream.send_data(body.clone(), true).map_err(broken)?;
            }
            Content::Offers(offers) => talk = Some(Talk::begin(offers, stream).map_err(broken)?),
        }
        let (head, mut body) = response.await.map_err(broken)?.into_parts();
        begun.set(true);
        let version = head.headers.get(&self.template.version_header);
        let mut answer = Answer {
            status: head.status.as_u16(),
            version: version.map(|version| String::from_utf8_lossy(version.as_bytes()).into()),
            ..Answer::default()
        };
        answer.body_bytes = drain(&mut body, talk.as_mut()).await.map_err(cut)?;
        answer.messages = talk.as_ref().map_or(0, Talk::answers);
        if !matches!(content, Content::Body(_)) && answer.status == 200 {
            let trailers = body.trailers().await.map_err(cut)?;
            // Without a body the status comes with the headers ("trailers only").
            let status = trailers.as_ref().and_then(grpc_status).or_else(|| grpc_status(&head.headers));
            answer.grpc_status =
                Some(status.ok_or_else(|| wrong("an answer without grpc-status".to_owned()))?);
            if let Some(open) = talk.filter(|talk| status == Some(0) && !talk.is_over()) {
                return Err(wrong(format!("the stream ended after {} answers", open.answers())));
            }
        }
        Ok(answer)
    }
}

/// Reads a body to its end, and goes on with the talk that it belongs to; its length.
async fn drain(body: &mut RecvStream, mut talk: Option<&mut Talk<'_>>) -> Result<u64, h2::Error> {
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        length += data.len() as u64;
        body.flow_control().release_capacity(data.len())?;
        if let Some(talk) = &mut talk {
            talk.hear(&data)?;
        }
    }
    Ok(length)
}

fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn reset(error: &h2::Error) -> Failure {
    Failure::new(Kind::Reset, error)
}

/// The answer had begun, so that the request isn't sent again.
fn cut(error: h2::Error) -> Broken {
    Broken { failure: Failure::new(Kind::Cut, error), not_begun: false }
}

/// An answer that isn't what it should be.
fn wrong(detail: String) -> Broken {
    Broken { failure: Failure::new(Kind::Protocol, detail), not_begun: false }
}

fn broken(error: h2::Error) -> Broken {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    // `h2` fails a stream with GOAWAY only when its id is above the last one that the server takes.
    let above_last = error.is_go_away() && error.is_remote();
    Broken { failure: reset(&error), not_begun: refused || above_last }
}
