//! A byte duplex over the two halves of an exchange.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use leno_model::failure::Failure;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Frame, Incoming, Outgoing};
use crate::io::Io;
use crate::limits::RELAY_BUFFER;

/// A byte duplex with half-close: the bytes of an established CONNECT, upgrade, extended CONNECT or HBONE stream.
///
/// Shutting it down ends the sending direction only; the peer's end is read as end of file. Over HTTP/1 bytes go
/// straight between the socket and the caller's buffers.
#[derive(Debug)]
pub struct Tunnel {
    incoming: Incoming,
    outgoing: Outgoing,
    /// Received and not read.
    rest: Bytes,
    /// Whether both halves are a whole HTTP/1 connection.
    direct: bool,
}

impl Tunnel {
    pub(super) fn new(incoming: Incoming, outgoing: Outgoing) -> Self {
        let direct = match (incoming.as_h1(), outgoing.as_h1()) {
            (Some(incoming), Some(outgoing)) => incoming.is_tunnel_with(outgoing),
            _ => false,
        };
        Self { incoming, outgoing, rest: Bytes::new(), direct }
    }

    /// The halves, for relays that move frames without a copy, and the bytes received but not read.
    #[must_use]
    pub fn into_halves(self) -> (Incoming, Outgoing, Bytes) {
        (self.incoming, self.outgoing, self.rest)
    }
}

fn broken(failure: Failure) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, failure)
}

impl Io for Tunnel {}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.direct
            && let Some(incoming) = this.incoming.as_h1_mut()
        {
            return incoming.poll_read_tunnel(cx, buf);
        }
        while !this.rest.has_remaining() {
            match ready!(this.incoming.poll_frame(cx)) {
                Frame::Data(data) => this.rest = data,
                Frame::Trailers(_) => {}
                Frame::End => return Poll::Ready(Ok(())),
                Frame::Abort(failure) => return Poll::Ready(Err(broken(failure))),
            }
        }
        let n = this.rest.len().min(buf.remaining());
        buf.put_slice(&this.rest.split_to(n));
        if this.rest.is_empty() {
            this.rest = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.direct
            && let Some(outgoing) = this.outgoing.as_h1_mut()
        {
            return outgoing.poll_write_tunnel(cx, bufs);
        }
        ready!(this.outgoing.poll_ready(cx)).map_err(broken)?;
        let Some(buf) = bufs.iter().find(|buf| !buf.is_empty()) else { return Poll::Ready(Ok(0)) };
        let taken = buf.get(..RELAY_BUFFER).unwrap_or(buf);
        this.outgoing.data(Bytes::copy_from_slice(taken)).map_err(broken)?;
        Poll::Ready(Ok(taken.len()))
    }

    fn is_write_vectored(&self) -> bool {
        self.direct && self.outgoing.as_h1().is_some_and(crate::h1::Outgoing::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.direct
            && let Some(outgoing) = this.outgoing.as_h1_mut()
        {
            return outgoing.poll_flush_tunnel(cx);
        }
        // Over HTTP/2 nothing waits for a flush: what was given is sent as the peer's windows allow.
        if this.outgoing.is_finished() || this.outgoing.as_h1().is_none() {
            return Poll::Ready(Ok(()));
        }
        this.outgoing.poll_ready(cx).map_err(broken)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.direct
            && let Some(outgoing) = this.outgoing.as_h1_mut()
        {
            return outgoing.poll_shutdown_tunnel(cx);
        }
        this.outgoing.finish();
        this.outgoing.poll_ready(cx).map_err(broken)
    }
}
