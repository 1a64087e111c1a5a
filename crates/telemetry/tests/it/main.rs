//! Tests through the public interface.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what isn't expected is a failure"
)]

mod exposition;
mod golden;
mod parse;
mod reference;
mod traffic;
