//! The metric handles that the requests of one downstream connection have resolved, by endpoint.
//!
//! Finding a handle by its labels costs more than everything else that is counted of a request. An endpoint is known
//! again by its unit and position in it; a new unit, whatever changed in it, means new handles. Units are held
//! weakly: an idle connection keeps no old configuration alive.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use leno_model::unit::EndpointUnit;
use leno_telemetry::istio::HttpHandle;

use crate::limits::CONNECTION_HANDLES;
use crate::upstream::Picked;

/// See the module.
#[derive(Default)]
pub(crate) struct Handles(RefCell<Vec<Entry>>);

struct Entry {
    unit: Weak<EndpointUnit>,
    position: usize,
    handle: HttpHandle,
}

impl Handles {
    /// The handle of an endpoint, resolved the first time.
    pub(crate) fn of(&self, picked: &Picked, resolve: impl FnOnce() -> HttpHandle) -> HttpHandle {
        let known = |entry: &&Entry| {
            entry.position == picked.position && std::ptr::eq(entry.unit.as_ptr(), Arc::as_ptr(&picked.unit))
        };
        if let Some(entry) = self.0.borrow().iter().find(known) {
            return entry.handle.clone();
        }
        let handle = resolve();
        let mut entries = self.0.borrow_mut();
        entries.retain(|entry| entry.unit.strong_count() > 0);
        if entries.len() >= CONNECTION_HANDLES {
            entries.clear();
        }
        let unit = Arc::downgrade(&picked.unit);
        entries.push(Entry { unit, position: picked.position, handle: handle.clone() });
        handle
    }
}
