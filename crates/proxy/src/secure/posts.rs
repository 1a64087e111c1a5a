//! What a peer tells of the session itself: alerts (RFC 8446 §6), and messages after the handshake (§4.6).

use rustls::AlertDescription;

use super::records::Fault;
use super::session::Side;
use crate::limits::{POST_HANDSHAKE_BYTES, WARNINGS};

/// `AlertLevel` (§6).
const WARNING: u8 = 1;
pub(super) const FATAL: u8 = 2;
/// That nothing follows (§6.1, `close_notify`).
pub(super) const CLOSE: [u8; 2] = [WARNING, 0];
/// That other keys follow, and none are asked for (§4.6.3, `KeyUpdate`).
pub(super) const UPDATE: [u8; 5] = [KEY_UPDATE, 0, 0, 1, 0];

/// `HandshakeType` (§4).
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

/// An alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alert {
    /// Nothing follows.
    Close,
    /// It changes nothing.
    Warning,
    /// The session is over.
    Fatal(AlertDescription),
}

/// What handshake messages ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    Nothing,
    /// Other keys follow; whether this side is to change its own.
    Update {
        asks: bool,
    },
}

/// Reads them, a handshake message over several records if need be.
pub(super) struct Posts {
    side: Side,
    /// The beginning of a message.
    partial: Vec<u8>,
    warnings: u8,
}

impl Posts {
    pub(super) fn new(side: Side) -> Self {
        Self { side, partial: Vec::new(), warnings: 0 }
    }

    /// Whether a handshake message has begun, so that nothing but its rest may follow (§5.1).
    pub(super) fn is_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Reads an alert.
    pub(super) fn alert(&mut self, record: &[u8]) -> Result<Alert, Fault> {
        if self.is_partial() {
            return Err(Fault::Unexpected("an alert within a handshake message"));
        }
        let &[_level, description] = record else {
            return Err(Fault::Malformed("an alert of another length"));
        };
        // The level says nothing in TLS 1.3 (§6).
        match AlertDescription::from(description) {
            AlertDescription::CloseNotify => Ok(Alert::Close),
            AlertDescription::UserCanceled => {
                self.warnings = self.warnings.saturating_add(1);
                if self.warnings > WARNINGS {
                    return Err(Fault::Unexpected("too many warnings"));
                }
                Ok(Alert::Warning)
            }
            fatal => Ok(Alert::Fatal(fatal)),
        }
    }

    /// Reads a record of handshake messages.
    pub(super) fn handshake(&mut self, record: &[u8]) -> Result<Note, Fault> {
        if record.is_empty() {
            return Err(Fault::Unexpected("a handshake record without content"));
        }
        self.partial.extend_from_slice(record);
        let mut note = Note::Nothing;
        let mut at = 0;
        while let Some((&[kind, high, middle, low], rest)) =
            self.partial.get(at..).and_then(|rest| rest.split_first_chunk())
        {
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            if length > POST_HANDSHAKE_BYTES {
                return Err(Fault::Malformed("a handshake message that is too long"));
            }
            match (kind, self.side) {
                // Nothing in the mesh resumes sessions.
                (NEW_SESSION_TICKET, Side::Client) | (KEY_UPDATE, _) => {}
                _ => return Err(Fault::Unexpected("a handshake message out of place")),
            }
            let Some(message) = rest.get(..length) else { break };
            at += 4 + length;
            if kind == KEY_UPDATE {
                let asks = match *message {
                    [0] => false,
                    [1] => true,
                    [_] => return Err(Fault::Parameter("an update of keys of another kind")),
                    _ => return Err(Fault::Malformed("an update of keys of another length")),
                };
                if at != self.partial.len() {
                    return Err(Fault::Unexpected("keys that change within a record"));
                }
                note = Note::Update { asks };
            }
        }
        if at == self.partial.len() {
            self.partial = Vec::new();
        } else {
            self.partial.drain(..at);
        }
        Ok(note)
    }
}
