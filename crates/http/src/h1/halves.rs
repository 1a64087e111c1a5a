//! The halves of an exchange over HTTP/1, as both ends use them.
//!
//! A half remembers its own end, so one that outlives its message never touches the next.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use leno_model::failure::Failure;
use tokio::io::ReadBuf;

use super::conn::{Conn, Reading, Shared, Writing};
use crate::exchange::Frame;
use crate::limits::RELAY_BUFFER;
use crate::stall::Stall;

/// The receive half of a body or tunnel.
#[derive(Debug)]
pub(crate) struct Incoming {
    conn: Shared,
    /// Bytes of the last frame.
    held: usize,
    takes_large: bool,
    stall: Stall,
    state: Receive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receive {
    Open,
    Ended,
    Failed(Failure),
}

impl Incoming {
    /// The half for what `conn` is reading; the caller has set that.
    pub(super) fn new(conn: &Shared) -> Self {
        let state =
            if matches!(conn.borrow().reading, Reading::Idle) { Receive::Ended } else { Receive::Open };
        Self { conn: Rc::clone(conn), held: 0, takes_large: false, stall: Stall::default(), state }
    }

    /// See [`crate::exchange::Incoming::poll_stalled`].
    pub(crate) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let Some(budget) = self.conn.borrow().budget() else { return Poll::Pending };
        // It is the last frame that is held, whether or not more comes.
        self.stall.poll(&budget, self.held.max(RELAY_BUFFER), cx)
    }

    /// See [`crate::exchange::Incoming::hand_out_large`].
    pub(crate) fn hand_out_large(&mut self) {
        self.takes_large = true;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.state == Receive::Ended
    }

    /// See [`crate::exchange::Incoming::is_here`].
    pub(crate) fn is_here(&self) -> bool {
        self.is_ended() || (self.state == Receive::Open && self.conn.borrow().has_rest())
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Frame> {
        match self.state {
            Receive::Open => {}
            Receive::Ended => return Poll::Ready(Frame::End),
            Receive::Failed(failure) => return Poll::Ready(Frame::Abort(failure)),
        }
        self.stall.end();
        let mut conn = self.conn.borrow_mut();
        if let Reading::Switch { .. } = conn.reading {
            conn.watch_switch_to_receive(cx);
            return Poll::Pending;
        }
        let frame = std::task::ready!(conn.poll_frame(self.takes_large, cx));
        self.held = if let Frame::Data(data) = &frame { data.len() } else { 0 };
        match &frame {
            Frame::Abort(failure) => self.state = Receive::Failed(*failure),
            _ if matches!(conn.reading, Reading::Idle) => self.state = Receive::Ended,
            _ => {}
        }
        if self.state != Receive::Open {
            Conn::release_and_wake_owner(conn);
        }
        Poll::Ready(frame)
    }

    pub(crate) fn poll_read_tunnel(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.conn.borrow_mut().poll_read_tunnel(cx, buf)
    }

    /// Whether this is the receiving direction of a tunnel on the same connection as `outgoing`.
    pub(crate) fn is_tunnel_with(&self, outgoing: &Outgoing) -> bool {
        Rc::ptr_eq(&self.conn, &outgoing.conn)
            && self.state == Receive::Open
            && self.conn.borrow().writing == Writing::Tunnel
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.state != Receive::Open {
            return;
        }
        let mut conn = self.conn.borrow_mut();
        conn.reading = match std::mem::replace(&mut conn.reading, Reading::Idle) {
            Reading::Body(decoder) => Reading::Abandoned(decoder),
            Reading::Switch { .. } => Reading::Switch { dropped: true },
            other => other,
        };
        Conn::release_and_wake_owner(conn);
    }
}

/// The send half of a body or tunnel.
#[derive(Debug)]
pub(crate) struct Outgoing {
    conn: Shared,
    open: bool,
}

impl Outgoing {
    /// The half for what `conn` is writing; the caller has set that.
    pub(super) fn new(conn: &Shared) -> Self {
        let open = !matches!(conn.borrow().writing, Writing::Idle | Writing::Failed(_));
        Self { conn: Rc::clone(conn), open }
    }

    pub(crate) fn is_finished(&self) -> bool {
        !self.open
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.conn.borrow_mut().poll_flush(cx)
    }

    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.conn.borrow_mut().poll_room(cx)
    }

    pub(crate) fn data(&mut self, data: Bytes) -> Result<(), Failure> {
        if !self.open {
            return if data.is_empty() { Ok(()) } else { Err(Failure::Internal) };
        }
        let mut conn = self.conn.borrow_mut();
        let given = conn.give(data);
        if given.is_err() {
            self.open = false;
            Conn::release_and_wake_owner(conn);
        }
        given
    }

    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        self.end(Some(trailers));
    }

    pub(crate) fn finish(&mut self) {
        self.end(None);
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let mut conn = self.conn.borrow_mut();
        conn.end(trailers);
        Conn::release_and_wake_owner(conn);
    }

    pub(crate) fn abort(mut self, failure: Failure) {
        self.break_off(failure);
    }

    fn break_off(&mut self, failure: Failure) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let mut conn = self.conn.borrow_mut();
        conn.break_off(failure);
        Conn::release_and_wake_owner(conn);
    }

    pub(crate) fn poll_write_tunnel(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.conn.borrow_mut().poll_write_tunnel(cx, bufs)
    }

    pub(crate) fn poll_flush_tunnel(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conn.borrow_mut().poll_flush_tunnel(cx)
    }

    pub(crate) fn poll_shutdown_tunnel(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conn.borrow_mut().poll_shutdown(cx)
    }

    pub(crate) fn is_write_vectored(&self) -> bool {
        self.conn.borrow().is_write_vectored()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.break_off(Failure::Internal);
    }
}
