//! What people are told: `leno status` and `leno config`.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use leno_model::secret::{SecretBytes, TlsSecret};
use leno_model::snapshot::ObjectReport;
use leno_model::span;
use leno_model::unit::{GatewayUnit, ListenerUnit};
use leno_wire::server::{Catalog as _, Registry, SessionReport};
use leno_wire::status::{
    Diagnostic, ListObjectsResponse, ListProxiesResponse, Object, Proxy, ProxyUnit, Refusal, Rejected,
    Status, UnitState,
};
use leno_wire::{Key, Unit, Version};
use tokio::sync::watch;

use crate::catalog::Catalog;
use crate::codes::{self, finding};
use crate::effect::{self, Effect};
use crate::limits::MAX_SHOWN_PROXIES;

/// Answers from the newest catalog and the sessions that there are.
#[derive(Clone, Debug)]
pub struct Answers {
    catalogs: watch::Receiver<Arc<Catalog>>,
    sessions: Registry,
    taken: watch::Receiver<u64>,
}

impl Answers {
    /// Answers about these. `taken` is how many of the changes that were told of are in the newest catalog.
    #[must_use]
    pub fn new(
        catalogs: watch::Receiver<Arc<Catalog>>,
        sessions: Registry,
        taken: watch::Receiver<u64>,
    ) -> Self {
        Self { catalogs, sessions, taken }
    }

    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalogs.borrow())
    }
}

impl Status for Answers {
    fn proxies(&self) -> ListProxiesResponse {
        // In this order: a snapshot that is looked up later has at least these changes, and no proxy has a later one.
        let changes = *self.taken.borrow();
        let proxies = self.sessions.sessions().iter().map(proxy).collect();
        ListProxiesResponse { snapshot: self.catalog().snapshot(), proxies, changes }
    }

    fn objects(&self) -> ListObjectsResponse {
        let catalog = self.catalog();
        let effects = effect::effects(&catalog, &self.sessions.sessions());
        let reports = &catalog.configuration().objects;
        let objects =
            reports.iter().map(|report| object(report, effects.get(&report.origin.object))).collect();
        ListObjectsResponse { snapshot: catalog.snapshot(), objects }
    }

    fn units(&self, proxy: &str) -> Option<(u64, Vec<ProxyUnit>)> {
        let catalog = self.catalog();
        let sessions = self.sessions.sessions();
        // After a reconnection the newest session is the one that lives.
        let session = sessions.iter().rfind(|session| session.client.subject.to_string() == proxy)?;
        let wanted = effect::wanted(&catalog, session);
        let unit = |(key, compiled): (&Key, &Arc<_>)| {
            let version = effect::version(compiled)?;
            Some(ProxyUnit {
                key: key.clone(),
                version,
                state: state(session, key, version),
                unit: Some(without_secrets(&compiled.unit)),
            })
        };
        Some((catalog.snapshot(), wanted.iter().filter_map(unit).collect()))
    }
}

fn state(session: &SessionReport, key: &Key, version: Version) -> UnitState {
    let rejection = session.rejections.iter().find(|rejection| rejection.key == *key);
    match rejection {
        _ if session.held.get(key) == Some(&version) => UnitState::InEffect,
        Some(rejection) => UnitState::Rejected(rejection.reason.clone()),
        None => UnitState::Pending,
    }
}

fn proxy(session: &SessionReport) -> Proxy {
    let connected = session.connected_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let rejected = session.rejections.iter().map(|rejection| Rejected {
        type_url: rejection.key.kind().type_url(),
        name: rejection.key.name(),
        reason: rejection.reason.clone(),
    });
    Proxy {
        id: session.client.subject.to_string(),
        identity: session.client.identity.as_ref().map_or_else(String::new, |id| id.as_str().to_owned()),
        version: session.client.version.to_string(),
        connected_at: u64::try_from(connected.as_millis()).unwrap_or(u64::MAX),
        snapshot: session.acked.unwrap_or(0),
        units: u32::try_from(session.held.len()).unwrap_or(u32::MAX),
        rejected: rejected.collect(),
    }
}

fn object(report: &ObjectReport, effect: Option<&Effect>) -> Object {
    let origin = &report.origin;
    let refused = effect.into_iter().flat_map(|effect| effect.refused.iter().take(MAX_SHOWN_PROXIES));
    let waiting = effect.into_iter().flat_map(|effect| effect.waiting.iter().take(MAX_SHOWN_PROXIES));
    let refusals = refused.clone().map(|(proxy, reason)| {
        let message = format!("{proxy} refuses it: {reason}");
        finding(codes::REFUSED_BY_PROXY, Some(origin.object.clone()), origin.location.clone(), message)
    });
    let diagnostics = report.diagnostics.iter().cloned().chain(refusals);
    Object {
        kind: origin.object.kind.to_string(),
        namespace: origin.object.namespace.to_string(),
        name: origin.object.name.to_string(),
        file: origin.location.file.to_string(),
        line: origin.location.line,
        column: origin.location.column,
        verdict: report.verdict.as_str().to_owned(),
        diagnostics: diagnostics.map(|diagnostic| shown(&diagnostic)).collect(),
        in_effect: effect.map_or(0, |effect| effect.in_effect),
        proxies: effect.map_or(0, |effect| effect.proxies),
        waiting: waiting.cloned().collect(),
        refused: refused
            .map(|(proxy, reason)| Refusal { proxy: proxy.clone(), reason: reason.clone() })
            .collect(),
    }
}

fn shown(diagnostic: &span::Diagnostic) -> Diagnostic {
    Diagnostic {
        code: diagnostic.code.to_owned(),
        severity: diagnostic.severity.as_str().to_owned(),
        file: diagnostic.location.file.to_string(),
        line: diagnostic.location.line,
        column: diagnostic.location.column,
        message: diagnostic.message.clone(),
        hint: diagnostic.hint.clone(),
    }
}

/// The unit without private keys: nothing that only the proxy may have leaves this module.
#[must_use]
pub fn without_secrets(unit: &Unit) -> Unit {
    let Unit::Gateway(gateway) = unit else { return unit.clone() };
    let blank = |secret: &Arc<TlsSecret>| {
        Arc::new(TlsSecret { key: SecretBytes::new(&b"[secret]"[..]), ..(**secret).clone() })
    };
    let listener = |listener: &ListenerUnit| ListenerUnit {
        certificates: listener.certificates.iter().map(blank).collect(),
        ..listener.clone()
    };
    let listeners = gateway.listeners.iter().map(listener).collect();
    Unit::Gateway(Arc::new(GatewayUnit { listeners, ..(**gateway).clone() }))
}
