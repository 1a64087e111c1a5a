//! What a proxy should hold: what it always holds, the answers to its questions, and everything that these refer to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_model::unit::Question;

use super::catalog::{Catalog, Client};
use crate::key::Key;
use crate::limits;
use crate::protocol::ProtocolError;
use crate::unit::{Encoded, Unit};
use crate::version::Version;

/// What a proxy has of a unit.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) version: Version,
    /// `None` where it has it from another session and it is not the newest.
    pub(super) unit: Option<Arc<Encoded>>,
}

/// Changes that a proxy refused, by key: the version, or `None` where it refused the removal.
pub(super) type Refused = BTreeMap<Key, Option<Version>>;

/// The whole that a proxy should hold.
#[derive(Debug, Default)]
pub(super) struct Closure {
    /// By key, the newest unit; `None` where the proxy keeps what it has.
    pub(super) units: BTreeMap<Key, Option<Arc<Encoded>>>,
    /// What is referred to and does not exist.
    pub(super) absent: BTreeSet<Key>,
    /// Where the proxy's refusal counts: it would get something else without it.
    pub(super) held_back: BTreeSet<Key>,
}

/// What a closure is computed from.
pub(super) struct Inputs<'a> {
    pub(super) catalog: &'a dyn Catalog,
    pub(super) client: &'a Client,
    pub(super) questions: &'a BTreeSet<Question>,
    pub(super) held: &'a BTreeMap<Key, Sent>,
    pub(super) refused: &'a Refused,
}

impl Closure {
    pub(super) fn of(inputs: &Inputs<'_>) -> Result<Self, ProtocolError> {
        let mut closure = Self::default();
        let resident = inputs.catalog.resident(inputs.client);
        let resident = resident.into_iter().filter(|key| !matches!(key, Key::Answer(_)));
        let answers = inputs.questions.iter().cloned().map(Key::Answer);
        closure.follow(inputs, resident.chain(answers).collect())?;
        // What the proxy will not let go, it keeps with everything that belongs to it.
        let kept =
            inputs.refused.iter().filter(|(key, version)| version.is_none() && inputs.held.contains_key(key));
        let kept: Vec<Key> =
            kept.map(|(key, _)| key.clone()).filter(|key| !closure.units.contains_key(key)).collect();
        for key in &kept {
            closure.units.insert(key.clone(), None);
            closure.held_back.insert(key.clone());
        }
        let kept = kept.iter().filter_map(|key| inputs.held.get(key)?.unit.clone());
        closure.follow(inputs, kept.flat_map(|unit| unit.references().to_vec()).collect())?;
        Ok(closure)
    }

    fn follow(&mut self, inputs: &Inputs<'_>, mut open: Vec<Key>) -> Result<(), ProtocolError> {
        let is_root: BTreeSet<Key> = open.iter().cloned().collect();
        while let Some(key) = open.pop() {
            if self.units.contains_key(&key) || self.absent.contains(&key) {
                continue;
            }
            if self.units.len() >= limits::MAX_HELD || self.absent.len() >= limits::MAX_ABSENT_REFERENCES {
                return Err(ProtocolError::TooMuch { what: "units for one proxy", limit: limits::MAX_HELD });
            }
            let choice = inputs.choose(&key);
            if inputs.is_held_back(&key, &choice) {
                self.held_back.insert(key.clone());
            }
            match choice {
                Choice::Newest(unit) => {
                    open.extend_from_slice(unit.references());
                    self.units.insert(key, Some(unit));
                }
                Choice::Held(unit) => {
                    open.extend(unit.iter().flat_map(|unit| unit.references()).cloned());
                    self.units.insert(key, None);
                }
                Choice::Nothing if is_root.contains(&key) => {}
                Choice::Nothing => drop(self.absent.insert(key)),
            }
        }
        Ok(())
    }
}

enum Choice {
    Newest(Arc<Encoded>),
    /// What the proxy has, as far as it is known what that is.
    Held(Option<Arc<Encoded>>),
    Nothing,
}

impl Inputs<'_> {
    fn choose(&self, key: &Key) -> Choice {
        let newest = match key {
            Key::Answer(question) => self.answer(question),
            key => self.catalog.unit(key, self.client),
        };
        let held = self.held.get(key);
        match (newest, held) {
            (Some(unit), held) if self.refused.get(key) == Some(&Some(unit.version())) => match held {
                Some(held) => Choice::Held(held.unit.clone().or(Some(unit))),
                None => Choice::Nothing,
            },
            (Some(unit), _) => Choice::Newest(unit),
            (None, Some(held)) if self.refused.get(key) == Some(&None) => Choice::Held(held.unit.clone()),
            (None, _) => Choice::Nothing,
        }
    }

    /// Whether the choice is due to a refusal.
    fn is_held_back(&self, key: &Key, choice: &Choice) -> bool {
        self.refused.contains_key(key) && !matches!(choice, Choice::Newest(_))
    }

    /// The answer, encoded again only when it changed.
    fn answer(&self, question: &Question) -> Option<Arc<Encoded>> {
        let unit = Unit::Answer(question.clone(), self.catalog.answer(question, self.client));
        let held = self.held.get(&unit.key()).and_then(|held| held.unit.as_ref());
        match held {
            Some(held) if *held.content() == unit.encode() => Some(held.clone()),
            _ => Encoded::new(&unit).ok().map(Arc::new),
        }
    }
}
