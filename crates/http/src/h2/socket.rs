//! The socket under `h2`: reads are counted, and what one poll of the connection writes goes out together.
//!
//! `h2` writes a frame of data at a time and flushes after each. Small frames, as gRPC's are, would cost a system call
//! and a TLS record each. Here writes are gathered in a buffer on loan, flushes wait, and the owner of the connection
//! calls [`Handle::settle`] after each poll of it. Invariant: bytes leave in the order in which they were written, and
//! are held no longer than until the end of the poll or until the socket takes them.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::io::Io;
use crate::limits::RELAY_BUFFER;
use crate::pool::Lease;

/// What `h2` has of the socket.
pub(super) struct Socket(Rc<Shared>);

/// What the connection's owner has of it.
#[derive(Clone)]
pub(super) struct Handle(Rc<Shared>);

struct Shared {
    /// Counts reads.
    reads: Cell<u64>,
    out: RefCell<Out>,
}

struct Out {
    io: Box<dyn Io>,
    gathered: Option<Gathered>,
    /// Written, and not flushed yet.
    unflushed: bool,
    /// Why settling failed, for the next who writes.
    broken: Option<io::Error>,
}

/// Bytes that `h2` has written and the socket hasn't taken.
struct Gathered {
    buffer: Lease,
    at: usize,
    end: usize,
}

impl Socket {
    pub(super) fn new(io: Box<dyn Io>) -> (Self, Handle) {
        let out = RefCell::new(Out { io, gathered: None, unflushed: false, broken: None });
        let shared = Rc::new(Shared { reads: Cell::new(0), out });
        (Self(Rc::clone(&shared)), Handle(shared))
    }
}

impl Handle {
    /// Reads so far, those that found the end among them.
    pub(super) fn reads(&self) -> u64 {
        self.0.reads.get()
    }

    /// Sends what was gathered. To be called after each poll of the connection, in the same task.
    pub(super) fn settle(&self, cx: &mut Context<'_>) {
        let mut out = self.0.out.borrow_mut();
        if let Poll::Ready(Err(error)) = out.poll_drained(cx) {
            out.broken = Some(error);
            // The connection learns of it by its next flush.
            cx.waker().wake_by_ref();
        }
    }
}

impl Out {
    /// Ready once everything written has left.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(Gathered { buffer, at, end }) = &mut self.gathered {
            let rest = buffer.get(*at..*end).unwrap_or_default();
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => *at += written,
            }
            if at >= end {
                self.gathered = None;
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Err(error));
        }
        if self.gathered.as_ref().is_some_and(Gathered::is_full) {
            ready!(self.poll_drained(cx))?;
        }
        self.unflushed = true;
        let is_large = || bufs.iter().map(|buf| buf.len()).sum::<usize>() > RELAY_BUFFER;
        if self.gathered.is_none() && self.io.is_write_vectored() && is_large() {
            return Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        }
        let empty = || Gathered { buffer: Lease::take(), at: 0, end: 0 };
        Poll::Ready(Ok(self.gathered.get_or_insert_with(empty).take(bufs)))
    }
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.end >= self.buffer.len()
    }

    /// Takes as much as there is room for.
    fn take(&mut self, bufs: &[IoSlice<'_>]) -> usize {
        let before = self.end;
        for buf in bufs {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            let length = buf.len().min(room.len());
            if let (Some(room), Some(bytes)) = (room.get_mut(..length), buf.get(..length)) {
                room.copy_from_slice(bytes);
            }
            self.end += length;
        }
        self.end - before
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0.out.borrow_mut().io).poll_read(cx, buf);
        if read.is_ready() {
            self.0.reads.set(self.0.reads.get().wrapping_add(1));
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.out.borrow_mut().poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.out.borrow_mut().poll_write(cx, bufs)
    }

    /// Whatever the socket below does: gathering takes several at once.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.out.borrow_mut().broken.take().map_or(Ok(()), Err))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = self.0.out.borrow_mut();
        ready!(out.poll_drained(cx))?;
        Pin::new(&mut out.io).poll_shutdown(cx)
    }
}

impl Drop for Socket {
    /// The last word of a connection that is given up, such as why, where the socket takes it at once.
    fn drop(&mut self) {
        let _gone = self.0.out.borrow_mut().poll_drained(&mut Context::from_waker(Waker::noop()));
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Remembers the length of each write.
    struct Counting(tokio::io::DuplexStream, Rc<RefCell<Vec<usize>>>);

    impl AsyncRead for Counting {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Counting {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let written = ready!(Pin::new(&mut self.0).poll_write(cx, buf))?;
            self.1.borrow_mut().push(written);
            Poll::Ready(Ok(written))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    fn socket(room: usize) -> (Socket, Handle, tokio::io::DuplexStream, Rc<RefCell<Vec<usize>>>) {
        let (near, far) = tokio::io::duplex(room);
        let writes = Rc::<RefCell<Vec<usize>>>::default();
        let (socket, handle) = Socket::new(Box::new(Counting(near, Rc::clone(&writes))));
        (socket, handle, far, writes)
    }

    async fn settle(handle: &Handle) {
        poll_fn(|cx| {
            handle.settle(cx);
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn what_one_poll_writes_leaves_as_one() {
        let (mut socket, handle, mut far, writes) = socket(RELAY_BUFFER);
        for frame in [&b"one"[..], b"two", b"three"] {
            socket.write_all(frame).await.unwrap();
            socket.flush().await.unwrap();
        }
        assert!(writes.borrow().is_empty(), "not yet");
        settle(&handle).await;
        assert_eq!(*writes.borrow(), [11]);
        let mut got = [0; 11];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"onetwothree");
        settle(&handle).await;
        assert_eq!(*writes.borrow(), [11], "nothing is left");
        assert!(handle.0.out.borrow().gathered.is_none(), "nor a buffer");
    }

    #[tokio::test]
    async fn order_is_kept_whatever_the_socket_takes() {
        let sent: Vec<u8> = (0..3 * RELAY_BUFFER).map(|n| u8::try_from(n % 251).unwrap()).collect();
        for (room, piece) in [(1000, 7), (1, 4000), (RELAY_BUFFER / 2, RELAY_BUFFER + 9)] {
            let (mut socket, handle, mut far, _) = socket(room);
            let writing = async {
                for piece in sent.chunks(piece) {
                    socket.write_all(piece).await.unwrap();
                    settle(&handle).await;
                }
                socket.shutdown().await.unwrap();
            };
            let mut got = Vec::new();
            let ((), read) = tokio::join!(writing, far.read_to_end(&mut got));
            read.unwrap();
            assert!(got == sent, "{room} {piece}");
        }
    }

    #[tokio::test]
    async fn a_failure_is_told_to_the_next_who_writes() {
        let (mut socket, handle, far, _) = socket(10);
        drop(far);
        socket.write_all(b"lost").await.unwrap();
        settle(&handle).await;
        socket.flush().await.unwrap_err();
    }

    #[tokio::test]
    async fn the_last_word_is_said() {
        let (mut socket, _handle, mut far, _) = socket(10);
        socket.write_all(b"bye").await.unwrap();
        drop(socket);
        let mut got = [0; 3];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"bye");
    }
}
