//! The `Connection` field: options of the connection, and names of further fields that belong to it.

use super::Refusal;
use crate::head::spans::Span;
use crate::limits::CONNECTION_OPTIONS;

/// What all `Connection` lines of a head say.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// Names of fields that end here.
    pub(super) nominated: Vec<Span>,
}

impl Options {
    /// Takes in one line's value, which begins at `offset` of the head.
    pub(super) fn add(&mut self, value: &[u8], offset: usize) -> Result<(), Refusal> {
        let mut at = 0;
        for part in value.split(|b| *b == b',') {
            let option = part.trim_ascii();
            let lead = part.len() - part.trim_ascii_start().len();
            match option {
                [] => {}
                o if o.eq_ignore_ascii_case(b"close") => self.close = true,
                o if o.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                o if o.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                o if o.eq_ignore_ascii_case(b"te") => {}
                o if is_end_to_end(o) => return Err(Refusal::ConnectionOption),
                _ if self.nominated.len() == CONNECTION_OPTIONS => return Err(Refusal::TooManyFields),
                o => {
                    let start = offset + at + lead;
                    self.nominated.push(Span::new(start, start + o.len()));
                }
            }
            at += part.len() + 1;
        }
        Ok(())
    }
}

/// Fields that `Connection` must not take off a message: those that decide framing, routing or who is asking. Others
/// are removed when named, as RFC 9110 §7.6.1 demands.
fn is_end_to_end(option: &[u8]) -> bool {
    const NAMES: [&[u8]; 9] = [
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"trailer",
        b"expect",
        b"authorization",
        b"cookie",
        b"forwarded",
        b"x-request-id",
    ];
    let has_prefix =
        |prefix: &[u8]| option.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    NAMES.iter().any(|name| option.eq_ignore_ascii_case(name))
        || has_prefix(b"x-forwarded-")
        || has_prefix(b"x-envoy-")
        || option.starts_with(b":")
}
