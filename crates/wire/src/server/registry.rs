//! Which proxies are connected, and what each has in effect.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use crate::key::Key;
use crate::malformed::Rejection;
use crate::server::catalog::Client;
use crate::server::session::Session;
use crate::version::Version;

/// One connected proxy.
#[derive(Clone, Debug)]
pub struct SessionReport {
    /// Counts up with every session.
    pub id: u64,
    /// The proxy.
    pub client: Client,
    /// When it connected.
    pub connected_at: SystemTime,
    /// The newest snapshot of which it has everything that it needs in effect (but for [`Self::rejections`]);
    /// `None` before its first.
    pub acked: Option<u64>,
    /// The snapshot of the batch that it has not answered yet.
    pub pending: Option<u64>,
    /// What it refused and still has otherwise.
    pub rejections: Vec<Rejection>,
    /// What it has in effect, answers among it.
    pub held: Arc<BTreeMap<Key, Version>>,
}

/// All connected proxies. Clones are the same registry.
#[derive(Clone, Debug)]
pub struct Registry {
    sessions: Arc<Mutex<Sessions>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Sessions {
    next: u64,
    reports: BTreeMap<u64, SessionReport>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { sessions: Arc::default(), changed: watch::Sender::new(0) }
    }
}

impl Registry {
    /// Every session, oldest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionReport> {
        self.lock(|sessions| sessions.reports.values().cloned().collect())
    }

    /// A counter that goes up whenever a session begins, ends, acknowledges or refuses.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Notes a new session, until what is returned is dropped.
    pub(super) fn begin(&self, client: Client, now: SystemTime) -> Registration {
        let id = self.lock(|sessions| {
            sessions.next += 1;
            let report = SessionReport {
                id: sessions.next,
                client,
                connected_at: now,
                acked: None,
                pending: None,
                rejections: Vec::new(),
                held: Arc::default(),
            };
            sessions.reports.insert(report.id, report);
            sessions.next
        });
        self.note_change();
        Registration { registry: self.clone(), id }
    }

    fn note_change(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn lock<T>(&self, f: impl FnOnce(&mut Sessions) -> T) -> T {
        f(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A session's place in the registry.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Registry,
    id: u64,
}

impl Registration {
    /// Notes what the session has come to; `held` where that may have changed.
    pub(super) fn update(&self, session: &Session, held: Option<BTreeMap<Key, Version>>) {
        self.registry.lock(|sessions| {
            let Some(report) = sessions.reports.get_mut(&self.id) else { return };
            report.acked = session.acked();
            report.pending = session.pending();
            report.rejections = session.rejections();
            if let Some(held) = held {
                report.held = Arc::new(held);
            }
        });
        self.registry.note_change();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock(|sessions| sessions.reports.remove(&self.id));
        self.registry.note_change();
    }
}
