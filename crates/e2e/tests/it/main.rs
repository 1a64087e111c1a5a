//! Whole meshes as an ordinary user runs them: the real program, the sample's processes, real namespaces.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod bookshop;
mod commands;
mod floods;
mod prometheus;
mod world;
