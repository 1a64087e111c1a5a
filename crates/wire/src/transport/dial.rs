//! Connecting to the control plane.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use leno_model::secret::SecretBytes;
use leno_runtime::Task;
use tokio::net::{TcpStream, UnixStream};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::metadata::{Ascii, MetadataValue};

use super::io::{Executor, Stream};
use super::{Address, ClientTls, Remote};
use crate::limits;

/// Why the control plane could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody listens at the address, or it cannot be reached.
    #[error("cannot connect to {address}")]
    Connect {
        /// The address.
        address: Address,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("the TLS handshake with {address} failed")]
    Tls {
        /// The address.
        address: Address,
        /// What rustls says.
        #[source]
        source: io::Error,
    },
    /// The server is somebody else.
    #[error("{address} is not the control plane: {reason}")]
    Identity {
        /// The address.
        address: Address,
        /// Who it is.
        reason: String,
    },
    /// The HTTP/2 handshake failed.
    #[error("the HTTP/2 handshake with {address} failed")]
    Http2 {
        /// The address.
        address: Address,
        /// What hyper says.
        #[source]
        source: hyper::Error,
    },
    /// It took too long.
    #[error("connecting to {address} took more than {} s", limits::CONNECT_TIMEOUT.as_secs())]
    Timeout {
        /// The address.
        address: Address,
    },
    /// The token would be readable on the way.
    #[error("a token is sent over TLS or a Unix socket only, and {address} is neither")]
    ExposedToken {
        /// The address.
        address: Address,
    },
    /// The token cannot be a header's value.
    #[error("the token has characters that no token has")]
    Token,
}

/// A connection to the control plane. It ends when this is dropped.
pub(crate) struct Channel {
    sender: http2::SendRequest<Body>,
    _connection: Task<()>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel")
    }
}

impl Service<http::Request<Body>> for &mut Channel {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

/// The URI that requests are made from; only its form matters.
pub(crate) fn origin() -> http::Uri {
    http::Uri::from_static("http://control.leno")
}

/// Connects within [`limits::CONNECT_TIMEOUT`].
pub(crate) async fn dial(remote: &Remote) -> Result<Channel, DialError> {
    let address = &remote.address;
    if remote.token.is_some() && remote.tls.is_none() && matches!(address, Address::Tcp(_)) {
        return Err(DialError::ExposedToken { address: address.clone() });
    }
    let connect = async {
        let stream = connect(address).await?;
        let stream = match &remote.tls {
            None => stream,
            Some(tls) => secure(stream, address, &**tls).await?,
        };
        handshake(stream, address).await
    };
    let timeout = |_elapsed| DialError::Timeout { address: address.clone() };
    leno_runtime::time::timeout(limits::CONNECT_TIMEOUT, connect).await.map_err(timeout)?
}

async fn connect(address: &Address) -> Result<Stream, DialError> {
    let connected: io::Result<Stream> = match address {
        Address::Unix(path) => UnixStream::connect(path).await.map(|stream| Box::new(stream) as _),
        Address::Tcp(address) => TcpStream::connect(&**address).await.and_then(|stream| {
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as _)
        }),
    };
    connected.map_err(|source| DialError::Connect { address: address.clone(), source })
}

async fn secure(stream: Stream, address: &Address, tls: &dyn ClientTls) -> Result<Stream, DialError> {
    let connector = tokio_rustls::TlsConnector::from(tls.config());
    let stream = connector
        .connect(tls.server_name(), stream)
        .await
        .map_err(|source| DialError::Tls { address: address.clone(), source })?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    tls.check(chain).map_err(|reason| DialError::Identity { address: address.clone(), reason })?;
    Ok(Box::new(stream))
}

async fn handshake(stream: Stream, address: &Address) -> Result<Channel, DialError> {
    let (sender, connection) = http2::Builder::new(Executor)
        .timer(TokioTimer::new())
        .keep_alive_interval(limits::PING_INTERVAL)
        .keep_alive_timeout(limits::PING_TIMEOUT)
        .initial_stream_window_size(limits::WINDOW_BYTES)
        .initial_connection_window_size(limits::WINDOW_BYTES)
        .max_send_buf_size(limits::SEND_BUFFER_BYTES)
        .max_header_list_size(limits::MAX_HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|source| DialError::Http2 { address: address.clone(), source })?;
    let connection = leno_runtime::spawn("wire.connection", async move {
        // The stream on it sees the error as well.
        let _ended = connection.await;
    });
    Ok(Channel { sender, _connection: connection })
}

/// A request with the token that proves who asks, if there is one.
pub(crate) fn request<T>(message: T, token: Option<&SecretBytes>) -> Result<tonic::Request<T>, DialError> {
    let mut request = tonic::Request::new(message);
    if let Some(token) = token {
        let text = std::str::from_utf8(token.expose()).map_err(|_binary| DialError::Token)?;
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {text}").parse().map_err(|_invalid| DialError::Token)?;
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
    }
    Ok(request)
}
