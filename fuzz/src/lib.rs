//! Fuzz targets: what every parser of bytes and texts from outside must hold on any input.
//!
//! A target is a plain function of bytes. It panics when a property is broken: not only when the parser panics, but
//! when two readers would see different things, when what was accepted doesn't survive being written and read again,
//! when the result depends on how the bytes arrived. libFuzzer calls the targets from `fuzz_targets/`, coverage guided
//! and for as long as one likes; `tests/` calls the same functions on the corpora and on mutations of them, on stable
//! and in seconds.
//!
//! Oracles are written independently of the code that they judge, in the plainest way, whatever that costs.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a target tells that a property is broken"
)]

pub mod detect;
pub mod dialects;
pub mod differential;
pub mod discovery;
pub mod dns;
pub mod h2;
pub mod http1;
pub mod hygiene;
pub mod identity;
pub mod mesh_file;
pub mod normalize;
pub mod proxy_protocol;
pub mod trace_context;
pub mod yaml;

/// What a parser made of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Something that counts.
    Accepted,
    /// Nothing, or not enough.
    Refused,
}

impl Outcome {
    fn accepted_if(yes: bool) -> Self {
        if yes { Self::Accepted } else { Self::Refused }
    }
}

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its program and of its corpus.
    pub name: &'static str,
    /// Checks its properties on one input.
    pub run: fn(&[u8]) -> Outcome,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "http1_request", run: http1::request::run },
    Target { name: "http1_response", run: http1::response::run },
    Target { name: "http1_body", run: http1::body::run },
    Target { name: "http1_relay", run: http1::relay::run },
    Target { name: "h2_server", run: h2::server::run },
    Target { name: "h2_client", run: h2::client::run },
    Target { name: "hpack", run: h2::hpack::run },
    Target { name: "detect", run: detect::run },
    Target { name: "proxy_protocol", run: proxy_protocol::run },
    Target { name: "normalize", run: normalize::run },
    Target { name: "hygiene", run: hygiene::run },
    Target { name: "yaml", run: yaml::run },
    Target { name: "kubernetes", run: dialects::run },
    Target { name: "gateway_api", run: dialects::run },
    Target { name: "istio", run: dialects::run },
    Target { name: "mesh_file", run: mesh_file::run },
    Target { name: "open", run: discovery::open::run },
    Target { name: "unit", run: discovery::unit::run },
    Target { name: "state", run: discovery::state::run },
    Target { name: "discovery_client", run: discovery::client::run },
    Target { name: "discovery_server", run: discovery::server::run },
    Target { name: "spiffe_id", run: identity::spiffe_id::run },
    Target { name: "certificate", run: identity::certificate::run },
    Target { name: "signing_request", run: identity::signing_request::run },
    Target { name: "pem", run: identity::pem::run },
    Target { name: "join_token", run: identity::join_token::run },
    Target { name: "dns", run: dns::run },
    Target { name: "trace_context", run: trace_context::run },
];
