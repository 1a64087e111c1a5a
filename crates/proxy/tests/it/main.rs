//! Whole proxies, each in a thread of its own, with a control plane in this process and real sockets around them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod affinity;
mod announced;
mod app;
mod apps;
mod ask;
mod cells;
mod changes;
mod counting;
mod faults;
mod gateway;
mod grpc_web;
mod hardening;
mod hbone;
mod inbound;
mod mirrors;
mod outbound;
mod resilience;
mod retries;
mod routes;
mod smuggling;
mod streams;
mod traces;
mod tunnels;
mod world;
