//! The identity that one workload has now, with the TLS configurations made from it.
//!
//! Each `Local` owns one [`Identities`]; nothing here is process-wide. A change replaces everything at once: whoever
//! holds a [`Current`] sees SVID, bundles and configurations that belong together.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use leno_model::failure::Failure;
use leno_model::spiffe::SpiffeId;
use rustls::{ClientConfig, ServerConfig};

use crate::alpn;
use crate::bundle::Bundles;
use crate::error::Error;
use crate::svid::Svid;
use crate::tls::Options;
use crate::tls::mesh::{self, ClientAuth};

/// Which transport a connection is dialled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `leno/1`.
    Leno,
    /// HBONE: HTTP/2 CONNECT.
    Hbone,
    /// Either; the server's choice of ALPN decides, `leno/1` being preferred.
    Any,
    /// An Istio sidecar's application port.
    Istio,
}

/// Holds a workload's current identity. Share it between cores by `Arc`; reading takes no lock.
#[derive(Debug, Default)]
pub struct Identities {
    current: ArcSwapOption<Current>,
    options: Options,
}

impl Identities {
    /// Nobody yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { current: ArcSwapOption::empty(), options }
    }

    /// Takes a new SVID, new bundles or both. Returns the new epoch. Open connections keep what they have.
    ///
    /// # Errors
    /// [`Error::TlsConfiguration`]; then nothing changed.
    pub fn install(&self, svid: Svid, bundles: Arc<Bundles>) -> Result<u64, Error> {
        let built = Configurations::build(&svid, &bundles, &self.options)?;
        let next = |previous: &Option<Arc<Current>>| {
            let (epoch, trust_epoch) = match previous {
                None => (1, 1),
                Some(old) if *old.bundles == *bundles => (old.epoch + 1, old.trust_epoch),
                Some(old) => (old.epoch + 1, old.trust_epoch + 1),
            };
            Current {
                epoch,
                trust_epoch,
                svid: svid.clone(),
                bundles: Arc::clone(&bundles),
                configurations: built.clone(),
            }
        };
        let previous = self.current.rcu(|previous| Some(Arc::new(next(previous))));
        Ok(previous.map_or(1, |previous| previous.epoch + 1))
    }

    /// What is held now, expired or not.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Current>> {
        self.current.load_full()
    }

    /// What new connections may use. Open streams don't ask.
    ///
    /// # Errors
    /// [`Failure::NoIdentity`] before the first SVID, [`Failure::IdentityExpired`] after the last one's end.
    pub fn usable(&self, now: SystemTime) -> Result<Arc<Current>, Failure> {
        let current = self.current.load_full().ok_or(Failure::NoIdentity)?;
        if current.svid.expired(now) { Err(Failure::IdentityExpired) } else { Ok(current) }
    }

    /// The number of the last change; 0 before the first SVID.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |current| current.epoch)
    }
}

/// One consistent state of a workload's identity.
#[derive(Debug)]
pub struct Current {
    epoch: u64,
    trust_epoch: u64,
    svid: Svid,
    bundles: Arc<Bundles>,
    configurations: Configurations,
}

#[derive(Clone, Debug)]
struct Configurations {
    leno: Arc<ClientConfig>,
    hbone: Arc<ClientConfig>,
    any: Arc<ClientConfig>,
    istio: Arc<ClientConfig>,
    required: Arc<ServerConfig>,
    optional: Arc<ServerConfig>,
}

impl Configurations {
    fn build(svid: &Svid, bundles: &Arc<Bundles>, options: &Options) -> Result<Self, Error> {
        let any = mesh::client_config(svid, bundles, alpn::MESH, options)?;
        let client = |protocols| Arc::new(with_protocols(&any, protocols));
        let server = |auth| mesh::server_config(svid, bundles, alpn::MESH, auth, options).map(Arc::new);
        Ok(Self {
            leno: client(&[alpn::LENO]),
            hbone: client(&[alpn::H2]),
            istio: client(alpn::ISTIO),
            required: server(ClientAuth::Required)?,
            optional: server(ClientAuth::Optional)?,
            any: Arc::new(any),
        })
    }
}

impl Current {
    /// Grows with every change.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Grows when the bundles change: then open streams must be judged again.
    #[must_use]
    pub fn trust_epoch(&self) -> u64 {
        self.trust_epoch
    }

    /// Who this workload is.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        self.svid.id()
    }

    /// The workload's SVID.
    #[must_use]
    pub fn svid(&self) -> &Svid {
        &self.svid
    }

    /// The bundles that peers are judged by.
    #[must_use]
    pub fn bundles(&self) -> &Arc<Bundles> {
        &self.bundles
    }

    /// The configuration to dial a mesh peer with.
    #[must_use]
    pub fn client(&self, transport: Transport) -> Arc<ClientConfig> {
        let configurations = &self.configurations;
        Arc::clone(match transport {
            Transport::Leno => &configurations.leno,
            Transport::Hbone => &configurations.hbone,
            Transport::Any => &configurations.any,
            Transport::Istio => &configurations.istio,
        })
    }

    /// The configuration to accept mesh peers with: `leno/1` and HBONE by ALPN.
    #[must_use]
    pub fn server(&self, clients: ClientAuth) -> Arc<ServerConfig> {
        Arc::clone(match clients {
            ClientAuth::Required => &self.configurations.required,
            ClientAuth::Optional => &self.configurations.optional,
        })
    }

    /// A configuration to accept other protocols with, such as an Istio sidecar's. Makes a copy: keep it for the epoch.
    #[must_use]
    pub fn server_for(&self, clients: ClientAuth, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let mut config = (*self.server(clients)).clone();
        config.alpn_protocols = alpn::owned(protocols);
        Arc::new(config)
    }
}

fn with_protocols(config: &ClientConfig, protocols: &[&[u8]]) -> ClientConfig {
    let mut config = config.clone();
    config.alpn_protocols = alpn::owned(protocols);
    config
}
