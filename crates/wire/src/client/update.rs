//! What the proxy gets: one change of its configuration, whole.

use leno_model::unit::{Answer, Question};
use tokio::sync::oneshot;

use crate::key::Key;
use crate::malformed::Rejection;
use crate::unit::Unit;

/// Everything that changes together. It is consistent in itself and with what the proxy holds: every host that a
/// route or answer names is held after it, or does not exist in the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// The control plane's snapshot that it leads to. Counts anew when the control plane restarts.
    pub snapshot: u64,
    /// Units that are new or different; none of them is a [`Unit::Answer`].
    pub changed: Vec<Unit>,
    /// Units that are gone; none of them is a [`Key::Answer`].
    pub removed: Vec<Key>,
    /// Answers that are new or different; `None` where a question has no answer any more.
    pub answers: Vec<(Question, Option<Answer>)>,
}

/// What became of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in effect on every core.
    Applied,
    /// Nothing of it is in effect, because of these units. The control plane leaves them as they are until they change
    /// again, and sends the rest once more.
    Rejected(Vec<Rejection>),
}

/// The duty to say what became of an update. Dropped unanswered, the update counts as neither applied nor refused, and
/// the stream begins anew.
#[derive(Debug)]
#[must_use = "the next update comes only after this one is answered"]
pub struct Ack(pub(crate) oneshot::Sender<Outcome>);

impl Ack {
    /// The update is in effect on every core.
    pub fn applied(self) {
        let _gone = self.0.send(Outcome::Applied);
    }

    /// Nothing of the update is in effect, because of these units.
    pub fn rejected(self, rejections: Vec<Rejection>) {
        let _gone = self.0.send(Outcome::Rejected(rejections));
    }
}
