//! What every Leno process stands on: where code runs, what runs, when it is ready and how it ends.
//!
//! - [`task`]: the only way to start a task; each has a name, a count and an owner.
//! - [`cores`]: one single-threaded runtime per core, and one more for control work.
//! - [`lifecycle`], [`readiness`], [`drain`]: starting, ready, draining, stopped.
//! - [`signal`]: the signals that a process answers.
//! - [`clock`]: time that tests can pause; [`time`]: timers.
//! - [`place`]: values made where they stay; [`bytes`]: many bytes looked at together.
//! - [`process`]: file limits, core count and what the process uses.
//!
//! Tests that use [`spawn_local`] run on tokio's local runtime: `#[tokio::test(flavor = "local")]`.
//!
//! Invariant: nothing here knows what a mesh is, and no other crate calls tokio's spawn functions.

pub mod bytes;
pub mod clock;
pub mod cores;
pub mod drain;
pub mod lifecycle;
pub mod limits;
pub mod place;
pub mod process;
pub mod readiness;
pub mod signal;
pub mod task;
pub mod time;

pub use clock::{Clock, Instant};
pub use cores::{Core, Cores, LocalRuntime, RuntimeError, Worker};
pub use drain::Drain;
pub use lifecycle::{Lifecycle, Phase};
pub use readiness::Readiness;
pub use task::{Ended, Task, Tasks, spawn, spawn_blocking, spawn_local, spawn_thread};
