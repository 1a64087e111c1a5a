//! Tests over the public API: golden pairs, properties, generated documents.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says by panicking that something is wrong"
)]

mod changes;
mod coverage;
mod documents;
mod dump;
mod golden;
mod properties;
