//! The data plane: listeners, protocols, pools, the path of a connection and of a request.
//!
//! A role is a list of listeners over one engine; see [`roles`]. A connection is one `async fn` of visible steps
//! (`outbound`, `inbound`, `gateway`), a request another (`request`). The proxy doesn't know how configuration
//! is stored or written: it holds what the control plane sent ([`view`]) and asks for what it meets.
//!
//! Connections, pools and metric handles belong to one core; what crosses threads is listed in [`core`].

pub mod bootstrap;
pub mod certificate;
mod circuit;
pub mod core;
pub mod dns;
pub mod explain;
pub mod limits;
pub mod listener;
pub mod local;
pub mod outside;
pub mod process;
pub mod roles;
pub mod sockets;
pub mod table;
pub mod takeover;
pub mod traces;
pub mod view;
mod vigil;

mod admin;
mod alarm;
mod announced;
mod caller;
mod detect;
mod dial;
mod doors;
mod egress;
mod gateway;
mod handles;
mod hbone;
mod headers;
mod inbound;
mod judged;
mod machine;
mod opaque;
mod outbound;
mod parties;
mod path;
mod places;
mod pool;
mod prepare;
mod proof;
mod record;
mod refused;
mod renew;
mod request;
mod resolve;
mod secure;
mod serve;
mod trust;
mod updates;
mod upstream;
mod vault;
