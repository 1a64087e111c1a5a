//! The writing side: heads and frames to the socket, together where they are small or the socket takes vectors.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use leno_model::failure::Failure;
use tokio::io::AsyncWrite as _;

use super::{Conn, Writing};
use crate::exchange::Progress;
use crate::h1::encode::{self, Encoding};
use crate::limits::COALESCE;
use crate::pool;

/// Bytes queued from which on they are written before more is taken.
const ENOUGH: usize = 4 * COALESCE;

/// Bytes to be written, in the order of the fields.
#[derive(Default)]
pub(super) struct Output {
    /// Heads, chunk lines and small frames, from `at` on.
    text: Vec<u8>,
    at: usize,
    /// A frame.
    frame: Bytes,
    /// What ends the frame's chunk, and maybe the body.
    tail: &'static [u8],
    /// Trailers.
    rest: Bytes,
    /// Written to the socket, which may hold it in a buffer of its own.
    unflushed: bool,
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.text.len()
            && self.frame.is_empty()
            && self.tail.is_empty()
            && self.rest.is_empty()
            && !self.unflushed
    }

    pub(super) fn clear(&mut self) {
        let Self { text, .. } = std::mem::take(self);
        pool::give_text(text);
    }

    /// What is written first; a buffer is had from the core when there is none.
    fn text(&mut self) -> &mut Vec<u8> {
        if self.text.capacity() == 0 {
            self.text = pool::take_text();
        }
        &mut self.text
    }

    /// Whether a frame may be given without waiting for what is queued. What it adds to the text is written before the
    /// other parts, so these must be gone.
    fn has_room(&self) -> bool {
        self.frame.is_empty()
            && self.tail.is_empty()
            && self.rest.is_empty()
            && self.text.len() - self.at < ENOUGH
    }

    fn advance(&mut self, mut written: usize) {
        if let Some(text) = self.only_text() {
            self.at += written.min(text.len());
            return;
        }
        let n = written.min(self.text.len() - self.at);
        self.at += n;
        written -= n;
        let n = written.min(self.frame.len());
        self.frame.advance(n);
        written -= n;
        let n = written.min(self.tail.len());
        self.tail = self.tail.get(n..).unwrap_or_default();
        written -= n;
        self.rest.advance(written.min(self.rest.len()));
        // A peer that reads slowly holds its frame, but no buffer for text that was written before it.
        if self.at >= self.text.len() && self.only_text().is_none() {
            self.at = 0;
            pool::give_text(std::mem::take(&mut self.text));
        }
    }

    /// The text, where there is nothing else.
    fn only_text(&self) -> Option<&[u8]> {
        let only_text = self.frame.is_empty() && self.tail.is_empty() && self.rest.is_empty();
        only_text.then(|| self.text.get(self.at..).unwrap_or_default())
    }

    /// The parts that aren't empty.
    fn parts(&self) -> ([IoSlice<'_>; 4], usize) {
        let all = [self.text.get(self.at..).unwrap_or_default(), &self.frame, self.tail, &self.rest];
        let mut parts = std::array::from_fn(|_| IoSlice::new(&[]));
        let mut count = 0;
        for part in all {
            if !part.is_empty()
                && let Some(place) = parts.get_mut(count)
            {
                *place = IoSlice::new(part);
                count += 1;
            }
        }
        (parts, count)
    }
}

impl Conn {
    /// Where heads are written to.
    pub(in crate::h1) fn text(&mut self) -> &mut Vec<u8> {
        self.output.text()
    }

    /// Waits until a frame may be given; a head, or small frames, may go on waiting for company.
    pub(in crate::h1) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self.writing {
            Writing::Failed(failure) => Poll::Ready(Err(failure)),
            Writing::Switch => {
                self.watch_switch_to_send(cx);
                Poll::Pending
            }
            _ if self.output.has_room() => Poll::Ready(Ok(())),
            _ => self.poll_flush(cx),
        }
    }

    /// Waits until everything queued was written, and the sending direction shut if that is due.
    pub(in crate::h1) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Writing::Failed(failure) = self.writing {
            return Poll::Ready(Err(failure));
        }
        match ready!(self.poll_flush_io(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(self.fail_writing(Some(&error)))),
        }
    }

    /// The same whatever became of the message.
    pub(in crate::h1) fn poll_flush_io(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.output.is_empty() {
            ready!(self.poll_write_queue(cx))?;
        }
        if self.writing == Writing::Shutting {
            if let Some(io) = &mut self.io {
                ready!(Pin::new(io).poll_shutdown(cx))?;
            }
            self.writing = Writing::Shut;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_queue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        let mut io = Pin::new(io);
        loop {
            let written = match self.output.only_text() {
                Some([]) => break,
                Some(text) => ready!(io.as_mut().poll_write(cx, text))?,
                None => {
                    let (parts, count) = self.output.parts();
                    match parts.get(..count) {
                        None | Some([]) => break,
                        Some([part]) => ready!(io.as_mut().poll_write(cx, part))?,
                        Some([part, ..]) if !io.is_write_vectored() => {
                            ready!(io.as_mut().poll_write(cx, part))?
                        }
                        Some(parts) => ready!(io.as_mut().poll_write_vectored(cx, parts))?,
                    }
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
            self.output.unflushed = true;
            self.progress = self.progress.max(Progress::Sent);
        }
        if self.output.unflushed {
            ready!(io.poll_flush(cx))?;
        }
        self.output.clear();
        Poll::Ready(Ok(()))
    }

    /// Queues a frame of the body that is being sent.
    pub(in crate::h1) fn give(&mut self, data: Bytes) -> Result<(), Failure> {
        if let Writing::Failed(failure) = self.writing {
            return Err(failure);
        }
        if data.is_empty() {
            return Ok(());
        }
        let fits = match &mut self.writing {
            _ if !self.output.has_room() => false,
            Writing::Body(Encoding::Length(left)) => match left.checked_sub(data.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    true
                }
                None => false,
            },
            Writing::Body(Encoding::Chunked | Encoding::Plain) | Writing::Tunnel => true,
            _ => false,
        };
        if !fits {
            self.break_off(Failure::Internal);
            return Err(Failure::Internal);
        }
        let chunked = self.writing == Writing::Body(Encoding::Chunked);
        if chunked {
            encode::chunk_size(data.len(), self.output.text());
        }
        if data.len() <= COALESCE {
            let text = self.output.text();
            text.extend_from_slice(&data);
            if chunked {
                text.extend_from_slice(b"\r\n");
            }
        } else {
            self.output.frame = data;
            self.output.tail = if chunked { b"\r\n" } else { b"" };
        }
        Ok(())
    }

    /// Queues the end of the message that is being sent, with trailers where its framing has room for them.
    pub(in crate::h1) fn end(&mut self, trailers: Option<&HeaderMap>) {
        match self.writing {
            Writing::Body(Encoding::Chunked) => {
                self.end_chunks(trailers);
                self.writing = Writing::Idle;
            }
            Writing::Body(Encoding::Length(1..)) => self.break_off(Failure::Internal),
            Writing::Body(_) => self.writing = Writing::Idle,
            Writing::Tunnel => self.writing = Writing::Shutting,
            // A tunnel that hasn't been granted can't be ended alone.
            Writing::Switch => self.break_off(Failure::Internal),
            Writing::Idle | Writing::Head | Writing::Shutting | Writing::Shut | Writing::Failed(_) => {}
        }
    }

    fn end_chunks(&mut self, trailers: Option<&HeaderMap>) {
        let output = &mut self.output;
        if output.frame.is_empty() && output.tail.is_empty() {
            encode::last_chunk(trailers, output.text());
        } else if trailers.is_none() && output.tail == b"\r\n" {
            output.tail = b"\r\n0\r\n\r\n";
        } else {
            let mut rest = Vec::new();
            encode::last_chunk(trailers, &mut rest);
            output.rest = Bytes::from(rest);
        }
    }

    /// Shuts the sending direction after everything queued was written.
    pub(in crate::h1) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.output.is_empty() {
            ready!(self.poll_write_queue(cx))?;
        }
        match &mut self.io {
            Some(io) => Pin::new(io).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Writes a tunnel's bytes straight from the writer's buffers, after what is queued.
    pub(in crate::h1) fn poll_write_tunnel(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.output.is_empty() {
            ready!(self.poll_write_queue(cx))?;
        }
        let Some(io) = &mut self.io else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        match bufs {
            [buf] => Pin::new(io).poll_write(cx, buf),
            bufs => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    pub(in crate::h1) fn poll_flush_tunnel(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.output.is_empty() {
            ready!(self.poll_write_queue(cx))?;
        }
        match &mut self.io {
            Some(io) => Pin::new(io).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    pub(in crate::h1) fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(|io| io.is_write_vectored())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_back_before_the_frame_behind_it_is_written() {
        let mut output = Output::default();
        output.text().extend_from_slice(b"head");
        output.frame = Bytes::from_static(b"frame");
        output.tail = b"\r\n";
        output.advance(2);
        assert!(output.text.capacity() > 0);
        output.advance(3);
        assert_eq!((output.text.capacity(), output.at), (0, 0));
        let (parts, count) = output.parts();
        let left: Vec<&[u8]> = parts.iter().take(count).map(|part| &**part).collect();
        assert_eq!(left, [&b"rame"[..], b"\r\n"]);
        output.advance(6);
        assert!(output.is_empty());
        // Of text alone there may follow more.
        output.text().extend_from_slice(b"head");
        output.advance(4);
        assert!(output.is_empty() && output.text.capacity() > 0);
    }
}
