//! The client's side of an opaque `leno/1` connection: the server's first byte is its verdict, not the application's.
//!
//! Bytes go up without waiting for the verdict. A refusal shows as an error of the first read that carries the
//! [`Failure`] it stands for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use leno_http::io::Io;
use leno_model::failure::Failure;
use leno_wire::open::{Refusal, Verdict};
use tokio::io::{AsyncRead, ReadBuf};

/// A duplex whose first byte read is a verdict.
pub(crate) struct Judged {
    io: Box<dyn Io>,
    accepted: bool,
}

impl Judged {
    pub(crate) fn new(io: Box<dyn Io>) -> Self {
        Self { io, accepted: false }
    }

    fn poll_verdict(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0; 1];
        let mut buf = ReadBuf::new(&mut byte);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
        let verdict = match buf.filled() {
            [byte] => Verdict::from_byte(*byte),
            _ => return Poll::Ready(Err(refused(Failure::UpstreamClosed))),
        };
        Poll::Ready(match verdict {
            Verdict::Accepted => {
                self.accepted = true;
                Ok(())
            }
            Verdict::Refused(refusal) => Err(refused(failure(refusal))),
        })
    }
}

fn refused(failure: Failure) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, failure)
}

/// What a refusal by the peer's proxy is to us.
fn failure(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Denied => Failure::Denied,
        Refusal::Forbidden => Failure::ForbiddenDestination,
        Refusal::Unreachable | Refusal::NotReady => Failure::ConnectFailed,
        Refusal::Timeout => Failure::ConnectTimeout,
        Refusal::Overload => Failure::Overflow,
        Refusal::Draining => Failure::UpstreamRefused,
        Refusal::Malformed | Refusal::Internal => Failure::UpstreamProtocol,
    }
}

/// The failure that an error of a relay stands for, if it is one of ours.
pub(crate) fn failure_of(error: &io::Error) -> Option<Failure> {
    error.get_ref()?.downcast_ref::<Failure>().copied()
}

impl Io for Judged {}

impl AsyncRead for Judged {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.accepted {
            ready!(self.poll_verdict(cx))?;
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

leno_http::forward_writes!(Judged, io);
