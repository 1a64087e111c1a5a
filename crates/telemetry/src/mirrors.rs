//! What became of copies of requests.

use crate::metric::Counter;
use crate::registry::Registry;

/// Counts of copies, by outcome.
#[derive(Clone, Debug)]
pub struct Mirrors {
    /// The mirror began to answer.
    pub answered: Counter,
    /// There was no answer: no connection, a reset, too long a wait.
    pub failed: Counter,
    /// Given up because it took the body too slowly.
    pub lagging: Counter,
    /// Given up because the client broke the request off.
    pub cut: Counter,
    /// Not sent: a limit of the proxy or of the mirror is reached.
    pub limited: Counter,
    /// Not sent: there is no such destination, or no endpoint of it.
    pub unreachable: Counter,
}

impl Mirrors {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let family = registry.counters(
            "leno_mirrors_total",
            "Copies of requests, each once: the mirror `answered`, or it `failed`, or the copy was given up because it was `lagging` \
             behind or the client `cut` its request off, or not sent because a limit was reached (`limited`) or there is no \
             endpoint (`unreachable`).",
            &["outcome"],
        );
        Self {
            answered: family.with(["answered"]),
            failed: family.with(["failed"]),
            lagging: family.with(["lagging"]),
            cut: family.with(["cut"]),
            limited: family.with(["limited"]),
            unreachable: family.with(["unreachable"]),
        }
    }
}
