//! The task that carries a [`Machine`]: streams, time and channels. It decides nothing.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use leno_model::unit::Answer;
use leno_runtime::Instant;
use tokio::sync::{mpsc, oneshot, watch};

use super::discovery::{AskError, Command, Connection, Discovery, Updates};
use super::link::{Link, LinkError};
use super::machine::{Action, Event, Machine};
use super::questions::Waiter;
use super::update::{Ack, Outcome, Update};
use crate::key::Subject;
use crate::limits;
use crate::proto::discovery::DeltaDiscoveryResponse;
use crate::state::State;
use crate::transport::{Backoff, Endpoint, chain};

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
/// every [`Discovery`] is dropped, or the [`Updates`] are.
pub fn start(config: Config) -> (Discovery, Updates, impl Future<Output = ()> + Send + 'static) {
    let (commands, inbox) = mpsc::channel(limits::COMMANDS);
    let (updates, outbox) = mpsc::channel(1);
    let (connected, connection) = watch::channel(Connection::default());
    let run = async move {
        let (machine, actions) =
            Machine::new(config.subject, config.version, config.restored, Instant::now().into_std());
        let mut runner = Runner {
            machine,
            updates,
            connected,
            stream: Stream::Paused(Instant::now()),
            endpoint: config.endpoint,
            backoff: Backoff::new(),
            attempted_at: Instant::now(),
            outcome: None,
            waiting: BTreeMap::new(),
            next_waiter: 0,
        };
        if runner.act(actions) {
            runner.run(inbox).await;
        }
    };
    (Discovery { commands, connection }, Updates(outbox), run)
}

struct Runner {
    machine: Machine,
    updates: mpsc::Sender<(Update, Ack)>,
    connected: watch::Sender<Connection>,
    stream: Stream,
    endpoint: Endpoint,
    backoff: Backoff,
    /// When the last attempt began.
    attempted_at: Instant,
    /// What becomes of the update that the proxy has.
    outcome: Option<oneshot::Receiver<Outcome>>,
    waiting: BTreeMap<Waiter, oneshot::Sender<Result<Answer, AskError>>>,
    next_waiter: u64,
}

enum Stream {
    /// The next attempt is due then.
    Paused(Instant),
    Dialling(Pin<Box<dyn Future<Output = Result<Link, LinkError>> + Send>>),
    Open(Link),
}

/// What a stream came to.
enum Progress {
    /// It is time for an attempt.
    Due,
    Opened(Link),
    Response(DeltaDiscoveryResponse),
    /// A request is on its way.
    Sent,
    Lost(LinkError),
}

impl Runner {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            let deadline = self.machine.deadline().map(Instant::from_std);
            // Outcomes first: whoever asks for the state has it with every update acknowledged before. Commands last:
            // however many the proxy has, the control plane is listened to.
            let event = tokio::select! {
                biased;
                outcome = outcome(&mut self.outcome) => Some(outcome),
                () = sleep_until(deadline) => Some(Event::Tick),
                progress = progress(&mut self.stream, &mut self.machine) => self.progress(progress),
                () = self.updates.closed() => return,
                command = inbox.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
            };
            let now = Instant::now().into_std();
            let actions = event.map_or_else(Vec::new, |event| self.machine.handle(event, now));
            if !self.act(actions) {
                return;
            }
        }
    }

    fn command(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Ask(question, limit, reply) => {
                let waiter = Waiter(self.next_waiter);
                self.next_waiter += 1;
                self.waiting.insert(waiter, reply);
                Some(Event::Ask(waiter, question, Instant::now().into_std() + limit))
            }
            Command::Forget(question) => Some(Event::Forget(question)),
            Command::State(reply) => {
                let _gone = reply.send(self.machine.state());
                None
            }
        }
    }

    fn progress(&mut self, progress: Progress) -> Option<Event> {
        match progress {
            Progress::Sent => None,
            Progress::Response(response) => Some(Event::Response(response)),
            Progress::Due => {
                self.attempted_at = Instant::now();
                self.stream = Stream::Dialling(Box::pin(Link::open(self.endpoint.clone())));
                None
            }
            Progress::Opened(link) => {
                self.stream = Stream::Open(link);
                self.connected.send_replace(Connection { connected: true, last_error: None });
                Some(Event::Connected)
            }
            Progress::Lost(error) => {
                self.pause(chain(&error));
                Some(Event::Disconnected)
            }
        }
    }

    /// Ends the stream; the next attempt comes after a while.
    fn pause(&mut self, error: String) {
        let pause: Duration = self.backoff.pause(self.attempted_at.elapsed());
        self.stream = Stream::Paused(Instant::now() + pause);
        self.connected.send_replace(Connection { connected: false, last_error: Some(error) });
    }

    /// Whether there is still somebody to work for.
    fn act(&mut self, actions: Vec<Action>) -> bool {
        for action in actions {
            match action {
                Action::Apply(update) => {
                    let (reply, outcome) = oneshot::channel();
                    self.outcome = Some(outcome);
                    // There is room, since the last one was answered.
                    if self.updates.try_send((update, Ack(reply))).is_err() {
                        return false;
                    }
                }
                Action::Reply(waiter, answer) => {
                    if let Some(reply) = self.waiting.remove(&waiter) {
                        let _gone = reply.send(answer);
                    }
                }
                Action::Close(error) => self.pause(chain(&error)),
            }
        }
        true
    }
}

async fn outcome(receiver: &mut Option<oneshot::Receiver<Outcome>>) -> Event {
    let Some(outcome) = receiver else { return pending().await };
    let event = match outcome.await {
        Ok(Outcome::Applied) => Event::Applied,
        Ok(Outcome::Rejected(rejections)) => Event::Rejected(rejections),
        Err(_dropped) => Event::Abandoned,
    };
    *receiver = None;
    event
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => leno_runtime::time::sleep_until(deadline).await,
        None => pending().await,
    }
}

/// Goes on with the stream. Cancel-safe.
async fn progress(stream: &mut Stream, machine: &mut Machine) -> Progress {
    match stream {
        Stream::Paused(until) => {
            leno_runtime::time::sleep_until(*until).await;
            Progress::Due
        }
        Stream::Dialling(attempt) => match attempt.await {
            Ok(link) => Progress::Opened(link),
            Err(error) => Progress::Lost(error),
        },
        Stream::Open(link) => match link.next(machine).await {
            Ok(Some(response)) => Progress::Response(response),
            Ok(None) => Progress::Sent,
            Err(error) => Progress::Lost(error),
        },
    }
}
