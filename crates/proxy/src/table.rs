//! Hash tables whose keys come from configuration.
//!
//! Nobody outside chooses what they hold, so they need no hash that withstands chosen collisions; a request looks
//! things up several times, and this hash costs a seventh of the standard one.

use std::collections::HashMap;

/// A hash table with a quick hash.
pub type Table<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
