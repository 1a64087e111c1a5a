//! The proxy's handles: questions in, updates out.

use std::time::Duration;

use leno_model::unit::{Answer, Question};
use tokio::sync::{mpsc, oneshot, watch};

use crate::client::update::{Ack, Update};
use crate::state::State;

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No answer came in time.
    #[error("the control plane did not answer in time")]
    TimedOut,
    /// Too many questions are open or waited for.
    #[error("too many questions are open")]
    TooMany,
    /// Discovery has ended: the proxy is stopping.
    #[error("discovery has ended")]
    Ended,
}

/// Whether the control plane is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Whether a stream is open.
    pub connected: bool,
    /// Why the last stream or attempt ended.
    pub last_error: Option<String>,
}

/// Asks the control plane. Clones share one stream; any thread may use one.
#[derive(Clone, Debug)]
pub struct Discovery {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) connection: watch::Receiver<Connection>,
}

/// What the handles tell the control task.
#[derive(Debug)]
pub(crate) enum Command {
    /// The question, and how long its answer is waited for.
    Ask(Question, Duration, oneshot::Sender<Result<Answer, AskError>>),
    Forget(Question),
    State(oneshot::Sender<State>),
}

impl Discovery {
    /// The answer to a question. When it comes, the update with everything that the answer refers to is in effect on
    /// every core. The question stays subscribed until it is [forgotten](Self::forget). Dropping the future is fine.
    ///
    /// # Errors
    /// When no answer comes within `limit`, or too many are waited for.
    pub async fn ask(&self, question: Question, limit: Duration) -> Result<Answer, AskError> {
        let ask = async {
            let (reply, answer) = oneshot::channel();
            self.commands
                .send(Command::Ask(question, limit, reply))
                .await
                .map_err(|_closed| AskError::Ended)?;
            answer.await.unwrap_or(Err(AskError::Ended))
        };
        leno_runtime::time::timeout(limit, ask).await.unwrap_or(Err(AskError::TimedOut))
    }

    /// Ends interest in a question: the next updates remove what nothing else refers to.
    pub async fn forget(&self, question: Question) {
        let _ended = self.commands.send(Command::Forget(question)).await;
    }

    /// Everything that is in effect, to be kept over a restart: with every update that was acknowledged before the call.
    /// `None` when discovery has ended.
    pub async fn state(&self) -> Option<State> {
        let (reply, state) = oneshot::channel();
        self.commands.send(Command::State(reply)).await.ok()?;
        state.await.ok()
    }

    /// Whether the control plane is there, to watch.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.clone()
    }
}

/// The updates, one at a time: the next comes after the last one's [`Ack`] is answered.
#[derive(Debug)]
pub struct Updates(pub(crate) mpsc::Receiver<(Update, Ack)>);

impl Updates {
    /// The next update; `None` when discovery has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<(Update, Ack)> {
        self.0.recv().await
    }
}
