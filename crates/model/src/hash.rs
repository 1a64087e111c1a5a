//! Requests of one key to one endpoint, for as long as it is there.

use std::sync::Arc;
use std::time::Duration;

/// How a request's key leads to an endpoint. Proxies with the same endpoints agree without asking each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConsistentHash {
    /// What the key is.
    pub key: HashKey,
    /// How it leads to an endpoint.
    pub table: HashTable,
}

/// What a request's key is. A request without one goes to any endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HashKey {
    /// The header of that lower-case name.
    Header(Arc<str>),
    /// A cookie.
    Cookie(CookieKey),
    /// The client's address.
    SourceIp,
    /// The first query parameter of that name.
    Query(Arc<str>),
}

/// A cookie that is a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CookieKey {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is given to clients that have none: how long they keep it, zero for as long as their session. `None`
    /// gives none.
    pub ttl: Option<Duration>,
    /// Its path, where it is given.
    pub path: Option<Arc<str>>,
    /// Further attributes, where it is given; those without a value have an empty one.
    pub attributes: Vec<(Arc<str>, Arc<str>)>,
}

/// How keys lead to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashTable {
    /// Points on a ring, by weight: when an endpoint goes, only its keys move.
    Ring {
        /// Points of all endpoints together, at least.
        minimum: u32,
    },
    /// A table with an even share for each endpoint (Maglev): few keys move when an endpoint goes.
    Maglev {
        /// Places; a prime number.
        size: u32,
    },
}

impl HashTable {
    /// Maglev tables are smaller than this, as in Envoy.
    pub const MAGLEV_END: u32 = 5_000_011;

    /// Points of a ring, at most: 4 MiB, and shares that are even to a fraction of a percent.
    pub const MOST_POINTS: u32 = 1 << 18;
}

/// What may stand in the parts of `set-cookie` (RFC 6265 §4.1.1).
#[must_use]
pub const fn is_cookie_byte(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b';'
}
