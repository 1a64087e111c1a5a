//! Bytes between a duplex and whoever takes them apart.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::Io;
use crate::limits::{RECORDS_BUFFER, RELAY_BUFFER};
use crate::pool::Lease;

/// Bytes that were read and not used yet. It holds a buffer of the core only while that holds bytes and nobody waits for
/// more of them, and a larger one as long as reads fill the usual one.
#[derive(Default)]
pub struct Unread {
    held: Option<Held>,
    has_filled: bool,
}

struct Held {
    buffer: Buffer,
    at: usize,
    end: usize,
}

enum Buffer {
    Leased(Lease),
    /// What a wait began with, in no more memory than that.
    Kept(Box<[u8]>),
}

impl Buffer {
    fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Leased(lease) => lease,
            Self::Kept(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Unread {
    fn from(bytes: Vec<u8>) -> Self {
        let held = Held { end: bytes.len(), buffer: Buffer::Kept(bytes.into_boxed_slice()), at: 0 };
        Self { held: (held.end > 0).then_some(held), has_filled: false }
    }
}

impl Unread {
    /// What was read.
    pub fn bytes(&mut self) -> &mut [u8] {
        let Some(Held { buffer, at, end }) = &mut self.held else { return &mut [] };
        buffer.bytes().get_mut(*at..*end).unwrap_or_default()
    }

    /// Whether the last read has filled a buffer, so that more is likely to be there.
    #[must_use]
    pub fn has_filled(&self) -> bool {
        self.has_filled
    }

    /// Forgets so many of the first bytes.
    pub fn consume(&mut self, bytes: usize) {
        if let Some(held) = &mut self.held {
            held.at = held.at.saturating_add(bytes);
            if held.at >= held.end {
                self.held = None;
            }
        }
    }

    /// Reads more, behind what is there, with room for `all` bytes together, [`RECORDS_BUFFER`] at most; says how many came,
    /// none at the end.
    pub fn poll_fill(
        &mut self,
        io: &mut (impl Io + ?Sized),
        all: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(all <= RECORDS_BUFFER, "nothing that is taken apart is larger");
        let is_large = self.has_filled || all > RELAY_BUFFER;
        let mut buffer = if is_large { Lease::take_for_records() } else { Lease::take() };
        let before = self.bytes();
        let have = before.len();
        if let Some(start) = buffer.get_mut(..have) {
            start.copy_from_slice(before);
        }
        let mut read = ReadBuf::new(buffer.get_mut(have..).unwrap_or_default());
        let result = Pin::new(io).poll_read(cx, &mut read);
        let came = read.filled().len();
        match result {
            Poll::Ready(Ok(())) if came > 0 => {
                let end = have + came;
                self.has_filled = end >= RELAY_BUFFER;
                self.held = Some(Held { buffer: Buffer::Leased(buffer), at: 0, end });
                Poll::Ready(Ok(came))
            }
            Poll::Ready(result) => Poll::Ready(result.map(|()| 0)),
            Poll::Pending => {
                self.keep();
                Poll::Pending
            }
        }
    }

    /// Gives the buffer back, which others can use meanwhile.
    fn keep(&mut self) {
        if let Some(held) = &mut self.held
            && let Buffer::Leased(lease) = &held.buffer
        {
            let bytes = lease.get(held.at..held.end).unwrap_or_default().into();
            (held.end, held.at) = (held.end.saturating_sub(held.at), 0);
            held.buffer = Buffer::Kept(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_not_used_stays_before_what_comes() {
        let (mut near, mut far) = tokio::io::duplex(3 * RECORDS_BUFFER);
        let sent: Vec<u8> = (0..2 * RECORDS_BUFFER).map(|n| u8::try_from(n % 251).expect("a byte")).collect();
        far.write_all(&sent).await.expect("room");
        drop(far);
        let (mut unread, mut got) = (Unread::from(b"before".to_vec()), Vec::new());
        while got.len() < 6 + sent.len() {
            let have = unread.bytes().len();
            let came = poll_fn(|cx| unread.poll_fill(&mut near, RECORDS_BUFFER, cx)).await.expect("bytes");
            assert_eq!(unread.bytes().len(), have + came);
            // Uses all but a tail.
            let used = if got.len() + have + came < 6 + sent.len() { have + came - 10 } else { have + came };
            got.extend_from_slice(&unread.bytes()[..used]);
            unread.consume(used);
        }
        assert_eq!(got, [b"before", sent.as_slice()].concat());
        assert!(unread.held.is_none());
        let end = poll_fn(|cx| unread.poll_fill(&mut near, 1, cx)).await;
        assert_eq!(end.expect("the end"), 0);
    }

    #[tokio::test]
    async fn who_waits_holds_no_more_than_what_is_there() {
        let (mut near, mut far) = tokio::io::duplex(100);
        far.write_all(b"partial").await.expect("room");
        let mut unread = Unread::default();
        poll_fn(|cx| unread.poll_fill(&mut near, 20, cx)).await.expect("bytes");
        unread.consume(3);
        let waiting = poll_fn(|cx| Poll::Ready(unread.poll_fill(&mut near, 20, cx))).await;
        assert!(waiting.is_pending());
        assert!(matches!(&unread.held, Some(Held { buffer: Buffer::Kept(bytes), .. }) if bytes.len() == 4));
        far.write_all(b" more").await.expect("room");
        poll_fn(|cx| unread.poll_fill(&mut near, 20, cx)).await.expect("bytes");
        assert_eq!(unread.bytes(), b"tial more");
    }
}
