//! Where a session's units come from.

use std::sync::Arc;

use leno_model::spiffe::SpiffeId;
use leno_model::unit::{Answer, Question};
use tokio::sync::watch;

use crate::key::{Key, Subject};
use crate::unit::Encoded;

/// The proxy on the other side of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Whose configuration it carries out.
    pub subject: Subject,
    /// Its verified identity; `None` in-process.
    pub identity: Option<SpiffeId>,
    /// The program's version.
    pub version: Arc<str>,
}

/// One snapshot, as proxies may ask for it. Immutable: a change is another catalog. The same key has the same answer
/// every time it is asked for, so implementations may compile on demand and must remember what they compiled.
pub trait Catalog: Send + Sync + 'static {
    /// The snapshot's number.
    fn snapshot(&self) -> u64;

    /// What this proxy always holds: the mesh's settings, bundles, its own workload or gateway.
    fn resident(&self, client: &Client) -> Vec<Key>;

    /// The answer to a question. The question is [askable](crate::question::is_askable).
    fn answer(&self, question: &Question, client: &Client) -> Answer;

    /// A unit; `None` where there is none. Never asked for a [`Key::Answer`]. Units that are equal to those of an
    /// earlier catalog should be the same `Arc`.
    fn unit(&self, key: &Key, client: &Client) -> Option<Arc<Encoded>>;
}

/// The newest catalog. Sessions look at it when it changes and when they are free, so intermediate ones are skipped.
pub type Catalogs = watch::Receiver<Arc<dyn Catalog>>;
