//! Relay of bytes between two duplexes, with half-close.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::Tally;
use crate::io::{Io, read_on};
use crate::limits::RELAY_BUFFER;
use crate::pool::Lease;

/// How a duplex relay ended.
#[derive(Debug)]
pub enum DuplexEnd {
    /// Both directions ended and were closed in turn.
    Complete,
    /// Reading from or writing to the first duplex failed.
    First(io::Error),
    /// Reading from or writing to the second duplex failed.
    Second(io::Error),
}

/// Which end an error came from.
enum Broken {
    Source(io::Error),
    Sink(io::Error),
}

/// One direction. Holds a buffer only while it holds bytes that the sink would not take.
#[derive(Default)]
struct Pump {
    held: Option<(Lease, usize, usize)>,
    /// Whether the last read filled a buffer.
    has_filled: bool,
    /// An error behind what was read last.
    failed: Option<io::Error>,
    unflushed: bool,
    state: PumpState,
}

#[derive(Default, PartialEq)]
enum PumpState {
    #[default]
    Moving,
    Closing,
    Closed,
}

/// Moves bytes both ways until both directions have ended; the end of one is passed on while the other goes on.
/// `there` counts from `first` to `second`, `back` the other way. Not cancel safe: bytes under way are lost.
pub async fn duplex(first: &mut dyn Io, second: &mut dyn Io, there: &Tally, back: &Tally) -> DuplexEnd {
    let mut out = Pump::default();
    let mut home = Pump::default();
    poll_fn(|cx| {
        let a = out.poll(first, second, there, cx);
        if let Poll::Ready(Err(broken)) = a {
            return Poll::Ready(match broken {
                Broken::Source(error) => DuplexEnd::First(error),
                Broken::Sink(error) => DuplexEnd::Second(error),
            });
        }
        match home.poll(second, first, back, cx) {
            Poll::Ready(Err(Broken::Source(error))) => Poll::Ready(DuplexEnd::Second(error)),
            Poll::Ready(Err(Broken::Sink(error))) => Poll::Ready(DuplexEnd::First(error)),
            Poll::Ready(Ok(())) if a.is_ready() => Poll::Ready(DuplexEnd::Complete),
            _ => Poll::Pending,
        }
    })
    .await
}

impl Pump {
    fn poll(
        &mut self,
        from: &mut dyn Io,
        to: &mut dyn Io,
        tally: &Tally,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        while self.state == PumpState::Moving {
            ready!(self.poll_drain(to, tally, cx)).map_err(Broken::Sink)?;
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(Broken::Source(error)));
            }
            let mut lease = Lease::take_for(self.has_filled);
            let mut buf = ReadBuf::new(&mut lease);
            match Pin::new(&mut *from).poll_read(cx, &mut buf) {
                Poll::Ready(read) => read.map_err(Broken::Source)?,
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(Broken::Sink)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
            let first = buf.filled().len();
            self.failed = read_on(first, buf.remaining(), || {
                let before = buf.filled().len();
                let read = Pin::new(&mut *from).poll_read(cx, &mut buf)?;
                read.map(|()| Ok(buf.filled().len() - before))
            });
            let filled = buf.filled().len();
            self.has_filled = filled >= RELAY_BUFFER;
            if filled == 0 {
                self.state = PumpState::Closing;
            } else {
                self.held = Some((lease, 0, filled));
            }
        }
        if self.state == PumpState::Closing {
            ready!(Pin::new(to).poll_shutdown(cx)).map_err(Broken::Sink)?;
            self.state = PumpState::Closed;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_drain(&mut self, to: &mut dyn Io, tally: &Tally, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((lease, start, end)) = &mut self.held {
            let n = ready!(Pin::new(&mut *to).poll_write(cx, lease.get(*start..*end).unwrap_or_default()))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            tally.moved(n);
            self.unflushed = true;
            *start += n;
            if start >= end {
                self.held = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}
