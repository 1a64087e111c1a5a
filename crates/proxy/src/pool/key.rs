//! By what upstream connections are kept.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use leno_http::server::Protocol;
use leno_model::name::Host;
use leno_model::service::Address;
use leno_model::spiffe::SpiffeId;

use crate::dial::SocketSettings;
use crate::table::Equivalent;

/// What two requests must have in common to share a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key<'k> {
    /// The epoch of our certificate; 0 in plaintext. A new certificate means new connections.
    pub(crate) epoch: u64,
    /// Who must be at the other end.
    pub(crate) peer: Option<&'k SpiffeId>,
    /// Whether it is a tunnel: then the application itself may be at its end.
    pub(crate) tunnel: bool,
    /// The endpoint's uid, where it is one of the mesh.
    pub(crate) endpoint: Option<&'k Arc<str>>,
    /// The workload's address and port.
    pub(crate) target: SocketAddr,
    /// The service by which it was chosen; the other side counts by it.
    pub(crate) service: Option<&'k Host>,
    /// What is spoken.
    pub(crate) protocol: Protocol,
    /// Settings of TLS towards the outside, by name; connections with different ones aren't shared.
    pub(crate) outside: Option<&'k Arc<str>>,
    /// What a connection begins with to say who the client is; then it is that client's alone.
    pub(crate) first: Option<&'k Arc<[u8]>>,
}

/// A [`Key`] that connections are kept by.
#[derive(Debug)]
pub(super) struct OwnKey {
    pub(super) epoch: u64,
    peer: Option<SpiffeId>,
    tunnel: bool,
    endpoint: Option<Arc<str>>,
    target: SocketAddr,
    service: Option<Host>,
    protocol: Protocol,
    outside: Option<Arc<str>>,
    first: Option<Arc<[u8]>>,
}

impl From<Key<'_>> for OwnKey {
    fn from(key: Key<'_>) -> Self {
        let Key { epoch, peer, tunnel, endpoint, target, service, protocol, outside, first } = key;
        Self {
            epoch,
            peer: peer.cloned(),
            tunnel,
            endpoint: endpoint.cloned(),
            target,
            service: service.cloned(),
            protocol,
            outside: outside.cloned(),
            first: first.cloned(),
        }
    }
}

impl OwnKey {
    fn key(&self) -> Key<'_> {
        let Self { epoch, peer, tunnel, endpoint, target, service, protocol, outside, first } = self;
        Key {
            epoch: *epoch,
            peer: peer.as_ref(),
            tunnel: *tunnel,
            endpoint: endpoint.as_ref(),
            target: *target,
            service: service.as_ref(),
            protocol: *protocol,
            outside: outside.as_ref(),
            first: first.as_ref(),
        }
    }
}

impl PartialEq for OwnKey {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for OwnKey {}

impl Hash for OwnKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Equivalent<OwnKey> for Key<'_> {
    fn equivalent(&self, own: &OwnKey) -> bool {
        *self == own.key()
    }
}

impl Hash for Key<'_> {
    /// Of what tells nearly all keys apart and costs little: a request looks its connection up by one.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.target.ip() {
            IpAddr::V4(ip) => state.write_u32(ip.to_bits()),
            IpAddr::V6(ip) => state.write_u128(ip.to_bits()),
        }
        state.write_u16(self.target.port());
        state.write_u8(u8::from(self.protocol == Protocol::Http2));
        self.first.hash(state);
    }
}

/// What two streams of HBONE must have in common to share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TunnelKey {
    /// The epoch of our certificate.
    pub(crate) epoch: u64,
    /// Who we are.
    pub(crate) own: SpiffeId,
    /// Who must be at the other end.
    pub(crate) peer: SpiffeId,
    /// The peer's proxy.
    pub(crate) address: Address,
    /// What the socket is made with.
    pub(crate) socket: SocketSettings,
}
