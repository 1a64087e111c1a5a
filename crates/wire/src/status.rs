//! What the control plane tells people: proxies, objects and units, for `leno status` and `leno config`.

use crate::key::Key;
pub use crate::proto::control::{
    Diagnostic, ListObjectsResponse, ListProxiesResponse, Object, Proxy, Rejected,
};
use crate::unit::Unit;
use crate::version::Version;

/// Whether a proxy has a unit as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitState {
    /// It has.
    InEffect,
    /// It has not got or not answered it yet.
    Pending,
    /// It refused it, for this reason.
    Rejected(String),
}

/// A unit that a proxy should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyUnit {
    /// Its name.
    pub key: Key,
    /// The version that the proxy should have.
    pub version: Version,
    /// Whether it has.
    pub state: UnitState,
    /// The content; private keys are left out on the way.
    pub unit: Option<Unit>,
}

/// Answers people's questions about the control plane. No secret may be in any answer.
pub trait Status: Send + Sync + 'static {
    /// Every connected proxy.
    fn proxies(&self) -> ListProxiesResponse;

    /// Every object that was read.
    fn objects(&self) -> ListObjectsResponse;

    /// The snapshot, and what the proxy of this id should have; `None` where there is no such proxy.
    fn units(&self, proxy: &str) -> Option<(u64, Vec<ProxyUnit>)>;
}
