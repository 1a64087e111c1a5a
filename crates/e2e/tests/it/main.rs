//! Whole meshes as an ordinary user runs them: the real program, the sample's processes, real namespaces.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod bookshop;
mod certificates;
mod commands;
mod endings;
mod floods;
mod outage;
mod pair;
mod programs;
mod prometheus;
mod raw;
mod recording;
mod rotation;
mod steady;
mod strict;
mod tls;
mod traces;
mod tricks;
mod world;
