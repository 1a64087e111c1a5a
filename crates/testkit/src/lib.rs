//! What tests of several crates share.
//!
//! - [`certificates`]: an authority of a test's own, and what it issues.
//! - [`crossing`]: two proxies with a transport of choice between them.
//! - [`frames`]: HTTP/2 by hand.
//! - [`mesh`]: whole meshes, declared in a few lines and run for real.
//! - [`ports`]: ports that nobody else is given.
//! - [`proxies`]: proxies by themselves, over TCP.
//! - [`programs`]: programs that others wrote, from the system or fetched by name, and our own binaries.
//! - [`skip`]: how a test says that it can't run here.
//! - [`smuggling`]: messages that two recipients could take for different ones.
//! - [`tls`]: a client that believes every server.
//!
//! Only tests, benchmarks and automation use this crate.

pub mod certificates;
pub mod crossing;
pub mod frames;
pub mod limits;
pub mod mesh;
pub mod ports;
pub mod programs;
pub mod proxies;
pub mod skip;
pub mod smuggling;
pub mod tls;
