//! Objects that are ordered by age.
//!
//! An object's age is its position among all objects, so it changes when others come and go. Selecting inputs uses it up;
//! afterwards it says nothing, and objects that differ only in it are equal.

use std::ops::Deref;
use std::sync::Arc;

use leno_model::policy::ScopedMtls;
use leno_model::snapshot::{DestinationObject, RouteObject};

/// An object whose age no longer matters.
#[derive(Clone, Debug)]
pub struct Aged<T>(pub Arc<T>);

/// What objects are equal by when their age doesn't matter.
pub trait Ageless {
    /// Whether two objects differ at most in their age.
    fn is_same(&self, other: &Self) -> bool;
}

impl<T: Ageless> PartialEq for Aged<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.is_same(&other.0)
    }
}

impl<T> Deref for Aged<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Ageless for RouteObject {
    fn is_same(&self, other: &Self) -> bool {
        let Self { origin, dialect, namespace, attachments, hosts, visible_in, order, rules, age: _ } = self;
        *origin == other.origin
            && *dialect == other.dialect
            && *namespace == other.namespace
            && *attachments == other.attachments
            && *hosts == other.hosts
            && *visible_in == other.visible_in
            && *order == other.order
            && *rules == other.rules
    }
}

impl Ageless for DestinationObject {
    fn is_same(&self, other: &Self) -> bool {
        let Self { namespace, host, visible_in, destination, age: _ } = self;
        *namespace == other.namespace
            && *host == other.host
            && *visible_in == other.visible_in
            && *destination == other.destination
    }
}

impl Ageless for ScopedMtls {
    fn is_same(&self, other: &Self) -> bool {
        let Self { selection, mode, ports, origin, age: _ } = self;
        *selection == other.selection
            && *mode == other.mode
            && *ports == other.ports
            && *origin == other.origin
    }
}
