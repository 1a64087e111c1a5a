//! What proxies get of a snapshot: pure functions from its objects to units.
//!
//! Each unit is made in two steps. Its *inputs* are selected with the [`index::Index`]: the few objects that the unit
//! depends on, in the order in which they count. Then the unit is compiled from its inputs and nothing else. Equal inputs
//! make equal units, so a unit is compiled anew only when an object that it depends on has changed, and proxies of
//! different namespaces that see the same objects share it ([`memo::Memo`]).

pub mod aged;
pub mod answer;
pub mod endpoints;
pub mod gateway;
pub mod host;
pub mod host_index;
pub mod index;
pub mod memo;
pub mod mesh;
pub mod policy;
pub mod workload;

use std::sync::Arc;

use leno_model::route::{Rule, Scope};
use leno_model::span::ObjectRef;
use leno_wire::Unit;

/// What a unit is compiled from.
pub trait Inputs: PartialEq {
    /// The unit.
    fn compile(&self) -> Unit;

    /// The objects that it says something of, for telling where they are in effect.
    fn objects(&self) -> Vec<ObjectRef>;
}

/// Whether an object that is visible in these namespaces (`None`: in all) is visible in this one.
fn is_visible(visible_in: Option<&[Arc<str>]>, namespace: &str) -> bool {
    visible_in.is_none_or(|namespaces| namespaces.iter().any(|visible| **visible == *namespace))
}

/// The rules as they hold in one scope: matches for other scopes are left out, and rules that have no others.
fn in_scope<'r>(rules: &'r [Rule], scope: &'r Scope) -> impl Iterator<Item = Rule> + 'r {
    rules.iter().filter_map(move |rule| {
        let is_elsewhere = |scopes: &Option<Vec<Scope>>| scopes.as_ref().is_some_and(|s| !s.contains(scope));
        let mut rule = rule.clone();
        let had_matches = !rule.matches.is_empty();
        rule.matches.retain(|condition| !is_elsewhere(&condition.scopes));
        for condition in &mut rule.matches {
            condition.scopes = None;
        }
        (!had_matches || !rule.matches.is_empty()).then_some(rule)
    })
}
