//! Meshes of plain processes on one machine: what `leno up` starts, watches and ends.
//!
//! - [`mesh`]: the mesh file (`LocalMesh`), as written and as checked.
//! - [`plan`]: what follows from a mesh: replicas with their names, addresses and sockets.
//! - [`directory`]: where a mesh keeps sockets and state.
//! - [`handoff`], [`vault`], `link`: how the processes of a mesh talk to those that started them.
//!
//! Invariant: nothing here knows of routes, policies or requests. Programs that do (control plane,
//! gateway, sidecar) are given as command lines.

mod backoff;
pub mod client;
pub mod directory;
mod executable;
pub mod handoff;
pub mod init;
pub mod janitor;
pub mod limits;
mod link;
pub mod loopback;
pub mod mesh;
pub mod plan;
pub mod protocol;
pub mod supervisor;
pub mod up;
mod user;
pub mod vault;
mod vaulted;
mod wait;

pub use link::Phase;
pub use user::Error as UserError;

/// An error and its sources in one line.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Gives the kernel the pages back that only starting needed; what runs on needs few of them.
fn release_memory() {
    // Without it the process is only larger.
    let _kib = leno_capture::memory::release_files();
}
