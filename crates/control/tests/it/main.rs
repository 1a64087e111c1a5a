//! Tests of the control plane with real files, sockets and clients.

mod golden;
mod incremental;
mod print;
mod world;
