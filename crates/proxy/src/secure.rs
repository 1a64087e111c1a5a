//! TLS over sockets: the handshakes of both sides, and what their errors mean.
//!
//! Inside the mesh a [`session`] of our own follows the handshake; towards others, who may speak TLS 1.2, rustls does all.
//!
//! TLS 1.3 tells a client that its certificate was refused only after the client thinks that it is connected, as
//! the first thing it reads. [`Client`] turns that alert into `PermissionDenied`, by which the exchange knows that
//! the request was refused untouched.

mod handshake;
mod outbox;
mod pieces;
mod posts;
mod records;
mod session;

use std::future::poll_fn;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use leno_http::io::{Io, ReadAhead};
use leno_identity::holder::{Current, Transport};
use leno_identity::tls::mesh;
use leno_identity::tls::peer::Side;
use leno_model::failure::Failure;
use leno_model::spiffe::SpiffeId;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::{Acceptor, ClientHello, UnbufferedServerConnection};
use rustls::{AlertDescription, CertificateError, ClientConfig, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, client, server};

use crate::core::Core;
use crate::detect;
use crate::limits::SESSION_QUEUE;
use crate::proof::Proof;

pub(crate) use handshake::Shaken;
pub(crate) use outbox::trim as trim_buffers;
pub(crate) use session::Session;

/// A connection to a server whose identity was compared.
pub(crate) struct Client {
    tls: Box<dyn Io>,
    heard: bool,
}

/// A connection to a server outside the mesh, by rustls alone.
struct Outside {
    tls: client::TlsStream<Box<dyn Io>>,
}

/// A connection from a client outside the mesh.
pub(crate) struct Server {
    tls: server::TlsStream<Box<dyn Io>>,
}

impl Client {
    fn new(tls: impl Io) -> Self {
        Self { tls: Box::new(tls), heard: false }
    }
}

impl Server {
    /// What the handshake has agreed on.
    pub(crate) fn session(&self) -> &ServerConnection {
        self.tls.get_ref().1
    }
}

/// Shakes hands with a mesh peer and requires it to be one of `expected` before the first byte.
pub(crate) async fn connect_mesh(
    io: Box<dyn Io>,
    identity: &Current,
    transport: Transport,
    expected: &[SpiffeId],
) -> Result<(Client, Proof), Failure> {
    let config = identity.client(transport);
    let shaken = async {
        let connection = UnbufferedClientConnection::new(Arc::clone(&config), mesh::server_name());
        handshake::shake(io, connection.map_err(io::Error::other)?).await
    };
    let shaken = shaken.await.map_err(|_handshake| Failure::TlsFailed)?;
    let session = shaken.session();
    // A server that chose nothing speaks something else, whoever it is.
    if !session.alpn_protocol().is_some_and(|chosen| config.alpn_protocols.iter().any(|one| one == chosen)) {
        return Err(Failure::TlsFailed);
    }
    let proof = Proof::of(session, identity, Side::Server).map_err(|_no_svid| Failure::TlsFailed)?;
    proof.peer.require(expected).map_err(|_other| Failure::WrongIdentity)?;
    Ok((Client::new(shaken.into_session().map_err(|_no_keys| Failure::TlsFailed)?), proof))
}

/// Shakes hands with a server outside the mesh. The configuration verifies it.
pub(crate) async fn connect_outside(
    io: Box<dyn Io>,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Client, Failure> {
    let tls = TlsConnector::from(config)
        .connect(name, ReadAhead::boxed(io))
        .await
        .map_err(|_handshake| Failure::TlsFailed)?;
    Ok(Client::new(Outside { tls }))
}

/// Accepts a connection from a mesh peer.
pub(crate) async fn accept_mesh(
    core: &Core,
    io: Box<dyn Io>,
    config: Arc<ServerConfig>,
) -> io::Result<Shaken<UnbufferedServerConnection>> {
    let io = detect::client_hello(io).await.ok_or(io::ErrorKind::UnexpectedEof)?;
    let connection = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
    in_turn(core, handshake::shake(io, connection)).await
}

/// Accepts a TLS connection with the configuration that `choose` names for its ClientHello.
pub(crate) async fn accept(
    core: &Core,
    io: Box<dyn Io>,
    choose: impl FnOnce(&ClientHello<'_>) -> Option<Arc<ServerConfig>>,
) -> io::Result<Server> {
    let io = detect::client_hello(io).await.ok_or(io::ErrorKind::UnexpectedEof)?;
    let hello = LazyConfigAcceptor::new(Acceptor::default(), ReadAhead::boxed(io)).await?;
    let config = choose(&hello.client_hello()).ok_or(io::ErrorKind::PermissionDenied)?;
    let tls = in_turn(core, hello.into_stream(config)).await?;
    Ok(Server { tls })
}

/// What costs of a handshake, the answer to a ClientHello that is here, is computed a few at a time, so that many clients
/// that begin one delay each other and nobody else; one that only connects, or stops halfway, delays nobody.
async fn in_turn<T>(core: &Core, accepting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let turn = core.handshakes.acquire().await.map_err(io::Error::other)?;
    tokio::pin!(accepting);
    let begun = poll_fn(|cx| Poll::Ready(accepting.as_mut().poll(cx))).await;
    // Whoever else is ready comes before the next turn.
    tokio::task::yield_now().await;
    drop(turn);
    match begun {
        Poll::Ready(result) => result,
        Poll::Pending => accepting.await,
    }
}

/// Why a handshake failed. What this process found about a certificate is inside of what rustls says.
pub(crate) fn reason(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(CertificateError::Other(found))) = inner else {
        return error.to_string();
    };
    let mut text = found.0.to_string();
    let mut source = found.0.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Whether an error is the peer's word that it doesn't accept our certificate.
fn is_refusal(error: &io::Error) -> bool {
    let alert = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        alert,
        Some(rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::CertificateRequired
        ))
    )
}

leno_http::forward_socket!(Client, tls);

impl Io for Outside {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.tls.get_ref().0.socket()
    }
}

impl Io for Server {}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = std::task::ready!(Pin::new(&mut self.tls).poll_read(cx, buf));
        Poll::Ready(match result {
            Ok(()) => {
                self.heard = true;
                Ok(())
            }
            Err(error) if !self.heard && is_refusal(&error) => {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, error))
            }
            Err(error) => Err(error),
        })
    }
}

/// What a session of rustls may hold when so many bytes are written to it: it takes them as one piece, and otherwise holds
/// no more than [`SESSION_QUEUE`] for a peer that doesn't read.
fn room_for(bytes: usize) -> Option<usize> {
    Some(bytes.max(SESSION_QUEUE))
}

leno_http::forward_writes!(Client, tls);
leno_http::forward_reads!(Outside, tls);
leno_http::forward_writes!(Outside, tls, |tls, bytes| tls.get_mut().1.set_buffer_limit(room_for(bytes)));
leno_http::forward_reads!(Server, tls);
leno_http::forward_writes!(Server, tls, |tls, bytes| tls.get_mut().1.set_buffer_limit(room_for(bytes)));
