//! What a connection has to send: frames in their order, in one buffer, with large pieces of bodies between them as they
//! are.
//!
//! Everything that is queued between two polls of a connection leaves by as few writes as the socket takes. Invariant:
//! bytes leave in the order in which they were queued. How many there may be is up to who queues: see [`Out::bytes`].

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite as _;

use super::frame::{self, Kind, flag};
use crate::io::Io;
use crate::limits::{COALESCE, H2_FRAME};
use crate::pool;

/// Pieces of one write.
const PIECES: usize = 32;

/// Bytes that have been sent, at the beginning of the buffer, from which on those behind them are moved up.
const MOVE_UP: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Out {
    text: Vec<u8>,
    /// How much of `text` has been sent.
    sent: usize,
    order: VecDeque<Piece>,
    bytes: usize,
    /// Bytes that answer what the peer has sent, and were counted while the others hadn't left.
    answers: Answers,
    /// Those before.
    older: Answers,
    unflushed: bool,
}

/// Some answers in the queue. Two of these follow each other, since the queue of a busy connection is never without any.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    bytes: usize,
    /// Bytes in the queue up to the last of these.
    until: usize,
}

#[derive(Debug)]
enum Piece {
    /// So many bytes of the buffer.
    Text(usize),
    Body(Bytes),
}

impl Out {
    /// Bytes queued.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether everything has left.
    pub(super) fn is_sent(&self) -> bool {
        self.bytes == 0 && !self.unflushed
    }

    /// Bytes that the peer has caused by what it sent, and that haven't left. A peer that doesn't read is not to be read
    /// from when these are many. Some that have left are counted until those do that were queued with them.
    pub(super) fn answers(&self) -> usize {
        self.older.bytes + self.answers.bytes
    }

    /// Queues what `write` appends.
    pub(super) fn text(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.text.capacity() == 0 {
            self.text = pool::take_frames();
        }
        let before = self.text.len();
        write(&mut self.text);
        let length = self.text.len().saturating_sub(before);
        self.bytes += length;
        match self.order.back_mut() {
            Some(Piece::Text(last)) => *last += length,
            _ => self.order.push_back(Piece::Text(length)),
        }
    }

    /// The same for what answers the peer.
    pub(super) fn answer(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes;
        self.text(write);
        self.answers.bytes += self.bytes.saturating_sub(before);
        self.answers.until = self.bytes;
    }

    /// Queues bytes of a body in as many frames as it takes, at least one, the last of which may end the stream. Where
    /// the socket takes `vectors`, large pieces aren't copied.
    pub(super) fn data(&mut self, stream: u32, mut bytes: Bytes, ends: bool, vectors: bool) {
        loop {
            let piece = bytes.split_to(bytes.len().min(H2_FRAME as usize));
            let end = if ends && bytes.is_empty() { flag::END_STREAM } else { 0 };
            let head = frame::head(piece.len(), Kind::Data, end, stream);
            let is_copied = !vectors || piece.len() <= COALESCE;
            self.text(|text| {
                text.extend_from_slice(&head);
                if is_copied {
                    text.extend_from_slice(&piece);
                }
            });
            if !is_copied {
                self.bytes += piece.len();
                self.order.push_back(Piece::Body(piece));
            }
            if bytes.is_empty() {
                return;
            }
        }
    }

    /// Sends; ready once everything has left.
    pub(super) fn poll_sent(&mut self, io: &mut Box<dyn Io>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.bytes > 0 {
            let written = ready!(self.poll_write(io, cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.advance(written);
        }
        if self.unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&self, io: &mut Box<dyn Io>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut at = self.sent;
        let mut text = |length: usize| {
            at += length;
            self.text.get(at - length..at).unwrap_or_default()
        };
        if let (Some(Piece::Text(length)), 1) = (self.order.front(), self.order.len()) {
            return Pin::new(io).poll_write(cx, text(*length));
        }
        let mut pieces = [IoSlice::new(&[]); PIECES];
        for (place, piece) in pieces.iter_mut().zip(&self.order) {
            *place = IoSlice::new(match piece {
                Piece::Text(length) => text(*length),
                Piece::Body(bytes) => bytes,
            });
        }
        let count = self.order.len().min(PIECES);
        Pin::new(io).poll_write_vectored(cx, pieces.get(..count).unwrap_or_default())
    }

    fn advance(&mut self, written: usize) {
        let mut rest = written;
        self.bytes = self.bytes.saturating_sub(written);
        self.older.until = self.older.until.saturating_sub(written);
        self.answers.until = self.answers.until.saturating_sub(written);
        if self.older.until == 0 {
            self.older = std::mem::take(&mut self.answers);
        }
        if self.older.until == 0 {
            self.older.bytes = 0;
        }
        while rest > 0 {
            let Some(first) = self.order.front_mut() else { break };
            let (taken, is_gone) = match first {
                Piece::Text(length) => {
                    let taken = rest.min(*length);
                    *length -= taken;
                    self.sent += taken;
                    (taken, *length == 0)
                }
                Piece::Body(bytes) => {
                    let taken = rest.min(bytes.len());
                    bytes.advance(taken);
                    (taken, bytes.is_empty())
                }
            };
            rest -= taken;
            if is_gone {
                self.order.pop_front();
            }
        }
        if self.bytes == 0 {
            self.order.clear();
            self.sent = 0;
            pool::give_frames(std::mem::take(&mut self.text));
        } else if self.sent >= MOVE_UP {
            self.text.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::limits::RELAY_BUFFER;

    /// The payloads of DATA frames.
    fn bodies(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        while let Some(head) = frame::Head::read(bytes) {
            assert_eq!(head.kind, Kind::Data);
            let (payload, rest) = bytes[frame::HEAD..].split_at(head.length);
            bodies.push(payload.to_vec());
            assert_eq!(head.has(flag::END_STREAM), rest.is_empty());
            bytes = rest;
        }
        bodies
    }

    #[tokio::test]
    async fn everything_leaves_in_its_order_whatever_the_socket_takes() {
        let bodies_given: Vec<Vec<u8>> =
            [0, 5, COALESCE, COALESCE + 1, 3, RELAY_BUFFER, RELAY_BUFFER + 9, 100_000, 1]
                .into_iter()
                .map(|length| (0..length).map(|at| u8::try_from(at % 251).expect("a byte")).collect())
                .collect();
        for (room, vectors) in [(1, true), (7, false), (1000, true), (1 << 20, true), (1 << 20, false)] {
            let (near, mut far) = tokio::io::duplex(room);
            let mut io: Box<dyn Io> = Box::new(near);
            let mut out = Out::default();
            for (at, body) in bodies_given.iter().enumerate() {
                let ends = at + 1 == bodies_given.len();
                out.data(3, Bytes::copy_from_slice(body), ends, vectors);
            }
            let all = out.bytes();
            let sending = async {
                poll_fn(|cx| out.poll_sent(&mut io, cx)).await.expect("sent");
                drop(io);
                out
            };
            let mut got = Vec::new();
            let (out, read) = tokio::join!(sending, far.read_to_end(&mut got));
            read.expect("read");
            assert_eq!((out.bytes(), out.text.capacity(), got.len()), (0, 0, all));
            let got = bodies(&got);
            assert!(got.iter().all(|body| body.len() <= H2_FRAME as usize));
            assert_eq!(got.concat(), bodies_given.concat(), "{room} {vectors}");
        }
    }

    #[tokio::test]
    async fn answers_that_have_left_are_forgotten_though_others_follow() {
        let (near, mut far) = tokio::io::duplex(100);
        let mut io: Box<dyn Io> = Box::new(near);
        let mut out = Out::default();
        for _ in 0..1000 {
            out.text(|text| text.extend_from_slice(&[0; 200]));
            out.answer(|text| text.extend_from_slice(&[1; 10]));
            while out.bytes() > 300 {
                // Or the budget of the task ends amid the two.
                tokio::task::yield_now().await;
                let _blocked = poll_fn(|cx| Poll::Ready(out.poll_sent(&mut io, cx))).await;
                let _some = far.read(&mut [0; 100]).await.expect("read");
            }
            assert!((10..=50).contains(&out.answers()), "{}", out.answers());
        }
    }

    #[tokio::test]
    async fn answers_count_until_they_have_left() {
        let (near, mut far) = tokio::io::duplex(10);
        let mut io: Box<dyn Io> = Box::new(near);
        let mut out = Out::default();
        out.text(|text| text.extend_from_slice(&[0; 20]));
        out.answer(|text| text.extend_from_slice(&[1; 5]));
        out.text(|text| text.extend_from_slice(&[2; 20]));
        assert_eq!((out.bytes(), out.answers()), (45, 5));
        while out.bytes() > 0 {
            let _blocked = poll_fn(|cx| Poll::Ready(out.poll_sent(&mut io, cx))).await;
            let wanted = if out.bytes() > 20 { 5 } else { 0 };
            assert_eq!(out.answers(), wanted, "{} bytes are left", out.bytes());
            let _some = far.read(&mut [0; 10]).await.expect("read");
        }
    }
}
