//! What became of requests that went wrong: tried again, or not, and why.

use crate::metric::Counter;
use crate::registry::Registry;

/// Counts of further tries, by outcome.
#[derive(Clone, Debug)]
pub struct Retries {
    /// Tried again after something went wrong.
    pub again: Counter,
    /// Tried beside a try that took long.
    pub hedged: Counter,
    /// Sent once more because a kept connection had died.
    pub stale: Counter,
    /// Not tried again: as often as the policy allows.
    pub exhausted: Counter,
    /// Not tried again: the destination's budget is used up.
    pub budget: Counter,
    /// Not tried again: it may have taken effect.
    pub unsafe_to_repeat: Counter,
    /// Not tried again: its body was not kept.
    pub body: Counter,
    /// Not tried again: no time left.
    pub time: Counter,
    /// Not tried again: the proxy below has decided.
    pub settled: Counter,
}

impl Retries {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let family = registry.counters(
            "leno_retries_total",
            "Tries after the first: `again` after a failure, `hedged` beside a slow one, `stale` since a kept connection had died. \
             Failures without a further try: `exhausted` tries, used up `budget`, `unsafe` to repeat, `body` not kept, no `time` left, \
             `settled` by the proxy below.",
            &["outcome"],
        );
        Self {
            again: family.with(["again"]),
            hedged: family.with(["hedged"]),
            stale: family.with(["stale"]),
            exhausted: family.with(["exhausted"]),
            budget: family.with(["budget"]),
            unsafe_to_repeat: family.with(["unsafe"]),
            body: family.with(["body"]),
            time: family.with(["time"]),
            settled: family.with(["settled"]),
        }
    }
}
