//! The wire: how configuration gets from the control plane to proxies, and how a `leno/1` connection begins.
//!
//! - [`mod@unit`], [`key`], [`question`]: what travels, by typed names; [`model`](leno_model) in, bytes out, and back.
//! - [`protocol`]: what the two sides of a stream agree on.
//! - [`client`]: a proxy's side: the state machine, the handle that the proxy asks through, the updates it gets.
//! - [`server`]: the control plane's side: a session per proxy over a [`Catalog`](server::Catalog) of units.
//! - [`transport`]: TLS or plaintext over TCP and Unix sockets, and in-process, for both sides.
//! - [`open`]: the first flight of `leno/1`.
//! - [`state`]: a proxy's units as one blob that outlives it.
//! - [`status`]: what the control plane tells people.
//!
//! Invariants: this is the only crate that knows discovery protobuf; bytes become `model` types once, strictly, and
//! whatever is malformed is refused with the resource and field at fault. The machines do no I/O and hold no clock.
//! No queue grows with a slow peer: pending changes are state to compare, not messages to keep.

pub mod certificate;
pub mod client;
pub mod key;
pub mod limits;
pub mod malformed;
pub mod open;
pub mod proto;
pub mod protocol;
pub mod question;
pub mod server;
pub mod state;
pub mod status;
pub mod transport;
pub mod unit;
pub mod version;

mod convert;
#[cfg(test)]
mod simulation;

pub use key::{Key, Kind, Subject};
pub use malformed::{Malformed, Rejection};
pub use protocol::ProtocolError;
pub use unit::{Encoded, Unit};
pub use version::Version;
