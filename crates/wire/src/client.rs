//! A proxy's side of discovery.
//!
//! [`Machine`] decides everything and does no I/O. [`start`] carries it: it keeps a stream to the control plane, hands
//! [`Update`]s to the proxy and takes questions from it through [`Discovery`].
//!
//! Invariant: what the machine holds is what the proxy has in effect. It changes only when the proxy says that an
//! update is in effect on its last core, and only then is the control plane told.

pub mod discovery;
mod link;
pub mod machine;
pub mod names;
mod opening;
mod questions;
pub mod run;
mod staging;
pub mod update;

pub use discovery::{AskError, Connection, Discovery, Updates};
pub use machine::Machine;
pub use names::Names;
pub use questions::Waiter;
pub use run::{Config, start};
pub use update::{Ack, Outcome, Update};
