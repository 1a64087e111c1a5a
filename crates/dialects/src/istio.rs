//! Istio's kinds.

mod authorization;
mod destination_rule;
mod host;
mod peer_authentication;
mod selector;
mod virtual_service;
mod workload_entry;

pub(crate) use authorization::AUTHORIZATION_POLICY;
pub(crate) use destination_rule::DESTINATION_RULE;
pub(crate) use peer_authentication::PEER_AUTHENTICATION;
pub(crate) use virtual_service::VIRTUAL_SERVICE;
pub(crate) use workload_entry::WORKLOAD_ENTRY;
