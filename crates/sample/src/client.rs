//! Connections that the sample makes as a client: TCP, HTTP/1.1, HTTP/2 and gRPC over it.
//!
//! Nothing that a server may have seen is repeated. Every connection's driver ends with its connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;

use crate::limits;
use crate::output;
use crate::target::Target;
use crate::tasks;

/// Why a client got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("cannot connect to {address}")]
    Connect { address: String, source: std::io::Error },
    #[error("the HTTP handshake failed")]
    Handshake(#[source] hyper::Error),
    #[error("the request failed")]
    Request(#[source] hyper::Error),
    #[error("the request cannot be built")]
    Invalid(#[from] http::Error),
    #[error("the answer broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer is larger than {} bytes", limits::ANSWER_BYTES)]
    Large,
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Opens a TCP connection to `HOST:PORT` without Nagle's delay.
pub(crate) async fn dial(address: &str) -> Result<TcpStream, ClientError> {
    let failed = |source| ClientError::Connect { address: address.to_owned(), source };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

/// Runs what hyper wants to run beside a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Executor;

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        tasks::detach(future);
    }
}

/// Opens an HTTP/1.1 connection that may be upgraded.
pub(crate) async fn http1(address: &str) -> Result<http1::SendRequest<Body>, ClientError> {
    let io = TokioIo::new(dial(address).await?);
    let (send, connection) = http1::handshake(io).await.map_err(ClientError::Handshake)?;
    tasks::detach(connection.with_upgrades());
    Ok(send)
}

/// Opens an HTTP/2 connection with prior knowledge.
async fn http2(address: &str) -> Result<http2::SendRequest<Body>, ClientError> {
    let io = TokioIo::new(dial(address).await?);
    let (send, connection) = http2::Builder::new(Executor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .handshake(io)
        .await
        .map_err(ClientError::Handshake)?;
    tasks::detach(connection);
    Ok(send)
}

/// A request for `target`: absolute for HTTP/2, in origin form with `Host` for HTTP/1.1. Headers given win.
pub(crate) fn request(
    target: &Target,
    version: Version,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Request<Body>, http::Error> {
    let builder = Request::builder().method(method).version(version);
    let mut builder = if version == Version::HTTP_2 {
        builder.uri(format!("http://{}{}", target.authority, target.path))
    } else {
        builder.uri(target.path.as_str()).header(header::HOST, target.authority.as_str())
    };
    if let Some(all) = builder.headers_mut() {
        all.insert(header::USER_AGENT, user_agent());
        for name in headers.keys() {
            all.remove(name);
        }
        all.extend(headers);
    }
    builder.body(Body::new(http_body_util::Full::new(body)))
}

/// What the sample's clients call themselves.
pub(crate) fn user_agent() -> HeaderValue {
    HeaderValue::from_static(concat!("leno-sample/", env!("CARGO_PKG_VERSION")))
}

/// Reads a whole answer, up to the limit.
pub(crate) async fn collect(body: Incoming) -> Result<Bytes, ClientError> {
    match Limited::new(body, limits::ANSWER_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ClientError::Large),
        Err(error) => Err(ClientError::Body(error)),
    }
}

/// One HTTP/2 connection to an address, opened when it is first needed and again after it was closed.
///
/// Clones share the connection, and it is what the generated gRPC clients call through.
#[derive(Clone, Debug)]
pub(crate) struct Http2 {
    address: String,
    kept: Arc<Mutex<Option<http2::SendRequest<Body>>>>,
}

impl Http2 {
    /// A client of `HOST:PORT`; dials later.
    pub(crate) fn new(address: String) -> Self {
        Self { address, kept: Arc::new(Mutex::new(None)) }
    }

    /// Sends a request. One that a closing connection never took goes out on a new one, once.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, ClientError> {
        let mut error = match self.connection().await?.try_send_request(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        match error.take_message() {
            Some(request) => {
                self.connection().await?.send_request(request).await.map_err(ClientError::Request)
            }
            None => Err(ClientError::Request(error.into_error())),
        }
    }

    async fn connection(&self) -> Result<http2::SendRequest<Body>, ClientError> {
        let mut kept = self.kept.lock().await;
        if let Some(connection) = kept.as_ref().filter(|connection| connection.is_ready()) {
            return Ok(connection.clone());
        }
        Ok(kept.insert(http2(&self.address).await?).clone())
    }
}

impl Service<Request<Body>> for Http2 {
    type Response = Response<Incoming>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.clone();
        // What never got an answer is UNAVAILABLE to a gRPC client, with the cause in its message.
        Box::pin(async move {
            client.send(request).await.map_err(|error| Status::unavailable(output::in_full(&error)))
        })
    }
}
