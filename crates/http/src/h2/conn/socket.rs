//! What a connection does with its socket: send what is queued, read and have it handled.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, ReadBuf};

use super::{Conn, State};
use crate::h2::out::Out;
use crate::h2::reason::Cause;
use crate::pool::Lease;

impl State {
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_muted {
            self.out = Out::default();
        }
        if self.out.is_sent() {
            return Poll::Ready(Ok(()));
        }
        loop {
            let Some(io) = &mut self.io else { return Poll::Ready(Ok(())) };
            let before = self.out.bytes();
            let sent = self.out.poll_sent(io, cx)?;
            if self.out.bytes() < before {
                self.room_was_made();
            }
            // Those who had waited for room may have filled it.
            if sent.is_pending() || self.out.bytes() == 0 {
                return sent.map(Ok);
            }
        }
    }

    /// Reads once and handles what is whole.
    pub(super) fn poll_read(&mut self, conn: &Rc<Conn>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(io) = &mut self.io else { return Poll::Ready(()) };
        let mut buffer = Lease::take_for_frames();
        let held = self.rest.len();
        let Some((start, room)) = buffer.split_at_mut_checked(held) else {
            // Never: what is held is less than one frame.
            self.end(Cause::Closed);
            return Poll::Ready(());
        };
        let mut read = ReadBuf::new(room);
        let result = ready!(Pin::new(io).poll_read(cx, &mut read));
        let filled = held + read.filled().len();
        self.reads = self.reads.wrapping_add(1);
        match result {
            Err(error) => self.end(Cause::of_io(&error)),
            Ok(()) if filled == held => self.end(Cause::Closed),
            Ok(()) => {
                start.copy_from_slice(&self.rest);
                let bytes = buffer.get(..filled).unwrap_or_default();
                match self.handle(conn, bytes) {
                    Ok(handled) => {
                        self.rest.clear();
                        match bytes.get(handled..).unwrap_or_default() {
                            // No memory for those that are whole.
                            [] => self.rest = Vec::new(),
                            rest => self.rest.extend_from_slice(rest),
                        }
                    }
                    Err(broken) => self.violate(broken),
                }
            }
        }
        Poll::Ready(())
    }
}
