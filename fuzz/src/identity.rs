//! Identities and what proves them: names, certificates, signing requests, PEM texts, join tokens.

pub mod certificate;
mod der;
pub mod join_token;
pub mod pem;
pub mod signing_request;
pub mod spiffe_id;
