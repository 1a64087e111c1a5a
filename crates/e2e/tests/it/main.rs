//! Whole meshes as an ordinary user runs them: the real program, the sample's processes, real namespaces.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod agreement;
mod bookshop;
mod commands;
mod crossing;
mod drains;
mod editing;
mod endings;
mod faults;
mod floods;
mod hbone;
mod loopback;
mod matrix;
mod memory;
mod outage;
mod pacing;
mod pair;
mod programs;
mod prometheus;
mod raw;
mod recording;
mod reload;
mod rotation;
mod several;
mod shaping;
mod spans;
mod steady;
mod stopped;
mod storm;
mod strict;
mod takeover;
mod tls;
mod traces;
mod tricks;
mod turns;
mod watching;
mod world;
mod wrong;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps other meshes from running meanwhile: held by tests that measure.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
