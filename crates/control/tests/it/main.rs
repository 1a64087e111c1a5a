//! Tests of the control plane with real files, sockets and clients.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says by panicking that something is wrong"
)]

mod authority;
mod directory;
mod documents;
mod effect;
mod golden;
mod incremental;
mod plane;
mod print;
mod process;
mod proxy;
mod store;
mod temporary;
mod world;
