//! What the control plane tells people: proxies, objects and units, for `leno status` and `leno config`.
//!
//! No private key is in any of it: they are taken out on the way, whatever an implementation of [`Status`] returns.

use std::sync::Arc;

use leno_model::secret::{SecretBytes, TlsSecret};
use leno_model::unit::{GatewayUnit, ListenerUnit};

use crate::key::{Key, Kind};
use crate::limits;
use crate::malformed::Malformed;
use crate::proto::control::status_client::StatusClient;
use crate::proto::control::{
    self, ListObjectsRequest, ListProxiesRequest, ListUnitsRequest, ListUnitsResponse,
};
use crate::proto::google::protobuf::Any;
use crate::transport::{Channel, DialError, Remote, dial, origin};
use crate::unit::Unit;
use crate::version::Version;

pub use crate::proto::control::{
    Diagnostic, ListObjectsResponse, ListProxiesResponse, Object, Proxy, Refusal, Rejected,
};

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
    /// The content. Private keys in it do not travel.
    pub unit: Option<Unit>,
}

/// Answers people's questions about the control plane.
pub trait Status: Send + Sync + 'static {
    /// Every connected proxy.
    fn proxies(&self) -> ListProxiesResponse;

    /// Every object that was read.
    fn objects(&self) -> ListObjectsResponse;

    /// The snapshot, and what the proxy of this id should have; `None` where there is no such proxy.
    fn units(&self, proxy: &str) -> Option<(u64, Vec<ProxyUnit>)>;
}

/// Why the control plane's status is not known.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// It cannot be reached.
    #[error("the control plane cannot be reached")]
    Unreachable(#[source] DialError),
    /// It does not answer the question.
    #[error("the control plane does not answer: {} ({:?})", .0.message(), .0.code())]
    Refused(tonic::Status),
    /// Its answer cannot be read.
    #[error("the control plane's answer cannot be read")]
    Malformed(#[source] Malformed),
}

/// Asks a control plane.
#[derive(Debug)]
pub struct Client(Channel);

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When the control plane is not reached in time.
    pub async fn connect(remote: &Remote) -> Result<Self, StatusError> {
        dial(remote).await.map(Self).map_err(StatusError::Unreachable)
    }

    /// Every connected proxy.
    ///
    /// # Errors
    /// When the control plane does not answer.
    pub async fn proxies(&mut self) -> Result<ListProxiesResponse, StatusError> {
        let answer = self.client().list_proxies(ListProxiesRequest {}).await;
        answer.map(tonic::Response::into_inner).map_err(StatusError::Refused)
    }

    /// Every object that was read.
    ///
    /// # Errors
    /// When the control plane does not answer.
    pub async fn objects(&mut self) -> Result<ListObjectsResponse, StatusError> {
        let answer = self.client().list_objects(ListObjectsRequest {}).await;
        answer.map(tonic::Response::into_inner).map_err(StatusError::Refused)
    }

    /// The snapshot, and what a proxy should have.
    ///
    /// # Errors
    /// When there is no such proxy or the control plane does not answer.
    pub async fn units(&mut self, proxy: &str) -> Result<(u64, Vec<ProxyUnit>), StatusError> {
        let answer = self.client().list_units(ListUnitsRequest { proxy: proxy.to_owned() }).await;
        let answer = answer.map_err(StatusError::Refused)?.into_inner();
        let units: Result<_, _> = answer.units.into_iter().map(read_unit).collect();
        Ok((answer.snapshot, units.map_err(StatusError::Malformed)?))
    }

    fn client(&mut self) -> StatusClient<&mut Channel> {
        StatusClient::with_origin(&mut self.0, origin()).max_decoding_message_size(limits::MAX_STATUS_BYTES)
    }
}

pub(crate) fn write_units(snapshot: u64, units: &[ProxyUnit]) -> ListUnitsResponse {
    ListUnitsResponse { snapshot, units: units.iter().map(write_unit).collect() }
}

fn write_unit(unit: &ProxyUnit) -> control::Unit {
    let type_url = unit.key.kind().type_url();
    let (state, reason) = match &unit.state {
        UnitState::InEffect => (control::UnitState::InEffect, String::new()),
        UnitState::Pending => (control::UnitState::Pending, String::new()),
        UnitState::Rejected(reason) => (control::UnitState::Rejected, reason.clone()),
    };
    let content =
        unit.unit.as_ref().map(|unit| Any { type_url: type_url.clone(), value: without_keys(unit).encode() });
    control::Unit {
        type_url,
        name: unit.key.name(),
        version: unit.version.to_string(),
        state: state.into(),
        reason,
        content,
    }
}

fn read_unit(unit: control::Unit) -> Result<ProxyUnit, Malformed> {
    let kind = Kind::from_type_url(&unit.type_url).ok_or_else(|| Malformed::missing("type_url"))?;
    let key = Key::parse(kind, &unit.name)?;
    let state = match control::UnitState::try_from(unit.state) {
        Ok(control::UnitState::InEffect) => UnitState::InEffect,
        Ok(control::UnitState::Pending) => UnitState::Pending,
        Ok(control::UnitState::Rejected) => UnitState::Rejected(unit.reason),
        Ok(control::UnitState::Unspecified) | Err(_) => return Err(Malformed::missing("state")),
    };
    let version = unit.version.parse().map_err(|error| Malformed::new(error).in_field("version"))?;
    let unit = unit.content.map(|content| Unit::decode(&key, &content.value)).transpose()?;
    Ok(ProxyUnit { key, version, state, unit })
}

/// The unit as people may see it.
fn without_keys(unit: &Unit) -> Unit {
    let Unit::Gateway(gateway) = unit else { return unit.clone() };
    let blank = |secret: &Arc<TlsSecret>| {
        Arc::new(TlsSecret { key: SecretBytes::new(&b"[secret]"[..]), ..TlsSecret::clone(secret) })
    };
    let listeners = gateway.listeners.iter().map(|listener| ListenerUnit {
        certificates: listener.certificates.iter().map(blank).collect(),
        ..listener.clone()
    });
    Unit::Gateway(Arc::new(GatewayUnit { listeners: listeners.collect(), ..GatewayUnit::clone(gateway) }))
}
