//! What routes do to requests on purpose.

use crate::metric::Counter;
use crate::registry::Registry;

/// Counts of injected faults.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Requests that were made to wait.
    pub delay: Counter,
    /// Requests that were answered instead of being sent on.
    pub abort: Counter,
}

impl Faults {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let family = registry.counters(
            "leno_faults_total",
            "Faults that routes injected into requests: each `delay`, and each `abort`.",
            &["fault"],
        );
        Self { delay: family.with(["delay"]), abort: family.with(["abort"]) }
    }
}
