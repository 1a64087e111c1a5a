//! The mesh's nouns, as pure data.
//!
//! Everything here is validated when it is made and immutable afterwards: a value of these types is right by
//! construction, so decisions never have to doubt it. The crate does no I/O, knows no dialect's syntax and no
//! wire format, and cannot panic on any input.
//!
//! Two layers live here. [`snapshot::Snapshot`] is what the control plane knows: every object, as written. The
//! [`mod@unit`]s are what proxies get: one service host, one workload, one gateway, each compiled from a snapshot and
//! complete in itself.

pub mod destination;
pub mod failure;
pub mod fault;
pub mod gateway;
pub mod hash;
pub mod labels;
pub mod name;
pub mod outlier;
pub mod policy;
pub mod pool;
pub mod request;
pub mod retry;
pub mod route;
pub mod secret;
pub mod service;
pub mod snapshot;
pub mod span;
pub mod spiffe;
pub mod text;
pub mod unit;
