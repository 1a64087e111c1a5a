//! Bytes and framing of HTTP, and nothing of routes or policy.
//!
//! The contract is [`exchange`]: one request and its answer over any version. `h1` and `h2` are own codecs; [`server`] and
//! [`client`] are the connections of either. [`relay`] moves bodies and bytes between halves, [`detect`] tells protocols
//! apart, [`proxy_protocol`] tells who is behind a proxy of bytes, [`normalize`] and [`hygiene`] make a request's head
//! trustworthy before anything decides on it, [`reply`] makes the proxy's own answers.
//!
//! Everything runs on one core: connections share state by `Rc` and are not `Send`.

mod base64;
pub mod budget;
pub mod client;
pub mod detect;
mod drain;
pub mod exchange;
pub mod grpc_web;
pub mod h1;
pub mod h2;
pub mod head;
pub mod hygiene;
pub mod io;
pub mod limits;
pub mod normalize;
mod pool;
pub mod proxy_protocol;
pub mod relay;
pub mod reply;
pub mod server;
mod stall;
pub mod timer;
mod wakers;
mod websocket;

pub use pool::trim as trim_buffers;
