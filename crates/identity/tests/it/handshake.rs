//! Handshakes over an in-memory pipe, with data both ways.
//!
//! In TLS 1.3 a client believes itself connected before the server has judged its certificate, so an exchange of bytes
//! belongs to every handshake here.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leno_identity::tls::Options;
use leno_identity::tls::mesh;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, CommonState, HandshakeKind, NamedGroup, NoKeyLog, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What one end saw.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) kind: Option<HandshakeKind>,
    pub(crate) version: Option<ProtocolVersion>,
    pub(crate) group: Option<NamedGroup>,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) peer: Option<Vec<CertificateDer<'static>>>,
}

impl End {
    fn of(state: &CommonState) -> Self {
        Self {
            kind: state.handshake_kind(),
            version: state.protocol_version(),
            group: state.negotiated_key_exchange_group().map(|group| group.name()),
            alpn: state.alpn_protocol().map(<[u8]>::to_vec),
            peer: state
                .peer_certificates()
                .map(|chain| chain.iter().map(|certificate| certificate.clone().into_owned()).collect()),
        }
    }
}

pub(crate) type Outcome = Result<End, String>;

/// Client's and server's view of one connection in the mesh.
pub(crate) async fn mesh(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> (Outcome, Outcome) {
    named(client, server, mesh::server_name()).await
}

/// Client's and server's view of one connection to a name.
pub(crate) async fn named(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: ServerName<'static>,
) -> (Outcome, Outcome) {
    let (near, far) = duplex(64 << 10);
    let dial = async {
        let connector = TlsConnector::from(Arc::clone(client));
        let mut stream = connector.connect(name, near).await.map_err(|error| error.to_string())?;
        exchange(&mut stream).await?;
        Ok(End::of(stream.get_ref().1))
    };
    let accept = async {
        let acceptor = TlsAcceptor::from(Arc::clone(server));
        let mut stream = acceptor.accept(far).await.map_err(|error| error.to_string())?;
        exchange(&mut stream).await?;
        Ok(End::of(stream.get_ref().1))
    };
    let both = async { tokio::join!(dial, accept) };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("no handshake hangs")
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<(), String> {
    let transfer = async {
        stream.write_all(b"ping").await?;
        stream.flush().await?;
        stream.read_exact(&mut [0; 4]).await
    };
    transfer.await.map(drop).map_err(|error| error.to_string())
}

/// Options whose clock stands still.
pub(crate) fn at(time: SystemTime) -> Options {
    Options { clock: Arc::new(Stopped(time)), key_log: Arc::new(NoKeyLog {}) }
}

#[derive(Debug)]
struct Stopped(SystemTime);

impl TimeProvider for Stopped {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.duration_since(UNIX_EPOCH).ok()?))
    }
}
