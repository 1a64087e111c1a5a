//! The reading side: bytes from the socket to heads and body frames.

use std::io;
use std::os::fd::BorrowedFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use leno_model::failure::Failure;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, ReadBuf};

use super::{Conn, Reading};
use crate::budget::{Budget, Reservation};
use crate::exchange::Frame;
use crate::h1::body::{Decoded, Decoder};
use crate::h1::parse::{Limits, Parsed, Scan};
use crate::h1::refusal::Refusal;
use crate::io::read_on;
use crate::limits::{BULK_BUFFER, HEAD_FREE, LARGE_BUFFER, READ_AHEAD, RELAY_BUFFER};
use crate::pool::Lease;

/// Bytes in a read from which on reads go directly to a buffer that is handed out, instead of being copied from a
/// leased one at their size.
const BULK: usize = 8 * 1024;

/// Bytes that were read.
pub(super) struct Input {
    /// Read and not used.
    bytes: Bytes,
    /// The beginning of a head, while the rest is awaited; `bytes` is empty then.
    partial: Vec<u8>,
    /// For what `partial` holds beyond the usual, and then the head that was made of it, until the exchange is over.
    reservation: Option<Reservation>,
    budget: Option<Budget>,
    scan: Scan,
    /// How much was read last.
    last: usize,
    /// An error behind what was read last.
    failed: Option<io::Error>,
}

impl Input {
    pub(super) fn new(bytes: Bytes, budget: Option<Budget>) -> Self {
        Self {
            bytes,
            partial: Vec::new(),
            reservation: None,
            budget,
            scan: Scan::default(),
            last: 0,
            failed: None,
        }
    }

    pub(super) fn budget(&self) -> Option<Budget> {
        self.budget.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.partial.is_empty()
    }

    pub(super) fn has_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Bytes that a body is read in next: more for whoever has filled what it had.
    fn most(&self, takes_large: bool) -> usize {
        match self.last {
            BULK_BUFFER.. if takes_large => LARGE_BUFFER,
            RELAY_BUFFER.. => BULK_BUFFER,
            _ => RELAY_BUFFER,
        }
    }
}

/// What came of waiting for a head.
pub(in crate::h1) enum HeadRead<T> {
    Complete(T),
    Refused(Refusal),
    /// The peer closed or reset the connection before the first byte, or within the head.
    Gone(Option<io::Error>),
}

impl Conn {
    /// Reads until `parse` finds a head at the beginning of the input.
    pub(in crate::h1) fn poll_head<T>(
        &mut self,
        parse: &mut dyn FnMut(&[u8], Limits) -> Parsed<T>,
        cx: &mut Context<'_>,
    ) -> Poll<HeadRead<T>> {
        let limits = self.limits;
        if !self.input.has_partial() {
            self.input.reservation = None;
        }
        if !self.input.bytes.is_empty() {
            let bytes = std::mem::take(&mut self.input.bytes);
            match self.input.offer(&bytes, limits, parse) {
                Ok(None) => {}
                Ok(Some((head, consumed))) => {
                    self.input.bytes = bytes.slice(consumed..);
                    return Poll::Ready(HeadRead::Complete(head));
                }
                Err(refusal) => return Poll::Ready(HeadRead::Refused(refusal)),
            }
        }
        let Some(io) = &mut self.io else { return Poll::Ready(HeadRead::Gone(None)) };
        loop {
            let mut lease = Lease::take();
            let mut buf = ReadBuf::new(&mut lease);
            if let Err(error) = ready!(Pin::new(&mut *io).poll_read(cx, &mut buf)) {
                return Poll::Ready(HeadRead::Gone(Some(error)));
            }
            let bytes = buf.filled();
            if bytes.is_empty() {
                return Poll::Ready(HeadRead::Gone(None));
            }
            match self.input.offer(bytes, limits, parse) {
                Ok(None) => {}
                Ok(Some((head, consumed))) => {
                    if let Some(rest) = bytes.get(consumed..)
                        && !rest.is_empty()
                    {
                        self.input.bytes = Bytes::copy_from_slice(rest);
                    }
                    return Poll::Ready(HeadRead::Complete(head));
                }
                Err(refusal) => return Poll::Ready(HeadRead::Refused(refusal)),
            }
        }
    }

    /// Whether what is here behind a head can be the beginning of the chunked body that it announces.
    pub(in crate::h1) fn check_chunked(&self) -> Result<(), Refusal> {
        Decoder::check_chunked(&self.input.bytes)
    }

    /// Whether the rest of the body that is being received has been read from the socket, as far as that is known.
    pub(in crate::h1) fn has_rest(&self) -> bool {
        let Reading::Body(decoder) = &self.reading else { return false };
        decoder.at_most().is_some_and(|rest| rest <= self.input.bytes.len() as u64)
    }

    /// The next frame of the body that is being received: one of [`LARGE_BUFFER`] bytes at most if the caller
    /// `takes_large` ones, else of [`BULK_BUFFER`].
    pub(in crate::h1) fn poll_frame(&mut self, takes_large: bool, cx: &mut Context<'_>) -> Poll<Frame> {
        loop {
            let decoder = match &mut self.reading {
                Reading::Body(decoder) | Reading::Abandoned(decoder) => decoder,
                Reading::Failed(failure) => return Poll::Ready(Frame::Abort(*failure)),
                Reading::Idle | Reading::Head | Reading::Switch { .. } => return Poll::Ready(Frame::End),
            };
            match decoder.decode(&mut self.input.bytes) {
                Ok(Decoded::Data(data)) => {
                    self.expecting = false;
                    if decoder.is_ended() {
                        self.reading = Reading::Idle;
                    }
                    return Poll::Ready(Frame::Data(data));
                }
                Ok(Decoded::Trailers(trailers)) => {
                    self.reading = Reading::Idle;
                    return Poll::Ready(Frame::Trailers(trailers));
                }
                Ok(Decoded::End) => {
                    self.expecting = false;
                    self.reading = Reading::Idle;
                    return Poll::Ready(Frame::End);
                }
                Ok(Decoded::NeedMore) => {}
                Err(refusal) => return Poll::Ready(Frame::Abort(self.refuse(refusal))),
            }
            let by_close = decoder.may_end_by_close();
            let at_most = decoder.at_most().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
            match ready!(self.poll_fill(at_most, takes_large, cx)) {
                Ok(0) if by_close => {
                    self.reading = Reading::Idle;
                    return Poll::Ready(Frame::End);
                }
                Ok(0) => return Poll::Ready(Frame::Abort(self.fail_reading(None))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Frame::Abort(self.fail_reading(Some(&error)))),
            }
        }
    }

    /// Reads into the empty input, of which the body will use `at_most` so many bytes.
    fn poll_fill(
        &mut self,
        at_most: Option<usize>,
        takes_large: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(0)) };
        if let Some(error) = self.input.failed.take() {
            return Poll::Ready(Err(error));
        }
        let most = self.input.most(takes_large);
        let wanted = at_most.unwrap_or(most).min(most);
        if wanted > RELAY_BUFFER {
            return self.poll_fill_bulk(wanted, cx);
        }
        if wanted >= BULK && (self.input.last >= BULK || at_most.is_some()) {
            let mut buffer = BytesMut::with_capacity(wanted);
            ready!(pin!(io.read_buf(&mut buffer)).poll(cx))?;
            self.input.last = buffer.len();
            self.input.bytes = buffer.freeze();
            return Poll::Ready(Ok(self.input.last));
        }
        let mut lease = Lease::take();
        let mut buf = ReadBuf::new(lease.get_mut(..wanted.min(RELAY_BUFFER)).unwrap_or_default());
        ready!(Pin::new(io).poll_read(cx, &mut buf))?;
        self.input.last = buf.filled().len();
        self.input.bytes = Bytes::copy_from_slice(buf.filled());
        Poll::Ready(Ok(self.input.last))
    }

    /// The same into a buffer of the core's, which the frames made of it give back; a large one if the budget has what it
    /// takes to spare, which is reserved as long as they live.
    fn poll_fill_bulk(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(0)) };
        let reserve = |budget: &Budget| budget.try_reserve_spare(LARGE_BUFFER);
        let large = self.input.budget.as_ref().filter(|_| wanted > BULK_BUFFER).and_then(reserve);
        let mut lease = if large.is_some() { Lease::take_large() } else { Lease::take_bulk() };
        let wanted = wanted.min(lease.len());
        let mut buf = ReadBuf::new(lease.get_mut(..wanted).unwrap_or_default());
        ready!(Pin::new(&mut *io).poll_read(cx, &mut buf))?;
        let first = buf.filled().len();
        self.input.failed = read_on(first, buf.remaining(), || {
            let before = buf.filled().len();
            let read = Pin::new(&mut *io).poll_read(cx, &mut buf);
            read.map_ok(|()| buf.filled().len() - before)
        });
        self.input.last = buf.filled().len();
        self.input.bytes = lease.filled(self.input.last, large);
        Poll::Ready(Ok(self.input.last))
    }

    /// Whether the peer has closed, found out by reading ahead of the exchange within a bound.
    ///
    /// Resolves with the failure once it has; while a body is being received its half will notice.
    pub(in crate::h1) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        loop {
            match self.reading {
                Reading::Idle | Reading::Switch { .. } => {}
                Reading::Failed(failure) => return Poll::Ready(failure),
                Reading::Head | Reading::Body(_) | Reading::Abandoned(_) => return Poll::Pending,
            }
            let room = READ_AHEAD.saturating_sub(self.input.bytes.len());
            if room == 0 {
                return Poll::Pending;
            }
            let Some(io) = &mut self.io else { return Poll::Ready(self.side.gone()) };
            let mut lease = Lease::take();
            let mut buf = ReadBuf::new(lease.get_mut(..room).unwrap_or_default());
            let read = ready!(Pin::new(io).poll_read(cx, &mut buf));
            let bytes = buf.filled();
            if let Err(error) = read {
                return Poll::Ready(self.fail_reading(Some(&error)));
            }
            if bytes.is_empty() {
                return Poll::Ready(self.fail_reading(None));
            }
            self.input.bytes = if self.input.bytes.is_empty() {
                Bytes::copy_from_slice(bytes)
            } else {
                let mut longer = BytesMut::with_capacity(self.input.bytes.len() + bytes.len());
                longer.extend_from_slice(&self.input.bytes);
                longer.extend_from_slice(bytes);
                longer.freeze()
            };
        }
    }

    /// Reads and drops whatever comes; how many bytes, or 0 at the end.
    pub(in crate::h1) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input = Input::new(Bytes::new(), None);
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(0)) };
        let mut lease = Lease::take();
        let mut buf = ReadBuf::new(&mut lease);
        ready!(Pin::new(io).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Reads a tunnel's bytes straight into the reader's buffer.
    pub(in crate::h1) fn poll_read_tunnel(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // The peer sends nothing before it has seen the head that grants the tunnel.
        if self.has_output()
            && let Poll::Ready(Err(error)) = self.poll_flush_io(cx)
        {
            return Poll::Ready(Err(error));
        }
        if !self.input.bytes.is_empty() {
            let n = self.input.bytes.len().min(buf.remaining());
            buf.put_slice(self.input.bytes.get(..n).unwrap_or_default());
            self.input.bytes.advance(n);
            return Poll::Ready(Ok(()));
        }
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(())) };
        Pin::new(io).poll_read(cx, buf)
    }

    /// Whether a connection without an exchange has anything to read, or has been closed, which both end it.
    pub(in crate::h1) fn is_disturbed(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.input.has_partial() {
            self.input.reservation = None;
        }
        if !self.input.is_empty() {
            return true;
        }
        let Some(io) = &mut self.io else { return true };
        let mut byte = [0];
        Pin::new(io).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_ready()
    }

    /// The socket, where it is known.
    pub(in crate::h1) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.io.as_ref()?.socket()
    }
}

impl Input {
    /// Offers bytes to the parser, together with what came before; what makes no head yet is kept.
    fn offer<T>(
        &mut self,
        bytes: &[u8],
        limits: Limits,
        parse: &mut dyn FnMut(&[u8], Limits) -> Parsed<T>,
    ) -> Result<Option<(T, usize)>, Refusal> {
        if self.partial.is_empty() {
            match parse(bytes, limits) {
                Parsed::Complete(head, consumed) => return Ok(Some((head, consumed))),
                Parsed::Refused(refusal) => return Err(refusal),
                Parsed::NeedMore => {}
            }
            self.keep(bytes)?;
            self.scan = Scan::default();
            self.scan.is_complete(&self.partial, limits.bytes)?;
            return Ok(None);
        }
        let before = self.partial.len();
        self.keep(bytes)?;
        if !self.scan.is_complete(&self.partial, limits.bytes)? {
            return Ok(None);
        }
        let whole = std::mem::take(&mut self.partial);
        match parse(&whole, limits) {
            Parsed::Complete(head, consumed) => Ok(Some((head, consumed.saturating_sub(before)))),
            Parsed::Refused(refusal) => Err(refusal),
            Parsed::NeedMore => Err(Refusal::RequestLine),
        }
    }

    /// Keeps bytes of an incomplete head.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let size = self.partial.len() + bytes.len();
        if let Some(budget) = self.budget.as_ref().filter(|_| size > HEAD_FREE) {
            let granted = match &mut self.reservation {
                Some(reservation) => reservation.grow(bytes.len()),
                reservation => {
                    *reservation = budget.try_reserve(size);
                    reservation.is_some()
                }
            };
            if !granted {
                return Err(Refusal::Overload);
            }
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_grow_while_they_are_filled() {
        let mut input = Input::new(Bytes::new(), None);
        for (last, usual, large) in [
            (0, RELAY_BUFFER, RELAY_BUFFER),
            (RELAY_BUFFER - 1, RELAY_BUFFER, RELAY_BUFFER),
            (RELAY_BUFFER, BULK_BUFFER, BULK_BUFFER),
            (BULK_BUFFER, BULK_BUFFER, LARGE_BUFFER),
            (LARGE_BUFFER, BULK_BUFFER, LARGE_BUFFER),
        ] {
            input.last = last;
            assert_eq!((input.most(false), input.most(true)), (usual, large), "after {last} bytes");
        }
    }
}
