//! The control plane's listeners.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use leno_runtime::Task;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;

use super::authority::{Authority, Peer};
use super::grpc::{Certificates, Connection, Discovery, People};
use super::hub::Hub;
use crate::limits;
use crate::proto::control::status_server::StatusServer;
use crate::proto::discovery::aggregated_discovery_service_server::AggregatedDiscoveryServiceServer;
use crate::proto::istio::v1::auth::istio_certificate_service_server::IstioCertificateServiceServer;
use crate::status::Status;
use crate::transport::ServerTls;
use crate::transport::io::{Executor, Stream};

/// What a listener offers.
#[derive(Clone, Default)]
pub struct Services {
    /// Discovery.
    pub discovery: Option<Hub>,
    /// Certificates.
    pub certificates: Option<Arc<dyn Authority>>,
    /// Status, to whoever can connect: only for sockets that nobody but the operator reaches.
    pub status: Option<Arc<dyn Status>>,
}

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket. Its access rights are the caller's to set.
    Unix(UnixListener),
    /// TCP.
    Tcp(TcpListener),
}

/// Serves until `shutdown`, then ends every stream and returns when all connections are closed, or cut after
/// [`limits::SHUTDOWN_TIMEOUT`]. Its tasks are named `control.connection`. Dropping the future cuts them at once.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: Listener,
    tls: Option<Arc<dyn ServerTls>>,
    services: Services,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let (closing, closed) = watch::channel(false);
    let router = Router::new(services);
    let mut connections: FuturesUnordered<Task<()>> = FuturesUnordered::new();
    tokio::pin!(shutdown);
    let result = loop {
        let is_full = connections.len() >= limits::MAX_CONNECTIONS;
        tokio::select! {
            () = &mut shutdown => break Ok(()),
            _ended = connections.next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if !is_full => match accepted {
                Ok((stream, peer)) => {
                    let connection = serve_one(stream, peer, tls.clone(), router.clone(), closed.clone());
                    connections.push(leno_runtime::spawn("control.connection", connection));
                }
                Err(error) if is_passing(&error) => leno_runtime::time::sleep(limits::ACCEPT_PAUSE).await,
                Err(error) => break Err(error),
            },
        }
    };
    closing.send_replace(true);
    let all_closed = async { while connections.next().await.is_some() {} };
    let _cut_at_last = leno_runtime::time::timeout(limits::SHUTDOWN_TIMEOUT, all_closed).await;
    result
}

/// Whether accepting may succeed later: a connection that was gone already, or a lack of descriptors or memory.
fn is_passing(error: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM have no kind of their own.
    const PASSING: [i32; 4] = [24, 23, 105, 12];
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    ) || error.raw_os_error().is_some_and(|code| PASSING.contains(&code))
}

impl Listener {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), Peer { identity: None, address: None }))
            }
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), Peer { identity: None, address: Some(address) }))
            }
        }
    }
}

/// One connection, from its handshake to its end.
async fn serve_one(
    stream: Stream,
    mut peer: Peer,
    tls: Option<Arc<dyn ServerTls>>,
    router: Router,
    closed: watch::Receiver<bool>,
) {
    let stream = match tls {
        None => stream,
        Some(tls) => {
            let accepted =
                leno_runtime::time::timeout(limits::ACCEPT_TIMEOUT, accept_tls(stream, &*tls, &mut peer));
            let Ok(Some(stream)) = accepted.await else { return };
            stream
        }
    };
    serve_http2(stream, Arc::new(peer), router, closed).await;
}

/// The TLS handshake. `None` where there is nobody to go on with: whose fault it was shows on the other side.
async fn accept_tls(stream: Stream, tls: &dyn ServerTls, peer: &mut Peer) -> Option<Stream> {
    let stream = tokio_rustls::TlsAcceptor::from(tls.config()).accept(stream).await.ok()?;
    if let Some(chain) = stream.get_ref().1.peer_certificates() {
        peer.identity = Some(tls.identify(chain).ok()?);
    }
    Some(Box::new(stream))
}

async fn serve_http2(stream: Stream, peer: Arc<Peer>, router: Router, mut closed: watch::Receiver<bool>) {
    let is_proved = Arc::new(AtomicBool::new(false));
    let context = Connection { peer, closing: closed.clone(), is_proved: is_proved.clone() };
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(context.clone());
        let mut router = router.clone();
        async move { router.route(request).await }
    });
    let connection = http2::Builder::new(Executor)
        .timer(TokioTimer::new())
        .keep_alive_interval(limits::PING_INTERVAL)
        .keep_alive_timeout(limits::PING_TIMEOUT)
        .max_concurrent_streams(limits::MAX_STREAMS)
        .initial_stream_window_size(limits::WINDOW_BYTES)
        .initial_connection_window_size(limits::WINDOW_BYTES)
        .max_send_buf_size(limits::SEND_BUFFER_BYTES)
        .max_header_list_size(limits::MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let closing = async { drop(closed.wait_for(|is_closing| *is_closing).await) };
    let unproved = async {
        leno_runtime::time::sleep(limits::PROOF_TIMEOUT).await;
        if is_proved.load(Ordering::Relaxed) {
            pending().await
        }
    };
    tokio::select! {
        _ended = &mut connection => return,
        () = unproved => return,
        () = closing => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended = connection.await;
}

/// The services of a listener, by the first part of the path.
#[derive(Clone)]
struct Router {
    discovery: Option<AggregatedDiscoveryServiceServer<Discovery>>,
    certificates: Option<IstioCertificateServiceServer<Certificates>>,
    status: Option<StatusServer<People>>,
}

impl Router {
    fn new(services: Services) -> Self {
        Self {
            discovery: services.discovery.map(|hub| {
                AggregatedDiscoveryServiceServer::new(Discovery(hub))
                    .max_decoding_message_size(limits::MAX_REQUEST_BYTES)
            }),
            certificates: services.certificates.map(|authority| {
                IstioCertificateServiceServer::new(Certificates(authority))
                    .max_decoding_message_size(limits::MAX_CERTIFICATE_REQUEST_BYTES)
            }),
            status: services.status.map(|status| {
                StatusServer::new(People(status)).max_decoding_message_size(limits::MAX_REQUEST_BYTES)
            }),
        }
    }

    async fn route(&mut self, request: http::Request<Incoming>) -> Result<http::Response<Body>, Infallible> {
        fn is_for<S: NamedService>(_: &S, path: &str) -> bool {
            path.strip_prefix('/')
                .and_then(|path| path.split_once('/'))
                .is_some_and(|(name, _)| name == S::NAME)
        }
        let path = request.uri().path();
        match self {
            Self { discovery: Some(service), .. } if is_for(service, path) => service.call(request).await,
            Self { certificates: Some(service), .. } if is_for(service, path) => service.call(request).await,
            Self { status: Some(service), .. } if is_for(service, path) => service.call(request).await,
            _ => Ok(tonic::Status::unimplemented("no such service here").into_http()),
        }
    }
}
