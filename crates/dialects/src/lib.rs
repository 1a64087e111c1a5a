//! Text people already have, turned into the mesh's nouns.
//!
//! One folder per dialect. Everything here is pure: no sockets, no clients, no clock, and no panic on any input.
//! What is not understood is said, never dropped in silence, and where security is concerned it makes the result
//! stricter, never laxer.
//!
//! [`load::load`] reads texts into [`object::Object`]s, [`load::Loaded::snapshot`] joins them.

mod address;
pub mod analyze;
pub mod codes;
mod content;
mod envelope;
pub mod findings;
pub mod fuzz;
mod gateway_api;
mod http;
mod istio;
pub mod kinds;
mod kubernetes;
pub mod limits;
pub mod link;
pub mod load;
pub mod object;
mod pattern;
mod pem;
mod percent;
pub mod reference;
mod retry;
pub mod table;
pub mod yaml;
