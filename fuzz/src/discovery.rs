//! What proxies and the control plane say to each other, and the first flight of `leno/1`.

pub mod client;
pub mod open;
pub mod sample;
pub mod server;
pub mod state;
pub mod unit;

use prost::Message;

/// Reads the input as messages, each with its length in two bytes before it. A length beyond the end means the rest.
fn messages<M: Message + Default>(data: &[u8]) -> Vec<M> {
    let mut messages = Vec::new();
    let mut rest = data;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (message, after) = after.split_at(length);
        // The transport refuses whatever isn't a message.
        messages.extend(M::decode(message));
        rest = after;
    }
    messages
}
