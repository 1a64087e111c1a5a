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
    /// The most that was written at once since the last [`trim`].
    static NEEDED: Cell<usize> = const { Cell::new(0) };
}

/// Frees the buffer that this core keeps if nobody has needed one as large since this was last called.
pub(crate) fn trim() {
    let (needed, last) = (NEEDED.take(), LAST.take());
    if last.len() <= size_for(needed) {
        LAST.set(last);
    }
}

/// How large a buffer is made for so many bytes. Grown like this, it is filled with zeros only now and then.
fn size_for(bytes: usize) -> usize {
    bytes.next_power_of_two().min(bytes.max(SEALED_KEPT))
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
        }
        let (start, end) = (self.end, self.end.saturating_add(bytes));
        if end > self.buffer.len() {
            let size = size_for(end);
            // To that size and no further, as a vector would grow by itself.
            self.buffer.reserve_exact(size.saturating_sub(self.buffer.len()));
            self.buffer.resize(size, 0);
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
        NEEDED.set(NEEDED.get().max(self.end));
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

    #[test]
    fn it_grows_no_further_than_it_must() {
        let mut outbox = Outbox::default();
        outbox.extend(SEALED_KEPT / 2);
        outbox.extend(SEALED_KEPT / 4);
        outbox.extend(SEALED_KEPT / 4);
        assert_eq!(outbox.buffer.capacity(), SEALED_KEPT);
    }

    #[tokio::test]
    async fn the_kept_buffer_goes_when_nobody_needs_one_as_large() {
        async fn write(bytes: usize) {
            let (mut outbox, (mut io, _far)) = (Outbox::default(), tokio::io::duplex(bytes));
            outbox.extend(bytes).fill(1);
            poll_fn(|cx| outbox.poll_drain(&mut io, cx)).await.unwrap();
        }
        let kept = || {
            let last = LAST.take();
            let bytes = last.len();
            LAST.set(last);
            bytes
        };
        write(100_000).await;
        trim();
        assert!(kept() >= 100_000, "it was needed");
        write(1000).await;
        trim();
        assert_eq!(kept(), 0, "only a part of it was");
        write(1000).await;
        trim();
        assert!(kept() >= 1000);
        trim();
        assert_eq!(kept(), 0);
    }
}
