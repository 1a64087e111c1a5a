//! A proxy's side of discovery, as far as tests need one.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leno_model::secret::SecretBytes;
use leno_model::unit::{Answer, Question};
use leno_runtime::{Task, task};
use leno_wire::client::{Config, Discovery, Update, start};
use leno_wire::malformed::Rejection;
use leno_wire::transport::{Address, ClientTls, Endpoint, Remote};
use leno_wire::{Key, Unit};
use tokio::sync::watch;

/// Far beyond what is right, for machines that are busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A connected proxy.
pub(crate) struct Proxy {
    pub(crate) discovery: Discovery,
    /// Updates that it got, newest last.
    updates: watch::Receiver<Vec<Update>>,
    /// Why it refuses a host, if it does.
    refuses: Arc<Mutex<Option<(Key, String)>>>,
    _tasks: [Task<()>; 2],
}

/// A control plane on a Unix socket.
pub(crate) fn unix(path: &Path, token: &str) -> Remote {
    Remote {
        address: Address::Unix(path.to_owned()),
        tls: None,
        token: Some(SecretBytes::new(token.as_bytes())),
    }
}

/// A control plane over TCP.
pub(crate) fn tcp(address: std::net::SocketAddr, tls: Arc<dyn ClientTls>, token: Option<&str>) -> Remote {
    let token = token.map(|token| SecretBytes::new(token.as_bytes()));
    Remote { address: Address::Tcp(address.to_string().into()), tls: Some(tls), token }
}

impl Proxy {
    pub(crate) fn start(endpoint: Endpoint, subject: &str) -> Self {
        let config =
            Config { endpoint, subject: subject.parse().unwrap(), version: "test".into(), restored: None };
        let (discovery, mut incoming, carry) = start(config);
        let (sender, updates) = watch::channel(Vec::new());
        let refuses: Arc<Mutex<Option<(Key, String)>>> = Arc::default();
        let refusing = Arc::clone(&refuses);
        let apply = async move {
            while let Some((update, ack)) = incoming.next().await {
                let refusal = refusing.lock().unwrap().clone();
                match refusal.filter(|(key, _)| update.changed.iter().any(|unit| unit.key() == *key)) {
                    Some((key, reason)) => ack.rejected(vec![Rejection { key, reason }]),
                    None => {
                        sender.send_modify(|updates| updates.push(update));
                        ack.applied();
                    }
                }
            }
        };
        let tasks = [task::spawn("test.discovery", carry), task::spawn("test.updates", apply)];
        Self { discovery, updates, refuses, _tasks: tasks }
    }

    pub(crate) async fn ask(&self, name: &str) -> Answer {
        self.discovery.ask(Question::Name(name.into()), PATIENCE).await.unwrap()
    }

    /// Refuses a unit whenever it comes.
    pub(crate) fn refuse(&self, key: Key, reason: &str) {
        *self.refuses.lock().unwrap() = Some((key, reason.to_owned()));
    }

    /// How many updates came so far.
    pub(crate) fn count(&self) -> usize {
        self.updates.borrow().len()
    }

    /// Every unit that an update after the first `skipped` ones brought.
    pub(crate) fn changed(&self, skipped: usize) -> Vec<Key> {
        let updates = self.updates.borrow();
        updates.iter().skip(skipped).flat_map(|update| &update.changed).map(Unit::key).collect()
    }

    /// The newest version of a unit.
    pub(crate) fn unit(&self, key: &Key) -> Option<Unit> {
        let updates = self.updates.borrow();
        updates.iter().rev().flat_map(|update| &update.changed).find(|unit| unit.key() == *key).cloned()
    }
}

/// Waits until something holds, looking whenever a counter goes up.
pub(crate) async fn until<T: Clone>(
    mut changes: watch::Receiver<T>,
    what: &str,
    mut holds: impl FnMut() -> bool,
) {
    let waiting = async {
        while !holds() {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_late| panic!("{what}"));
}
