//! A byte duplex over the two halves of an exchange.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use leno_model::failure::Failure;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Frame, Incoming, Outgoing};

/// A byte duplex with half-close: the body bytes of an established tunnel.
///
/// Shutting it down ends the sending direction only; the peer's end is read as end of file.
#[derive(Debug)]
pub struct Tunnel {
    incoming: Incoming,
    outgoing: Outgoing,
    rest: Bytes,
}

impl Tunnel {
    pub(super) fn new(incoming: Incoming, outgoing: Outgoing) -> Self {
        Self { incoming, outgoing, rest: Bytes::new() }
    }

    /// The halves, for relays that move frames without a copy. Bytes that were received but not read are lost.
    #[must_use]
    pub fn into_halves(self) -> (Incoming, Outgoing) {
        (self.incoming, self.outgoing)
    }
}

fn broken(failure: Failure) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, failure)
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.rest.has_remaining() {
            match ready!(self.incoming.poll_frame(cx)) {
                Frame::Data(data) => self.rest = data,
                Frame::Trailers(_) => {}
                Frame::End => return Poll::Ready(Ok(())),
                Frame::Abort(failure) => return Poll::Ready(Err(broken(failure))),
            }
        }
        let n = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest.split_to(n));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.outgoing.poll_room(cx)).map_err(broken)?;
        let taken = buf.get(..crate::limits::RELAY_BUFFER).unwrap_or(buf);
        if !taken.is_empty() {
            self.outgoing.data(Bytes::copy_from_slice(taken)).map_err(broken)?;
        }
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outgoing.is_finished() {
            return Poll::Ready(Ok(()));
        }
        self.outgoing.poll_ready(cx).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.outgoing.is_finished() {
            ready!(self.outgoing.poll_ready(cx)).map_err(broken)?;
            self.outgoing.finish();
        }
        self.outgoing.poll_ready(cx).map_err(broken)
    }
}
