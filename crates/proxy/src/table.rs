//! Hash tables whose keys come from configuration.
//!
//! Nobody outside chooses what they hold, so they need no hash that withstands chosen collisions; a request looks
//! things up several times, and this hash costs a seventh of the standard one.

pub(crate) use hashbrown::Equivalent;

/// A hash table with a quick hash. It is asked by whatever is [`Equivalent`] to a key.
pub type Table<K, V> = hashbrown::HashMap<K, V, foldhash::fast::RandomState>;
