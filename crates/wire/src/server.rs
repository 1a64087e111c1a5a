//! The control plane's side of discovery.
//!
//! A [`session`] per proxy decides what it gets; [`Catalog`] is where units come from, [`Authority`] who may ask and
//! how certificates are signed, [`Registry`] which proxies there are and what they hold.

pub mod authority;
mod batch;
pub mod catalog;
mod closure;
mod grpc;
pub(crate) mod hub;
pub mod registry;
pub mod serve;
pub mod session;

pub use authority::{Authority, Caller, Credentials, Denied, Peer, SignError, Signed};
pub use catalog::{Catalog, Catalogs, Client};
pub use hub::Hub;
pub use registry::{Registry, SessionReport};
pub use serve::{Listener, Services, serve};
