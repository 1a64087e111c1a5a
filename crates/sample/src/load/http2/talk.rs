//! One bidirectional gRPC stream: offers are sent ahead of their answers, up to a window.
//!
//! Invariant: never more offers are unanswered than the window. Each offer is a DATA frame of its own. Answers are
//! counted by their gRPC frames, however HTTP/2 cuts these; nobody looks into them.

use bytes::Bytes;
use h2::SendStream;

/// What every stream of a run says.
#[derive(Debug)]
pub(crate) struct Offers {
    /// One offer in gRPC's frame.
    pub(crate) message: Bytes,
    /// Offers per stream.
    pub(crate) count: u32,
    /// Offers that may be unanswered.
    pub(crate) window: u16,
}

/// A stream under way.
#[derive(Debug)]
pub(super) struct Talk<'a> {
    offers: &'a Offers,
    stream: SendStream<Bytes>,
    sent: u64,
    heard: Messages,
}

impl<'a> Talk<'a> {
    /// Sends the first offers.
    pub(super) fn begin(offers: &'a Offers, stream: SendStream<Bytes>) -> Result<Self, h2::Error> {
        let mut talk = Self { offers, stream, sent: 0, heard: Messages::default() };
        talk.send()?;
        Ok(talk)
    }

    /// Counts the answers in these bytes, and sends as many offers.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Result<(), h2::Error> {
        self.heard.add(bytes);
        self.send()
    }

    /// The number of answers so far.
    pub(super) fn answers(&self) -> u64 {
        self.heard.complete
    }

    /// Whether every offer has its answer.
    pub(super) fn is_over(&self) -> bool {
        self.heard.complete == u64::from(self.offers.count)
    }

    /// What the window lets through; the last offer ends this side of the stream.
    fn send(&mut self) -> Result<(), h2::Error> {
        let count = u64::from(self.offers.count);
        let due = (self.heard.complete + u64::from(self.offers.window)).min(count);
        while self.sent < due {
            self.sent += 1;
            self.stream.send_data(self.offers.message.clone(), self.sent == count)?;
        }
        Ok(())
    }
}

/// Bytes before each message: a flag, and its length.
const PREFIX: u8 = 5;

/// Counts messages in gRPC's frames.
#[derive(Debug, Default)]
struct Messages {
    complete: u64,
    /// Bytes of the prefix under way.
    prefix: u8,
    /// What is to come of the message, once its prefix is complete.
    left: usize,
}

impl Messages {
    fn add(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.prefix < PREFIX {
                if self.prefix > 0 {
                    self.left = (self.left << 8) | usize::from(*first);
                }
                self.prefix += 1;
                bytes = rest;
            } else {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = bytes.get(taken..).unwrap_or_default();
            }
            if self.prefix == PREFIX && self.left == 0 {
                self.complete += 1;
                self.prefix = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_wherever_they_are_cut() {
        let mut bytes = vec![0, 0, 0, 0, 0];
        for length in [1_u16, 300] {
            bytes.extend([0, 0, 0]);
            bytes.extend(length.to_be_bytes());
            bytes.extend(std::iter::repeat_n(9, length.into()));
        }
        for cut in 0..bytes.len() {
            let mut messages = Messages::default();
            messages.add(&bytes[..cut]);
            let expected = match cut {
                0..5 => 0,
                5..11 => 1,
                _ => 2,
            };
            assert_eq!(messages.complete, expected, "{cut}");
            messages.add(&bytes[cut..]);
            assert_eq!((messages.complete, messages.prefix), (3, 0), "{cut}");
        }
    }
}
