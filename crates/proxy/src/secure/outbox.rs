//! Sealed records on their way to a duplex.

use std::cell::Cell;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use leno_http::io::Io;

use crate::limits::SEALED_KEPT;

thread_local! {
    /// The buffer that was emptied last, for the next who writes.
    static LAST: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// Whether somebody has written since the last [`trim`].
    static IS_NEEDED: Cell<bool> = const { Cell::new(false) };
}

/// Frees the buffer that this core keeps if nobody has needed it since this was last called.
pub(crate) fn trim() {
    if !IS_NEEDED.replace(false) {
        drop(LAST.take());
    }
}

/// Bytes to write, in order. It holds memory only while it holds bytes.
#[derive(Default)]
pub(super) struct Outbox {
    /// Written up to `at`, to be written up to `end`, and free beyond.
    buffer: Vec<u8>,
    at: usize,
    end: usize,
}

impl Outbox {
    /// Room for so many bytes behind what is there, which the caller fills.
    pub(super) fn extend(&mut self, bytes: usize) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = LAST.take();
            IS_NEEDED.set(true);
        }
        let (start, end) = (self.end, self.end.saturating_add(bytes));
        if end > self.buffer.len() {
            // Grown like this, it is filled with zeros only now and then.
            self.buffer.resize(end.next_power_of_two().min(end.max(SEALED_KEPT)), 0);
        }
        self.end = end;
        self.buffer.get_mut(start..end).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.at..self.end]
    }

    /// Where the next bytes would go.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Forgets what is behind this.
    pub(super) fn truncate(&mut self, end: usize) {
        self.end = self.end.min(end.max(self.at));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.end
    }

    /// Writes all of it.
    pub(super) fn poll_drain(&mut self, io: &mut dyn Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.is_empty() {
            let bytes = self.buffer.get(self.at..self.end).unwrap_or_default();
            match Pin::new(&mut *io).poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => self.at = self.at.saturating_add(n).min(self.end),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.shrink();
                    return Poll::Pending;
                }
            }
        }
        (self.at, self.end) = (0, 0);
        give_back(mem::take(&mut self.buffer));
        Poll::Ready(Ok(()))
    }

    /// Who waits holds little more than what is there.
    fn shrink(&mut self) {
        let rest = self.buffer.get(self.at..self.end).unwrap_or_default();
        if rest.len() < self.buffer.len() / 2 {
            let rest = rest.to_vec();
            (self.at, self.end) = (0, rest.len());
            give_back(mem::replace(&mut self.buffer, rest));
        }
    }
}

/// Keeps the larger one.
fn give_back(buffer: Vec<u8>) {
    let last = LAST.take();
    LAST.set(if buffer.len() <= SEALED_KEPT && buffer.len() > last.len() { buffer } else { last });
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn the_kept_buffer_goes_when_nobody_needs_it() {
        let kept = || {
            let last = LAST.take();
            let bytes = last.len();
            LAST.set(last);
            bytes
        };
        let (mut outbox, (mut io, _far)) = (Outbox::default(), tokio::io::duplex(1000));
        outbox.extend(1000).fill(1);
        poll_fn(|cx| outbox.poll_drain(&mut io, cx)).await.unwrap();
        trim();
        assert!(kept() >= 1000, "it was needed");
        trim();
        assert_eq!(kept(), 0);
    }
}
