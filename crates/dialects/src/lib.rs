//! Text people already have, turned into the mesh's nouns.
//!
//! One folder per dialect. Everything here is pure: no sockets, no clients, no clock, and no panic on any input.
//! What is not understood is said, never dropped in silence, and where security is concerned it makes the result
//! stricter, never laxer.

pub mod codes;
pub mod findings;
pub mod limits;
pub mod table;
pub mod yaml;
