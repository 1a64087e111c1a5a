//! HTTP/1 (RFC 9112), own codec.
//!
//! `parse` and `body` are pure: heads and bodies from bytes. `encode` writes them. `conn` is the shared state of one
//! connection, `server` and `client` its two ends, `halves` what an exchange holds of it.
//!
//! Invariant: no message whose bounds two recipients could see differently is accepted from either side, and the
//! framing that is sent is always the codec's own.

pub mod body;
mod client;
mod conn;
pub(crate) mod encode;
mod halves;
pub mod parse;
mod refusal;
mod reply;
mod server;

pub use client::ClientConnection;
pub(crate) use client::Response;
pub(crate) use halves::{Incoming, Outgoing};
pub use refusal::Refusal;
pub(crate) use reply::Reply;
pub use server::{ServerConnection, Turned};
