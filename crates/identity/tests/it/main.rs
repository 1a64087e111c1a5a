//! Identity proved on real handshakes, files and other people's verifiers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics says where"
)]

mod authority;
mod forge;
mod gateway;
mod handshake;
mod keys;
mod mesh;
mod oracle;
mod outside;
mod requests;
mod rules;
mod scratch;
