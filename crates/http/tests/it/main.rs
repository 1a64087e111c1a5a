//! Connections over real sockets and in-memory duplexes, with raw byte peers and with hyper's.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets something else than it expects fails"
)]

mod h1_client;
mod h1_server;
mod support;
