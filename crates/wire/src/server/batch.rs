//! A batch on its way out: what changes, cut into responses, ended by a commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message;

use super::closure::{Closure, Sent};
use crate::key::Key;
use crate::limits;
use crate::proto::discovery::{DeltaDiscoveryResponse, Resource};
use crate::proto::google::protobuf::Any;
use crate::proto::units;
use crate::protocol::{COMMIT, COMMIT_NAME};
use crate::unit::Encoded;

/// What leads a proxy from what it holds to what it should hold.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) snapshot: u64,
    /// Counts up with every batch of the session.
    number: u64,
    /// By key, in the order of sending: the unit, `None` where it goes.
    pub(super) changes: Vec<(Key, Option<Arc<Encoded>>)>,
    absent: BTreeSet<Key>,
    /// Changes sent so far.
    sent: usize,
    /// Responses sent so far.
    parts: u32,
    is_committed: bool,
}

impl Batch {
    /// The differences between what is held and the closure.
    pub(super) fn new(snapshot: u64, number: u64, held: &BTreeMap<Key, Sent>, closure: Closure) -> Self {
        let gone = held.keys().filter(|key| !closure.units.contains_key(key)).cloned().map(|key| (key, None));
        let mut changes: Vec<_> = gone.collect();
        for (key, unit) in closure.units {
            let held_version = held.get(&key).map(|held| held.version);
            if let Some(unit) = unit.filter(|unit| held_version != Some(unit.version())) {
                changes.push((key, Some(unit)));
            }
        }
        changes.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { snapshot, number, changes, absent: closure.absent, sent: 0, parts: 0, is_committed: false }
    }

    /// Whether this is the nonce of the batch's commit.
    pub(super) fn is_commit(&self, nonce: &str) -> bool {
        self.is_committed && self.nonce(self.parts) == nonce
    }

    fn nonce(&self, part: u32) -> String {
        format!("{}.{part}", self.number)
    }

    /// The next response; `None` when all of it has been sent.
    pub(super) fn next(&mut self) -> Option<DeltaDiscoveryResponse> {
        if self.is_committed {
            return None;
        }
        self.parts += 1;
        let mut response = DeltaDiscoveryResponse {
            system_version_info: self.snapshot.to_string(),
            nonce: self.nonce(self.parts),
            ..DeltaDiscoveryResponse::default()
        };
        let rest = self.changes.get(self.sent..).unwrap_or_default();
        let Some((first, _)) = rest.first() else {
            self.is_committed = true;
            response.type_url = COMMIT.to_owned();
            response.resources = vec![self.commit()];
            return Some(response);
        };
        response.type_url = first.kind().type_url();
        let mut bytes = 0;
        for (key, unit) in rest.iter().take_while(|(key, _)| key.kind() == first.kind()) {
            let size = unit.as_ref().map_or(0, |unit| unit.content().len());
            if bytes > 0 && bytes + size > limits::RESPONSE_BYTES {
                break;
            }
            // A name and what else goes around the content count as well, or small ones could become many.
            bytes += size + limits::RESOURCE_FRAME_BYTES;
            self.sent += 1;
            match unit {
                Some(unit) => response.resources.push(resource(key, unit, &response.type_url)),
                None => response.removed_resources.push(key.name()),
            }
        }
        Some(response)
    }

    fn commit(&self) -> Resource {
        let absent = self
            .absent
            .iter()
            .map(|key| units::Reference { type_url: key.kind().type_url(), name: key.name() });
        let commit = units::Commit {
            snapshot: self.snapshot,
            changes: u32::try_from(self.changes.len()).unwrap_or(u32::MAX),
            absent: absent.collect(),
        };
        Resource {
            version: self.snapshot.to_string(),
            name: COMMIT_NAME.to_owned(),
            resource: Some(Any { type_url: COMMIT.to_owned(), value: commit.encode_to_vec().into() }),
        }
    }
}

fn resource(key: &Key, unit: &Encoded, type_url: &str) -> Resource {
    Resource {
        version: unit.version().to_string(),
        name: key.name(),
        resource: Some(Any { type_url: type_url.to_owned(), value: unit.content().clone() }),
    }
}
