//! Connections over real sockets and in-memory duplexes, with raw byte peers, `h2`'s and hyper's.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets something else than it expects fails"
)]
#![allow(clippy::disallowed_methods, reason = "peers are tasks of the test")]

mod h1_client;
mod h1_server;
mod h2_client;
mod h2_floods;
mod h2_raw;
mod h2_server;
mod peers;
mod relay;
mod support;
