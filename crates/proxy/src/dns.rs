//! Mesh DNS.

mod message;
pub(crate) mod server;
