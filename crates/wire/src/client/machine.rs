//! A proxy's side of discovery, without I/O and without a clock.
//!
//! Events go in, actions come out; requests are pulled by [`Machine::next_request`] when the stream has room, so that
//! none ever queue. Invariants: what is held changes only by [`Event::Applied`]; at most one update is with the proxy
//! at a time; a batch is answered once, after the proxy has answered its update.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use leno_model::unit::{Answer, Question};

use super::discovery::AskError;
use super::names::Names;
use super::opening;
use super::questions::{Questions, Waiter};
use super::staging::{Batch, Committed, Held, Staging};
use super::update::Update;
use crate::key::{Key, Kind, Subject};
use crate::limits;
use crate::malformed::Rejection;
use crate::proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use crate::protocol::{self, COMMIT, ProtocolError};
use crate::question;
use crate::state::State;
use crate::unit::Unit;

#[cfg(test)]
mod tests;

/// What happens to a machine.
#[derive(Debug)]
pub enum Event {
    /// A stream is open.
    Connected,
    /// The stream is gone. Whatever it had not delivered is lost.
    Disconnected,
    /// The stream delivered a response.
    Response(DeltaDiscoveryResponse),
    /// A caller asks, and waits until the deadline.
    Ask(Waiter, Question, Instant),
    /// Nobody is interested in a question any more.
    Forget(Question),
    /// The update is in effect on every core.
    Applied,
    /// Nothing of the update is in effect, because of these units.
    Rejected(Vec<Rejection>),
    /// Nobody will say what became of the update.
    Abandoned,
    /// [`Machine::deadline`] has come.
    Tick,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Hand the update to the proxy, and come back with what became of it.
    Apply(Update),
    /// Tell a caller.
    Reply(Waiter, Result<Answer, AskError>),
    /// Give up the stream, because of this.
    Close(ProtocolError),
}

/// What a proxy holds, asks and is about to hold.
#[derive(Debug)]
pub struct Machine {
    subject: Subject,
    version: Arc<str>,
    held: BTreeMap<Key, Held>,
    snapshot: u64,
    questions: Questions,
    names: Names,
    stream: Stream,
    /// What the proxy is taking into effect. A stream that opens meanwhile waits, so an open one is the one it came on.
    applying: Option<Batch>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one, and it is open nearly always")]
enum Stream {
    Down,
    /// Open, but nothing is said before it is known what became of an update from an earlier stream.
    Waiting,
    Open {
        /// The rest of the opening.
        opening: VecDeque<DeltaDiscoveryRequest>,
        staging: Staging,
        /// The answer to the last batch, not sent yet.
        verdict: Option<DeltaDiscoveryRequest>,
    },
}

impl Machine {
    /// A machine for a proxy that holds what was kept from an earlier run, or nothing. The actions hand the proxy what
    /// was kept, as its first update.
    #[must_use]
    pub fn new(
        subject: Subject,
        version: Arc<str>,
        restored: Option<State>,
        now: Instant,
    ) -> (Self, Vec<Action>) {
        let mut machine = Self {
            subject,
            version,
            held: BTreeMap::new(),
            snapshot: 0,
            questions: Questions::default(),
            names: Names::new(limits::MAX_ABSENT, limits::ABSENT_TTL),
            stream: Stream::Down,
            applying: None,
        };
        let Some(state) = restored.filter(|state| !state.units.is_empty()) else {
            return (machine, Vec::new());
        };
        let changes =
            state.units.into_iter().map(|(version, unit)| (unit.key(), Some(Held { version, unit })));
        let batch = Batch { snapshot: state.snapshot, nonce: String::new(), changes: changes.collect() };
        let questions: Vec<Question> = batch.changes.keys().filter_map(answered).cloned().collect();
        for question in questions.iter().take(limits::MAX_QUESTIONS) {
            machine.questions.want(question);
            // Until the update is in effect it has no answer.
            machine.questions.unanswered(question, now + limits::PENDING_TTL);
        }
        let update = update(&batch);
        machine.applying = Some(batch);
        (machine, vec![Action::Apply(update)])
    }

    /// Takes in an event.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Connected => {
                self.stream = Stream::Waiting;
                self.open();
            }
            Event::Disconnected => self.disconnected(),
            Event::Response(response) => {
                if let Err(error) = self.response(response, now, &mut actions) {
                    self.disconnected();
                    actions.push(Action::Close(error));
                }
            }
            Event::Ask(waiter, question, deadline) => {
                self.ask(waiter, &question, deadline, now, &mut actions)
            }
            Event::Forget(question) => self.forget(&question),
            Event::Applied => self.applied(now, &mut actions),
            Event::Rejected(rejections) if !rejections.is_empty() => self.rejected(&rejections),
            Event::Rejected(_) | Event::Abandoned => self.abandoned(&mut actions),
            Event::Tick => self.tick(now, &mut actions),
        }
        actions
    }

    /// The next request for the stream, when it has room for one.
    pub fn next_request(&mut self) -> Option<DeltaDiscoveryRequest> {
        let Stream::Open { opening, verdict, .. } = &mut self.stream else { return None };
        if let Some(request) = opening.pop_front().or_else(|| verdict.take()) {
            return Some(request);
        }
        if !self.questions.has_news() {
            return None;
        }
        let (subscribe, unsubscribe) = self.questions.news();
        Some(DeltaDiscoveryRequest {
            type_url: Kind::Answer.type_url(),
            resource_names_subscribe: subscribe.iter().map(question::name).collect(),
            resource_names_unsubscribe: unsubscribe.iter().map(question::name).collect(),
            ..DeltaDiscoveryRequest::default()
        })
    }

    /// Whether [`Machine::next_request`] has one.
    #[must_use]
    pub fn has_request(&self) -> bool {
        match &self.stream {
            Stream::Down | Stream::Waiting => false,
            Stream::Open { opening, verdict, .. } => {
                !opening.is_empty() || verdict.is_some() || self.questions.has_news()
            }
        }
    }

    /// When the next [`Event::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let expiry = if self.is_connected() { self.names.expiry() } else { None };
        [self.questions.next_expiry(), expiry].into_iter().flatten().min()
    }

    /// Everything that is in effect.
    #[must_use]
    pub fn state(&self) -> State {
        State {
            snapshot: self.snapshot,
            units: self.held.values().map(|held| (held.version, held.unit.clone())).collect(),
        }
    }

    /// Every question that is subscribed, answered or not.
    pub fn questions(&self) -> impl Iterator<Item = &Question> {
        self.questions.wanted().iter()
    }

    fn is_connected(&self) -> bool {
        !matches!(self.stream, Stream::Down)
    }

    /// Begins the opening, unless an update is still with the proxy.
    fn open(&mut self) {
        if self.applying.is_some() || !matches!(self.stream, Stream::Waiting) {
            return;
        }
        let opening = opening::requests(&self.subject, &self.version, &self.held, self.questions.wanted());
        self.questions.all_told();
        self.stream = Stream::Open { opening, staging: Staging::default(), verdict: None };
    }

    fn disconnected(&mut self) {
        self.stream = Stream::Down;
    }

    fn response(
        &mut self,
        response: DeltaDiscoveryResponse,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Result<(), ProtocolError> {
        let Stream::Open { opening, staging, verdict } = &mut self.stream else {
            return Err(ProtocolError::Unexpected("a response before the stream is opened"));
        };
        if !opening.is_empty() {
            return Err(ProtocolError::Unexpected("a response before the end of the opening"));
        }
        if self.applying.is_some() || verdict.is_some() {
            return Err(ProtocolError::Unexpected("a response before the last batch is answered"));
        }
        if response.type_url != COMMIT {
            return staging.add(response);
        }
        match std::mem::take(staging).commit(&response, &self.held)? {
            Committed::Unsound { nonce, rejections } => *verdict = Some(protocol::nack(&nonce, &rejections)),
            Committed::Sound(batch) => {
                let update = update(&batch);
                let is_empty = batch.changes.is_empty();
                self.applying = Some(batch);
                if is_empty {
                    self.applied(now, actions);
                } else {
                    actions.push(Action::Apply(update));
                }
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        waiter: Waiter,
        question: &Question,
        deadline: Instant,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let reply = |answer| Action::Reply(waiter, answer);
        if !question::is_askable(question) {
            let under = match question {
                Question::Name(name) => name.clone(),
                Question::Address(..) | Question::Workload(_) => question::name(question).into(),
            };
            actions.push(reply(Ok(Answer::Absent { under })));
        } else if let Some(answer) = self.answer(question) {
            self.questions.want(question);
            self.note_absent(question, &answer, now);
            actions.push(reply(Ok(answer)));
        } else if let Some(under) = self.names.find(question, now) {
            actions.push(reply(Ok(Answer::Absent { under })));
        } else if self.questions.wait(question, waiter, deadline).is_err() {
            actions.push(reply(Err(AskError::TooMany)));
        }
    }

    fn answer(&self, question: &Question) -> Option<Answer> {
        match &self.held.get(&Key::Answer(question.clone()))?.unit {
            Unit::Answer(_, answer) => Some(answer.clone()),
            _ => None,
        }
    }

    fn forget(&mut self, question: &Question) {
        self.questions.forget(question);
        if !self.questions.is_wanted(question) {
            self.names.remove(question);
        }
    }

    fn applied(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(batch) = self.applying.take() else { return };
        self.snapshot = batch.snapshot;
        for (key, change) in batch.changes {
            if let Key::Answer(question) = &key {
                self.answered(question, change.as_ref(), now, actions);
            }
            match change {
                Some(held) => drop(self.held.insert(key, held)),
                None => drop(self.held.remove(&key)),
            }
        }
        self.conclude(protocol::ack(&batch.nonce));
    }

    /// An answer has taken effect, or is gone.
    fn answered(
        &mut self,
        question: &Question,
        held: Option<&Held>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.names.remove(question);
        let Some(Held { unit: Unit::Answer(_, answer), .. }) = held else {
            self.questions.unanswered(question, now + limits::PENDING_TTL);
            return;
        };
        let waiters = self.questions.answered(question);
        actions.extend(waiters.into_iter().map(|waiter| Action::Reply(waiter, Ok(answer.clone()))));
        self.note_absent(question, answer, now);
    }

    /// Lets an answer that nothing exists cover other questions; it counts as used now.
    fn note_absent(&mut self, question: &Question, answer: &Answer, now: Instant) {
        if let Answer::Absent { under } = answer
            && self.questions.is_wanted(question)
            && let Some(surplus) = self.names.insert(question.clone(), under.clone(), now)
        {
            self.questions.forget(&surplus);
        }
    }

    fn rejected(&mut self, rejections: &[Rejection]) {
        let Some(batch) = self.applying.take() else { return };
        self.conclude(protocol::nack(&batch.nonce, rejections));
    }

    /// Answers the batch where its stream is still there; else the stream that waited for this may begin.
    fn conclude(&mut self, answer: DeltaDiscoveryRequest) {
        match &mut self.stream {
            Stream::Open { verdict, .. } => *verdict = Some(answer),
            Stream::Down | Stream::Waiting => self.open(),
        }
    }

    fn abandoned(&mut self, actions: &mut Vec<Action>) {
        if self.applying.take().is_none() {
            return;
        }
        if matches!(self.stream, Stream::Open { .. }) {
            self.disconnected();
            actions.push(Action::Close(ProtocolError::Unexpected("the proxy did not answer an update")));
        } else {
            self.open();
        }
    }

    fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let late = self.questions.expire(now);
        actions.extend(late.into_iter().map(|waiter| Action::Reply(waiter, Err(AskError::TimedOut))));
        while self.is_connected()
            && let Some(question) = self.names.expire(now)
        {
            self.questions.forget(&question);
        }
    }
}

fn answered(key: &Key) -> Option<&Question> {
    match key {
        Key::Answer(question) => Some(question),
        _ => None,
    }
}

/// A batch as the proxy sees it.
fn update(batch: &Batch) -> Update {
    let mut update = Update { snapshot: batch.snapshot, ..Update::default() };
    for (key, change) in &batch.changes {
        match (key, change.as_ref().map(|held| &held.unit)) {
            (Key::Answer(question), Some(Unit::Answer(_, answer))) => {
                update.answers.push((question.clone(), Some(answer.clone())));
            }
            (Key::Answer(question), _) => update.answers.push((question.clone(), None)),
            (_, Some(unit)) => update.changed.push(unit.clone()),
            (key, None) => update.removed.push(key.clone()),
        }
    }
    update
}
