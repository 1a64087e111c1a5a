//! TLS inside the mesh: TLS 1.3 only, mutual, post-quantum key exchange first, never resumed.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::verify::Verifier;
use super::{Options, mesh_provider};
use crate::alpn;
use crate::bundle::Bundles;
use crate::error::Error;
use crate::svid::Svid;

/// Whether a client must show an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// Without a valid SVID there is no connection (STRICT).
    Required,
    /// A client may show none (PERMISSIVE); one that it shows must be valid.
    Optional,
}

/// The configuration to dial with. Its connections can hand their keys to whoever moves the bytes. `protocols` are the ALPN names offered, the preferred one first; a server that
/// chooses none of them is refused by the caller, who checks what was negotiated.
///
/// # Errors
/// [`Error::TlsConfiguration`].
pub fn client_config(
    svid: &Svid,
    bundles: &Arc<Bundles>,
    protocols: &[&[u8]],
    options: &Options,
) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_details(mesh_provider(), Arc::clone(&options.clock))
        .with_protocol_versions(&[&TLS13])
        .map_err(|source| Error::TlsConfiguration { subject: svid.id().to_string(), source })?
        .dangerous()
        .with_custom_certificate_verifier(Verifier::new(Arc::clone(bundles), true))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(svid.credential().certified())));
    config.alpn_protocols = alpn::owned(protocols);
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.key_log = Arc::clone(&options.key_log);
    config.enable_secret_extraction = true;
    Ok(config)
}

/// The configuration to accept with. Its connections can hand their keys on as well.
///
/// # Errors
/// [`Error::TlsConfiguration`].
pub fn server_config(
    svid: &Svid,
    bundles: &Arc<Bundles>,
    protocols: &[&[u8]],
    clients: ClientAuth,
    options: &Options,
) -> Result<ServerConfig, Error> {
    let verifier = Verifier::new(Arc::clone(bundles), clients == ClientAuth::Required);
    let mut config = ServerConfig::builder_with_details(mesh_provider(), Arc::clone(&options.clock))
        .with_protocol_versions(&[&TLS13])
        .map_err(|source| Error::TlsConfiguration { subject: svid.id().to_string(), source })?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(svid.credential().certified())));
    config.alpn_protocols = alpn::owned(protocols);
    config.key_log = Arc::clone(&options.key_log);
    config.enable_secret_extraction = true;
    without_resumption(&mut config);
    Ok(config)
}

/// rustls servers resume by default: no session store, no tickets.
pub(crate) fn without_resumption(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
}

/// The name to hand to rustls when dialling in the mesh. It is neither sent nor checked: identities are SPIFFE ids.
#[must_use]
pub fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0, 0, 0, 0])))
}
