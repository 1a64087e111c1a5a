//! Where objects are in effect: in how many of the proxies that they are for, and where not and why.
//!
//! A proxy is one that an object is for when something that follows from the object is among what the proxy should have.
//! There the object is in effect when the proxy has all of that in its newest version.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use leno_model::span::ObjectRef;
use leno_model::unit::Question;
use leno_wire::server::SessionReport;
use leno_wire::{Key, Version};

use crate::catalog::Catalog;
use crate::compile::memo::Compiled;

/// Where one object is in effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Proxies that it is for.
    pub proxies: u32,
    /// Those of them in which it is in effect.
    pub in_effect: u32,
    /// Proxies in which it is not in effect yet.
    pub waiting: Vec<String>,
    /// Proxies that refuse what follows from it, and why.
    pub refused: Vec<(String, String)>,
}

/// What a proxy should have.
pub type Wanted = BTreeMap<Key, Arc<Compiled>>;

/// What the proxy of a session should have, as far as its questions are known from what it holds.
#[must_use]
pub fn wanted(catalog: &Catalog, session: &SessionReport) -> Wanted {
    let questions = session.held.keys().filter_map(|key| match key {
        Key::Answer(question) => Some(question.clone()),
        _ => None,
    });
    catalog.closure(&session.client, questions.collect::<Vec<Question>>())
}

/// The version of a unit; `None` for one that nobody is sent.
#[must_use]
pub fn version(compiled: &Compiled) -> Option<Version> {
    compiled.encoded.as_ref().ok().map(|encoded| encoded.version())
}

/// Where each object is in effect. Objects that are for no connected proxy are not among them.
#[must_use]
pub fn effects(catalog: &Catalog, sessions: &[SessionReport]) -> HashMap<ObjectRef, Effect> {
    let mut effects: HashMap<ObjectRef, Effect> = HashMap::new();
    for session in sessions {
        let mut missing: BTreeSet<&ObjectRef> = BTreeSet::new();
        let mut concerned: BTreeSet<&ObjectRef> = BTreeSet::new();
        let mut refused: BTreeMap<&ObjectRef, &str> = BTreeMap::new();
        let wanted = wanted(catalog, session);
        for (key, compiled) in &wanted {
            concerned.extend(compiled.objects.iter());
            let held = session.held.get(key).copied();
            if held.is_none() || held != version(compiled) {
                missing.extend(compiled.objects.iter());
                if let Some(rejection) = session.rejections.iter().find(|rejection| rejection.key == *key) {
                    refused.extend(compiled.objects.iter().map(|object| (object, rejection.reason.as_str())));
                }
            }
        }
        for object in concerned {
            let effect = effects.entry(object.clone()).or_default();
            effect.proxies += 1;
            effect.in_effect += u32::from(!missing.contains(object));
            if let Some(reason) = refused.get(object) {
                effect.refused.push((session.client.subject.to_string(), (*reason).to_owned()));
            } else if missing.contains(object) {
                effect.waiting.push(session.client.subject.to_string());
            }
        }
    }
    effects
}
