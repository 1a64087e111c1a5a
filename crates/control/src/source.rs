//! Where configuration comes from.
//!
//! A source holds what it knows now and counts its changes; the [store](crate::store) looks at all of them when one has
//! changed. No source keeps a queue: what changed twice is read once.

pub mod addresses;
pub mod directory;
pub mod workloads;
