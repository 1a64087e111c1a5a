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

mod unread;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Empty, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::limits::RELAY_BUFFER;

pub use unread::Unread;

/// A byte duplex that a connection may own.
pub trait Io: AsyncRead + AsyncWrite + Unpin + 'static {
    /// The TCP socket that the bytes come from and go to, as far as wrappers tell.
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Bytes before those of another duplex, and that duplex, for whoever can do without a wrapper from then on; what is
    /// left is at its end.
    fn unwrap_prefix(&mut self) -> Option<(Bytes, Box<dyn Io>)> {
        None
    }
}

impl Io for TcpStream {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl Io for UnixStream {}

impl Io for DuplexStream {}

impl Io for Empty {}

impl<T: Io + ?Sized> Io for Box<T> {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        (**self).socket()
    }

    fn unwrap_prefix(&mut self) -> Option<(Bytes, Box<dyn Io>)> {
        (**self).unwrap_prefix()
    }
}

/// Makes a wrapper an [`Io`] that tells the socket of the duplex in its field: `forward_socket!(Wrapper, io)`.
#[macro_export]
macro_rules! forward_socket {
    ($wrapper:ty, $inner:ident) => {
        impl $crate::io::Io for $wrapper {
            fn socket(&self) -> Option<::std::os::fd::BorrowedFd<'_>> {
                $crate::io::Io::socket(&self.$inner)
            }
        }
    };
}

/// Makes a wrapper read as the duplex in its field does: `forward_reads!(Wrapper, io)`.
#[macro_export]
macro_rules! forward_reads {
    ($wrapper:ty, $inner:ident) => {
        impl ::tokio::io::AsyncRead for $wrapper {
            fn poll_read(
                mut self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &mut ::tokio::io::ReadBuf<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                ::std::pin::Pin::new(&mut self.$inner).poll_read(cx, buf)
            }
        }
    };
}

/// Makes a wrapper that only reads in its own way write as the duplex in its field does: `forward_writes!(Wrapper, io)`.
/// `forward_writes!(Wrapper, io, |io, bytes| …)` runs something before so many bytes are given to that duplex.
#[macro_export]
macro_rules! forward_writes {
    ($wrapper:ty, $inner:ident) => {
        $crate::forward_writes!($wrapper, $inner, |_io, _bytes| ());
    };
    ($wrapper:ty, $inner:ident, |$io:ident, $bytes:ident| $before:expr) => {
        impl ::tokio::io::AsyncWrite for $wrapper {
            fn poll_write(
                mut self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                let ($io, $bytes) = (&mut self.$inner, buf.len());
                $before;
                ::std::pin::Pin::new(&mut self.$inner).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                mut self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                bufs: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                let ($io, $bytes) = (&mut self.$inner, bufs.iter().map(|buf| buf.len()).sum::<usize>());
                $before;
                ::std::pin::Pin::new(&mut self.$inner).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.$inner.is_write_vectored()
            }

            fn poll_flush(
                mut self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                ::std::pin::Pin::new(&mut self.$inner).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                ::std::pin::Pin::new(&mut self.$inner).poll_shutdown(cx)
            }
        }
    };
}

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

forward_writes!(Prefixed, io);

impl Io for Prefixed {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.io.socket()
    }

    fn unwrap_prefix(&mut self) -> Option<(Bytes, Box<dyn Io>)> {
        let io = std::mem::replace(&mut self.io, Box::new(tokio::io::empty()));
        Some((std::mem::take(&mut self.prefix), io))
    }
}

/// Goes on reading by `read` after `first` bytes, as long as pieces are full TLS records and there is `room` for another:
/// a session hands out one at a time, and more may be here. An error is for whoever reads next, since what came before it
/// is whole.
pub(crate) fn read_on(
    first: usize,
    mut room: usize,
    mut read: impl FnMut() -> Poll<io::Result<usize>>,
) -> Option<io::Error> {
    let mut last = first;
    while last == RECORD && room >= RECORD {
        match read() {
            Poll::Ready(Ok(n)) => last = n,
            Poll::Ready(Err(error)) => return Some(error),
            Poll::Pending => return None,
        }
        room = room.saturating_sub(last);
    }
    None
}

/// Bytes of plaintext in a full TLS record (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;

/// A duplex that is read from in large pieces however small the pieces are that its reader asks for: a TLS session asks
/// for 4 KiB at a time, which would be five system calls for a full record. It holds a buffer of [`RELAY_BUFFER`] bytes
/// only while that holds bytes, and a larger one as long as it fills these.
///
/// [`RELAY_BUFFER`]: crate::limits::RELAY_BUFFER
pub struct ReadAhead {
    io: Box<dyn Io>,
    ahead: Unread,
}

impl ReadAhead {
    /// Reads ahead of whoever reads from `io`.
    #[must_use]
    pub fn boxed(io: Box<dyn Io>) -> Box<dyn Io> {
        Box::new(Self { io, ahead: Unread::default() })
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, ahead } = &mut *self;
        if ahead.bytes().is_empty() && ready!(ahead.poll_fill(io, RELAY_BUFFER, cx))? == 0 {
            return Poll::Ready(Ok(()));
        }
        let bytes = ahead.bytes();
        let n = bytes.len().min(buf.remaining());
        buf.put_slice(bytes.get(..n).unwrap_or_default());
        ahead.consume(n);
        Poll::Ready(Ok(()))
    }
}

forward_writes!(ReadAhead, io);

forward_socket!(ReadAhead, io);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn reading_ahead_loses_nothing_and_ends() {
        let (near, mut far) = tokio::io::duplex(3 * RELAY_BUFFER);
        let sent: Vec<u8> = (0..2 * RELAY_BUFFER + 7).map(|n| u8::try_from(n % 251).unwrap()).collect();
        far.write_all(&sent).await.expect("room");
        drop(far);
        let (mut io, mut got, mut piece) = (ReadAhead::boxed(Box::new(near)), Vec::new(), [0; 1000]);
        loop {
            let n = io.read(&mut piece).await.expect("read");
            if n == 0 {
                break;
            }
            got.extend_from_slice(&piece[..n]);
        }
        assert_eq!(got, sent);
        assert_eq!(io.read(&mut piece).await.expect("read"), 0, "the end stays");
    }

    #[test]
    fn full_records_are_read_on_and_errors_are_kept() {
        let broken = || io::Error::from(io::ErrorKind::ConnectionReset);
        let run = |first, room, answers: Vec<Poll<io::Result<usize>>>| {
            let (mut answers, mut asked) = (answers.into_iter(), 0);
            let failed = read_on(first, room, || {
                asked += 1;
                answers.next().expect("not asked more often")
            });
            (asked, failed.is_some())
        };
        let record = || Poll::Ready(Ok(RECORD));
        assert_eq!(
            run(RECORD, 3 * RECORD, vec![record(), record(), record()]),
            (3, false),
            "no room is left"
        );
        assert_eq!(
            run(RECORD, 3 * RECORD, vec![record(), Poll::Ready(Ok(7))]),
            (2, false),
            "a short one is the last"
        );
        assert_eq!(run(RECORD, 3 * RECORD, vec![record(), Poll::Pending]), (2, false));
        assert_eq!(run(RECORD, 3 * RECORD, vec![record(), Poll::Ready(Err(broken()))]), (2, true));
        assert_eq!(run(RECORD - 1, 3 * RECORD, vec![]), (0, false), "others aren't asked twice");
        assert_eq!(run(RECORD, RECORD - 1, vec![]), (0, false));
    }
}
