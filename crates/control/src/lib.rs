//! The control plane: from configuration that people write to what every proxy has in effect.
//!
//! - [`source`]: where configuration comes from: directories of YAML, and workloads announced by a supervisor.
//! - [`store`]: joins the sources into the next snapshot, object by object whole or not at all.
//! - [`compile`]: what each proxy gets of a snapshot: pure functions, memoised by what they read.
//! - [`catalog`]: a compiled snapshot as discovery serves it.
//! - [`authority`]: who may ask for what, and how certificates are signed.
//! - [`effect`], [`status`], [`history`]: on how many proxies each object is in effect, and where it isn't and why.
//! - [`check`]: what would be said about configuration, without running anything.
//! - [`server`]: all of it as one running thing; [`process`]: the same as a process under `leno up`.
//!
//! Invariants: a change takes effect whole, per object, or leaves the last good version in force; a change recompiles
//! what it touches and nothing else; no secret is in any log or answer. Nothing here knows how a proxy does its work.

pub mod authority;
pub mod bootstrap;
pub mod catalog;
pub mod check;
pub mod codes;
pub mod compile;
pub mod effect;
pub mod history;
pub mod limits;
pub mod metrics;
pub mod process;
pub mod server;
pub mod source;
pub mod status;
pub mod store;

pub use server::{Config, ControlPlane, Handle, StartError};
pub use source::workloads::Workloads;
