//! The corpora, and mutations of them, as ordinary tests.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says on standard output how to run it again"
)]

mod corpus;
mod mutate;
mod peers;
mod seeds;
