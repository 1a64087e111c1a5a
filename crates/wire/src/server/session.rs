//! One proxy's session, without I/O and without a clock.
//!
//! Events go in, actions come out; responses are pulled by [`Session::next_response`] when the stream has room. A
//! change only marks the session: what the proxy needs is computed when it is free to take it, from the newest catalog,
//! so intermediate ones cost nothing. Invariant: what is recorded as held is what the proxy holds, since it changes only
//! by its acknowledgement.

use std::collections::{BTreeMap, BTreeSet};

use leno_model::unit::Question;

use super::batch::Batch;
use super::catalog::{Catalog, Client};
use super::closure::{Closure, Inputs, Refused, Sent};
use crate::key::{Key, Kind};
use crate::limits;
use crate::malformed::{Malformed, Rejection};
use crate::proto::discovery::DeltaDiscoveryResponse;
use crate::proto::discovery::{DeltaDiscoveryRequest, Status};
use crate::protocol::{COMMIT, ProtocolError, read_rejections};
use crate::version::Version;

/// What happens to a session.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and not kept")]
pub enum Event {
    /// The stream delivered a request.
    Request(DeltaDiscoveryRequest),
    /// There is another catalog.
    Changed,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The proxy has this snapshot in effect: note it.
    Acked(u64),
    /// The proxy refused units of this snapshot: note it.
    Refused(u64, Vec<Rejection>),
    /// Give up the stream, because of this.
    Close(ProtocolError),
}

/// What one proxy holds, wants and is about to hold.
#[derive(Debug)]
pub struct Session {
    client: Client,
    is_open: bool,
    questions: BTreeSet<Question>,
    held: BTreeMap<Key, Sent>,
    refused: Refused,
    rejections: BTreeMap<Key, Rejection>,
    batch: Option<Batch>,
    batches: u64,
    /// Whether anything may have changed since the last batch was computed.
    is_dirty: bool,
    acked: Option<u64>,
}

impl Session {
    /// The session of a proxy that has said nothing yet but who it is.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            is_open: false,
            questions: BTreeSet::new(),
            held: BTreeMap::new(),
            refused: Refused::new(),
            rejections: BTreeMap::new(),
            batch: None,
            batches: 0,
            is_dirty: true,
            acked: None,
        }
    }

    /// The proxy.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The newest snapshot of which the proxy has everything it needs, but for [`Session::rejections`].
    #[must_use]
    pub fn acked(&self) -> Option<u64> {
        self.acked
    }

    /// Whether the proxy has said what it holds.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The snapshot of the batch that is not answered yet.
    #[must_use]
    pub fn pending(&self) -> Option<u64> {
        self.batch.as_ref().map(|batch| batch.snapshot)
    }

    /// What the proxy refused and has otherwise.
    #[must_use]
    pub fn rejections(&self) -> Vec<Rejection> {
        self.rejections.values().cloned().collect()
    }

    /// What the proxy has in effect.
    #[must_use]
    pub fn held(&self) -> BTreeMap<Key, Version> {
        self.held.iter().map(|(key, sent)| (key.clone(), sent.version)).collect()
    }

    /// Takes in an event.
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        let result = match event {
            Event::Changed => {
                self.is_dirty = true;
                Ok(Vec::new())
            }
            Event::Request(request) => self.request(request),
        };
        result.unwrap_or_else(|error| vec![Action::Close(error)])
    }

    /// The next response for the stream, when it has room for one, and what else is to be done. To be called with the
    /// newest catalog after every event, until there is none.
    pub fn next_response(&mut self, catalog: &dyn Catalog) -> (Option<DeltaDiscoveryResponse>, Vec<Action>) {
        if let Some(batch) = &mut self.batch {
            return (batch.next(), Vec::new());
        }
        if !self.is_open || !self.is_dirty {
            return (None, Vec::new());
        }
        match self.plan(catalog) {
            Ok(batch) if batch.changes.is_empty() && self.acked.is_some() => {
                let is_news = self.acked != Some(batch.snapshot);
                self.acked = Some(batch.snapshot);
                let news = is_news.then_some(Action::Acked(batch.snapshot));
                (None, news.into_iter().collect())
            }
            Ok(batch) => (self.batch.insert(batch).next(), Vec::new()),
            Err(error) => (None, vec![Action::Close(error)]),
        }
    }

    /// What leads to the catalog's state. Forgets refusals of what has changed since.
    fn plan(&mut self, catalog: &dyn Catalog) -> Result<Batch, ProtocolError> {
        self.is_dirty = false;
        let inputs = Inputs {
            catalog,
            client: &self.client,
            questions: &self.questions,
            held: &self.held,
            refused: &self.refused,
        };
        let closure = Closure::of(&inputs)?;
        for (key, unit) in &closure.units {
            // What it held before this session is often just what is newest.
            if let (Some(held), Some(unit)) = (self.held.get_mut(key), unit)
                && held.version == unit.version()
            {
                held.unit = Some(unit.clone());
            }
        }
        self.refused.retain(|key, _| closure.held_back.contains(key));
        self.rejections.retain(|key, _| closure.held_back.contains(key));
        self.batches += 1;
        Ok(Batch::new(catalog.snapshot(), self.batches, &self.held, closure))
    }

    fn request(&mut self, request: DeltaDiscoveryRequest) -> Result<Vec<Action>, ProtocolError> {
        if request.type_url == COMMIT {
            return self.commit_request(&request);
        }
        let url = &request.type_url;
        let kind =
            Kind::from_type_url(url).ok_or(ProtocolError::Unexpected("a request of a type unknown here"))?;
        if !request.response_nonce.is_empty() {
            return Err(ProtocolError::Unexpected("an answer to something else than a commit"));
        }
        self.note_held(kind, &request)?;
        let names = [&request.resource_names_subscribe, &request.resource_names_unsubscribe];
        if kind != Kind::Answer && names.iter().any(|names| !names.is_empty()) {
            return Err(ProtocolError::Unexpected("a subscription to something else than an answer"));
        }
        for name in &request.resource_names_unsubscribe {
            self.questions.remove(&read_question(url, name)?);
        }
        for name in &request.resource_names_subscribe {
            self.questions.insert(read_question(url, name)?);
        }
        if self.questions.len() > limits::MAX_QUESTIONS {
            return Err(ProtocolError::TooMuch { what: "questions", limit: limits::MAX_QUESTIONS });
        }
        self.is_dirty = true;
        Ok(Vec::new())
    }

    /// What the proxy holds from before.
    fn note_held(&mut self, kind: Kind, request: &DeltaDiscoveryRequest) -> Result<(), ProtocolError> {
        if self.is_open && !request.initial_resource_versions.is_empty() {
            return Err(ProtocolError::Unexpected("initial versions after the opening"));
        }
        let malformed = |error| ProtocolError::malformed(&request.type_url, error);
        for (name, version) in &request.initial_resource_versions {
            let key = Key::parse(kind, name).map_err(malformed)?;
            let version = version.parse().map_err(Malformed::new).map_err(malformed)?;
            self.held.insert(key, Sent { version, unit: None });
        }
        if self.held.len() > limits::MAX_HELD {
            return Err(ProtocolError::TooMuch { what: "initial versions", limit: limits::MAX_HELD });
        }
        Ok(())
    }

    /// The end of the opening, or the verdict on a batch.
    fn commit_request(&mut self, request: &DeltaDiscoveryRequest) -> Result<Vec<Action>, ProtocolError> {
        if request.response_nonce.is_empty() {
            if std::mem::replace(&mut self.is_open, true) {
                return Err(ProtocolError::Unexpected("a second end of the opening"));
            }
            return Ok(Vec::new());
        }
        match self.batch.take_if(|batch| batch.is_commit(&request.response_nonce)) {
            None => Err(ProtocolError::Unexpected("an answer to no batch")),
            Some(batch) => match &request.error_detail {
                None => Ok(self.accepted(batch)),
                Some(status) => self.refused(batch, status),
            },
        }
    }

    fn accepted(&mut self, batch: Batch) -> Vec<Action> {
        for (key, unit) in batch.changes {
            match unit {
                Some(unit) => drop(self.held.insert(key, Sent { version: unit.version(), unit: Some(unit) })),
                None => drop(self.held.remove(&key)),
            }
        }
        self.acked = Some(batch.snapshot);
        vec![Action::Acked(batch.snapshot)]
    }

    /// The units at fault are left alone until they change; the rest comes again.
    fn refused(&mut self, batch: Batch, status: &Status) -> Result<Vec<Action>, ProtocolError> {
        let changed: BTreeMap<_, _> = batch.changes.iter().map(|(key, unit)| (key, unit)).collect();
        let mut rejections = read_rejections(status)?;
        rejections.retain(|rejection| changed.contains_key(&rejection.key));
        if rejections.is_empty() {
            return Err(ProtocolError::Unexpected("a refusal that names no unit of its batch"));
        }
        for rejection in &rejections {
            let version =
                changed.get(&rejection.key).and_then(|unit| unit.as_ref()).map(|unit| unit.version());
            self.refused.insert(rejection.key.clone(), version);
            self.rejections.insert(rejection.key.clone(), rejection.clone());
        }
        self.is_dirty = true;
        Ok(vec![Action::Refused(batch.snapshot, rejections)])
    }
}

fn read_question(url: &str, name: &str) -> Result<Question, ProtocolError> {
    crate::question::parse(name).map_err(|error| ProtocolError::malformed(url, error))
}
