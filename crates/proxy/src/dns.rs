//! Mesh DNS.

pub mod message;
pub(crate) mod server;
