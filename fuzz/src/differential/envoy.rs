//! What Envoy makes of bytes: a real one, between sockets of this process.
//!
//! Behind it is an application that answers each request with what it saw of it, so that a client learns from the
//! answers what its bytes became, and in which order. For the other direction an application sends the bytes of an input
//! as its answer. [`RequestsThere`] and [`AnswersThere`] are these two.
//!
//! An upgrade and a target that no route has are answered by Envoy's router, with 403 or 404. Its codec took those; what
//! comes behind them isn't compared.
//!
//! Whether Envoy waits for more can't be told but by waiting. Inputs are therefore followed by a request of which all
//! know; where we wait as well, Envoy gets its turn (`rounds`) to say more than we do.

mod answers;
mod origin;
mod process;
mod requests;
mod rounds;
mod wire;

pub use answers::AnswersThere;
pub use process::Envoy;
pub use requests::RequestsThere;

use std::time::Duration;

use super::message::{Message, Reading};
use crate::http1::Lines;

/// How long Envoy may take for what it will do.
const PATIENCE: Duration = Duration::from_secs(30);

/// Follows an input, so that its end shows.
const LAST: &[u8] = b"GET /last-of-all HTTP/1.1\r\nhost: last\r\nconnection: close\r\n\r\n";

/// As Envoy hands it on: lines of one name in one, and without what it adds itself.
fn joined(mut message: Message) -> Message {
    message.fields = join(message.fields);
    message.trailers = join(message.trailers);
    message
}

fn join(fields: Lines) -> Lines {
    let mut lines = Lines::new();
    for (name, value) in fields {
        if matches!(name.as_str(), "x-forwarded-proto" | "date" | "server") || name.starts_with("x-envoy-") {
            continue;
        }
        match lines.last_mut() {
            // Envoy leaves empty members of lists out.
            Some((last, _)) if *last == name && value.is_empty() => {}
            Some((last, before)) if *last == name && before.is_empty() => *before = value,
            Some((last, before)) if *last == name => {
                before.extend_from_slice(if name == "cookie" { b"; " } else { b"," });
                before.extend_from_slice(&value);
            }
            _ => lines.push((name, value)),
        }
    }
    lines
}

fn all_joined(reading: Reading) -> Reading {
    Reading { messages: reading.messages.into_iter().map(joined).collect(), ..reading }
}
