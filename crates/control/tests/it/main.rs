//! Tests of the control plane with real files, sockets and clients.

mod authority;
mod directory;
mod effect;
mod golden;
mod incremental;
mod print;
mod store;
mod temporary;
mod world;
