//! Roles: what a proxy is started with for each.

pub mod gateway;
pub mod sidecar;
pub mod standalone;
