//! The commands over real sockets: each service as a process of its own, each client against it, and the load generator
//! against servers that misbehave on purpose.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what isn't expected is a failure"
)]

mod clients;
mod drain;
mod load;
mod odd;
mod process;
mod serve;
mod shop;
