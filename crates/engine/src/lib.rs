//! Decisions: which route, which backend and endpoint, allowed or denied.
//!
//! Every decision is a pure function of compiled tables, state cells, a request, a clock reading and a random draw.
//! The proxy calls these functions per request and `explain` calls the same ones, so what the tool says is what the
//! proxy does. The crate does no I/O, starts nothing, reads no clock, and cannot panic on any input. On the hot path
//! it allocates only where a result needs new text: a rewritten path, a redirect's location, a decoded path that
//! differs from the one sent.

pub mod affinity;
pub mod authorize;
pub mod balance;
pub mod breaker;
pub mod deadline;
pub mod destination;
pub mod egress;
pub mod explain;
pub mod fault;
pub mod limits;
pub mod mirror;
mod outlier;
mod percent;
pub mod retry;
pub mod rng;
pub mod route;
pub mod state;
#[cfg(test)]
mod testing;
mod text;
mod time;
pub mod vhost;

/// Compiled tables and state are shared by all cores.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<route::Router>();
    shared::<authorize::Authorizer>();
    shared::<destination::Cluster>();
    shared::<state::StateTable>();
    shared::<vhost::HostMap<route::Router>>();
};
