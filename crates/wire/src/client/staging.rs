//! A batch on its way in: collected until its commit, then checked as a whole.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use crate::convert::Interner;
use crate::key::{Key, Kind};
use crate::limits;
use crate::malformed::{Malformed, Rejection};
use crate::proto::discovery::{DeltaDiscoveryResponse, Resource};
use crate::proto::units;
use crate::protocol::{COMMIT, ProtocolError};
use crate::unit::Unit;
use crate::version::Version;

/// A unit in effect, or about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) version: Version,
    pub(super) unit: Unit,
}

/// What has come since the last commit.
#[derive(Debug, Default)]
pub(super) struct Staging {
    snapshot: Option<String>,
    changes: BTreeMap<Key, Change>,
    bytes: usize,
    /// Texts that units of this batch share.
    texts: Interner,
}

#[derive(Debug)]
enum Change {
    Set(Held),
    Remove,
    Malformed(Malformed),
}

/// A batch that is whole and consistent.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) snapshot: u64,
    pub(super) nonce: String,
    /// By key: what it becomes, `None` where it goes.
    pub(super) changes: BTreeMap<Key, Option<Held>>,
}

/// What a commit leads to.
#[derive(Debug)]
pub(super) enum Committed {
    Sound(Batch),
    Unsound { nonce: String, rejections: Vec<Rejection> },
}

impl Staging {
    /// Takes in a response that is not a commit.
    pub(super) fn add(&mut self, response: DeltaDiscoveryResponse) -> Result<(), ProtocolError> {
        let url = &response.type_url;
        let kind =
            Kind::from_type_url(url).ok_or(ProtocolError::Unexpected("a response of a type unknown here"))?;
        if self.snapshot.get_or_insert_with(|| response.system_version_info.clone())
            != &response.system_version_info
        {
            return Err(ProtocolError::Unexpected("a batch of more than one snapshot"));
        }
        for name in &response.removed_resources {
            let key = Key::parse(kind, name).map_err(|error| ProtocolError::malformed(url, error))?;
            self.insert(key, Change::Remove)?;
        }
        for resource in response.resources {
            let key =
                Key::parse(kind, &resource.name).map_err(|error| ProtocolError::malformed(url, error))?;
            let change = match self.read(&key, url, &resource) {
                Ok(held) => Change::Set(held),
                Err(error) => Change::Malformed(error),
            };
            self.insert(key, change)?;
        }
        Ok(())
    }

    fn read(&mut self, key: &Key, url: &str, resource: &Resource) -> Result<Held, Malformed> {
        let content = resource.resource.as_ref().ok_or_else(|| Malformed::missing("resource"))?;
        if content.type_url != *url {
            return Err(Malformed::new("not of the response's type").in_field("resource.type_url"));
        }
        self.bytes = self.bytes.saturating_add(content.value.len());
        if content.value.len() > limits::MAX_RESOURCE_BYTES {
            let most = limits::MAX_RESOURCE_BYTES;
            return Err(Malformed::new(format_args!(
                "{} bytes long; the most is {most}",
                content.value.len()
            )));
        }
        let version = resource.version.parse().map_err(|error| Malformed::new(error).in_field("version"))?;
        if version != Version::of(&content.value) {
            return Err(Malformed::new("not that of the content").in_field("version"));
        }
        Ok(Held { version, unit: Unit::decode_sharing(key, &content.value, &mut self.texts)? })
    }

    fn insert(&mut self, key: Key, change: Change) -> Result<(), ProtocolError> {
        if self.bytes > limits::MAX_BATCH_BYTES {
            return Err(ProtocolError::TooMuch { what: "bytes in a batch", limit: limits::MAX_BATCH_BYTES });
        }
        if self.changes.len() >= limits::MAX_HELD {
            return Err(ProtocolError::TooMuch { what: "resources in a batch", limit: limits::MAX_HELD });
        }
        match self.changes.insert(key, change) {
            None => Ok(()),
            Some(_) => Err(ProtocolError::Unexpected("a resource twice in a batch")),
        }
    }

    /// Takes in the commit and checks the batch over what is held.
    pub(super) fn commit(
        self,
        response: &DeltaDiscoveryResponse,
        held: &BTreeMap<Key, Held>,
    ) -> Result<Committed, ProtocolError> {
        let commit = read_commit(response)?;
        let snapshot = commit.snapshot.to_string();
        if snapshot != response.system_version_info || self.snapshot.is_some_and(|staged| staged != snapshot)
        {
            return Err(ProtocolError::Unexpected("a commit of another snapshot than its batch"));
        }
        if u32::try_from(self.changes.len()) != Ok(commit.changes) {
            return Err(ProtocolError::Unexpected(
                "a commit of another number of changes than its batch has",
            ));
        }
        let new = self.changes.keys().filter(|key| !held.contains_key(*key)).count();
        if held.len() + new > limits::MAX_HELD {
            return Err(ProtocolError::TooMuch { what: "resources held", limit: limits::MAX_HELD });
        }
        let nonce = response.nonce.clone();
        let mut changes = BTreeMap::new();
        let mut rejections = Vec::new();
        for (key, change) in self.changes {
            match change {
                Change::Set(held) => drop(changes.insert(key, Some(held))),
                Change::Remove if !held.contains_key(&key) => {
                    return Err(ProtocolError::Unexpected("a removal of something that is not held"));
                }
                Change::Remove => drop(changes.insert(key, None)),
                Change::Malformed(error) => rejections.push(Rejection { key, reason: error.to_string() }),
            }
        }
        if rejections.is_empty() {
            rejections = dangling(held, &changes, &read_absent(&commit)?);
        }
        if rejections.is_empty() {
            Ok(Committed::Sound(Batch { snapshot: commit.snapshot, nonce, changes }))
        } else {
            Ok(Committed::Unsound { nonce, rejections })
        }
    }
}

fn read_commit(response: &DeltaDiscoveryResponse) -> Result<units::Commit, ProtocolError> {
    let [Resource { resource: Some(content), .. }] = response.resources.as_slice() else {
        return Err(ProtocolError::Unexpected("a commit response without its one commit"));
    };
    if content.type_url != COMMIT {
        return Err(ProtocolError::Unexpected("a commit response with something else in it"));
    }
    units::Commit::decode(content.value.clone())
        .map_err(|error| ProtocolError::malformed(COMMIT, Malformed::new(error)))
}

fn read_absent(commit: &units::Commit) -> Result<BTreeSet<Key>, ProtocolError> {
    let read = |reference: &units::Reference| {
        let kind = Kind::from_type_url(&reference.type_url).ok_or_else(|| Malformed::missing("type_url"))?;
        Key::parse(kind, &reference.name)
    };
    let absent: Result<_, _> = commit.absent.iter().map(read).collect();
    absent.map_err(|error| ProtocolError::malformed(COMMIT, error.in_field("absent")))
}

/// Make before break: everything that is referred to is there after the batch, or does not exist. Names the changes
/// that break it.
fn dangling(
    held: &BTreeMap<Key, Held>,
    changes: &BTreeMap<Key, Option<Held>>,
    absent: &BTreeSet<Key>,
) -> Vec<Rejection> {
    let is_there = |key: &Key| match changes.get(key) {
        Some(change) => change.is_some(),
        None => held.contains_key(key),
    };
    let kept =
        held.iter().filter(|(key, _)| !changes.contains_key(key)).map(|(key, held)| (key, held, false));
    let set = changes.iter().filter_map(|(key, change)| Some((key, change.as_ref()?, true)));
    let mut rejections = Vec::new();
    for (key, held, is_new) in kept.chain(set) {
        for reference in held.unit.references() {
            if is_there(&reference) || absent.contains(&reference) {
                continue;
            }
            let rejection = if is_new {
                Rejection { key: key.clone(), reason: format!("refers to {reference}, which is not there") }
            } else {
                Rejection { key: reference, reason: format!("is still referred to by {key}") }
            };
            // A held unit may have lost what it refers to in no change of this batch: nothing here is at fault.
            if changes.contains_key(&rejection.key) {
                rejections.push(rejection);
            }
        }
    }
    rejections
}
