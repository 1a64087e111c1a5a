//! A peer in memory, of whom everything is there at once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use leno_http::io::Io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives its pieces, one with each read, and then the end. Keeps what is written to it.
pub(crate) struct Peer {
    pieces: VecDeque<Bytes>,
    written: Written,
}

/// What was written to a [`Peer`].
#[derive(Clone, Default)]
pub(crate) struct Written(Rc<RefCell<Vec<u8>>>);

impl Written {
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.take()
    }
}

impl Peer {
    pub(crate) fn new(pieces: impl IntoIterator<Item = Bytes>) -> (Box<Self>, Written) {
        let written = Written::default();
        (Box::new(Self { pieces: pieces.into_iter().collect(), written: written.clone() }), written)
    }
}

impl Io for Peer {}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(piece) = self.pieces.front_mut() {
            buf.put_slice(&piece.split_to(piece.len().min(buf.remaining())));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.written.0.borrow_mut().extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The result of a future that has nothing to wait for.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("waits although everything is there"),
    }
}
