//! Kernel plumbing: whatever Leno asks of Linux beyond ordinary sockets and files.
//!
//! - [`redirect`], [`nft`], [`route`]: a network namespace whose TCP and DNS traffic ends at a local port.
//! - [`link`]: a cable between two network namespaces.
//! - [`namespace`], [`mount`], [`capability`]: worlds that a process can't leave.
//! - [`process`]: starting processes inside such worlds, and learning of their end.
//! - [`descriptor`]: sealed memory files, inherited and passed descriptors.
//! - [`memory`]: pages that the kernel can have back.
//! - [`scheduling`]: the turns that a thread gets.
//! - [`signal`]: signals as a readable descriptor.
//! - [`socket`]: original destination, marks, keep-alive.
//! - [`watch()`]: descriptors for async tasks.
//!
//! Invariants: nothing here knows of meshes; everything but [`watch()`] is synchronous and may be
//! used before the first thread exists; this is the only crate with `unsafe`. Needs Linux 5.12 or later.

#![allow(unsafe_code, reason = "system calls that no safe wrapper covers; the only crate that may")]

pub mod capability;
pub mod descriptor;
pub mod limits;
pub mod link;
pub mod memory;
pub mod mount;
pub mod namespace;
mod netlink;
pub mod nft;
pub mod process;
pub mod redirect;
pub mod route;
pub mod scheduling;
pub mod signal;
pub mod socket;
mod watch;

pub use watch::watch;
