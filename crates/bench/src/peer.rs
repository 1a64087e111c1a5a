//! A peer of the mesh at the server's proxy: connections by mutual TLS that each did one request and idle.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, Result};
use leno_testkit::tls::Gullible;
use rustls::{
    ClientConfig, ClientConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::TLS13,
};

use crate::{http, limits};

/// A connection that idles.
pub(crate) type Idle = StreamOwned<ClientConnection, TcpStream>;

/// How a proxy wants to be spoken to by the one at the other end.
#[derive(Debug)]
pub(crate) struct Greeting {
    /// The protocol's name in TLS (RFC 7301).
    pub(crate) alpn: &'static [u8],
    /// What comes before the first request.
    pub(crate) first: Vec<u8>,
}

/// Opens connections with the client's certificate.
pub(crate) fn idle(
    address: SocketAddr,
    folder: &Path,
    greeting: &Greeting,
    path: &str,
    connections: u16,
) -> Result<Vec<Idle>> {
    let config = config(folder, greeting.alpn).context("can't use the client's certificate")?;
    let open = |number| {
        get(address, &config, &greeting.first, path)
            .with_context(|| format!("can't open connection {number} of {connections} as a peer"))
    };
    (1..=connections).map(open).collect()
}

fn config(folder: &Path, alpn: &[u8]) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    // Whether the proxy is who it should be isn't what is measured.
    let gullible = Gullible::new(&provider.signature_verification_algorithms.supported_schemes());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    let builder = builder.dangerous().with_custom_certificate_verifier(gullible);
    let chain = CertificateDer::from_pem_file(folder.join("client.pem"))?;
    let key = PrivateKeyDer::from_pem_file(folder.join("client.key"))?;
    let mut config = builder.with_client_auth_cert(vec![chain], key)?;
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(config))
}

fn get(address: SocketAddr, config: &Arc<ClientConfig>, first: &[u8], path: &str) -> Result<Idle> {
    let socket = TcpStream::connect_timeout(&address, limits::SLACK)?;
    socket.set_read_timeout(Some(limits::SLACK))?;
    // The end of the handshake and the request are two small segments.
    socket.set_nodelay(true)?;
    let tls = ClientConnection::new(Arc::clone(config), ServerName::try_from("server")?)?;
    let mut stream = StreamOwned::new(tls, socket);
    stream.write_all(&[first, http::request(path).as_bytes()].concat())?;
    http::answer(BufReader::new((&mut stream).take(limits::ANSWER_BYTES)))?;
    Ok(stream)
}
