//! The I/O seam: what a connection needs of a socket, so that plain TCP, TLS, Unix sockets, tunnels and tests are
//! one type to it. Connections own a `Box<dyn Io>` and are not generic over it.
//!
//! Two conventions bind implementors beyond tokio's:
//!
//! - An error of kind [`std::io::ErrorKind::PermissionDenied`] means that the peer refused this client before it
//!   read anything (a TLS alert about the client's certificate). It becomes [`Progress::Refused`].
//! - `is_write_vectored` tells the truth: heads and bodies are written together where it says yes.
//!
//! [`Progress::Refused`]: crate::exchange::Progress::Refused

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A byte duplex that a connection may own.
pub trait Io: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Io for T {}

/// A duplex whose first bytes were read already, for instance by detection.
pub struct Prefixed {
    prefix: Bytes,
    io: Box<dyn Io>,
}

impl Prefixed {
    /// Puts `prefix` before what `io` will yield.
    #[must_use]
    pub fn new(prefix: Bytes, io: Box<dyn Io>) -> Self {
        Self { prefix, io }
    }

    /// Boxes `io`, with a wrapper only where there is a prefix.
    #[must_use]
    pub fn boxed(prefix: Bytes, io: Box<dyn Io>) -> Box<dyn Io> {
        if prefix.is_empty() { io } else { Box::new(Self::new(prefix, io)) }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let n = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix.split_to(n));
        if !self.prefix.has_remaining() {
            self.prefix = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
