//! Finding dead peers by PING (RFC 9113 §6.7).
//!
//! A connection that hears anything needs no probe, so reads are counted at the socket and a PING is sent only after
//! a quiet interval.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::Settings;
use crate::io::Io;

/// A socket that counts its reads.
pub(super) struct Heard {
    io: Box<dyn Io>,
    reads: Rc<Cell<u64>>,
}

impl Heard {
    pub(super) fn new(io: Box<dyn Io>) -> (Self, Rc<Cell<u64>>) {
        let reads = Rc::new(Cell::new(0));
        (Self { io, reads: Rc::clone(&reads) }, reads)
    }
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.reads.set(self.reads.get().wrapping_add(1));
        }
        read
    }
}

crate::forward_writes!(Heard, io);

/// Probes one connection.
pub(super) struct Prober {
    pings: PingPong,
    reads: Rc<Cell<u64>>,
    seen: u64,
    waiting: bool,
    interval: Duration,
    timeout: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Prober {
    /// `None` if the settings ask for no PINGs.
    pub(super) fn new(pings: Option<PingPong>, reads: &Rc<Cell<u64>>, settings: &Settings) -> Option<Self> {
        let interval = settings.ping_interval?;
        Some(Self {
            pings: pings?,
            reads: Rc::clone(reads),
            seen: reads.get(),
            waiting: false,
            interval,
            timeout: settings.ping_timeout,
            sleep: Box::pin(sleep(interval)),
        })
    }

    /// Goes on probing; whether the peer is dead.
    pub(super) fn is_dead(&mut self, cx: &mut Context<'_>) -> bool {
        if self.waiting {
            // Takes the answer off, so that another PING may be sent; that something was heard is what counts.
            let _pong = self.pings.poll_pong(cx);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            let heard = self.reads.get() != self.seen;
            self.seen = self.reads.get();
            if !heard && self.waiting {
                return true;
            }
            self.waiting = !heard && self.pings.send_ping(Ping::opaque()).is_ok();
            let wait = if self.waiting { self.timeout } else { self.interval };
            self.sleep.as_mut().reset(tokio::time::Instant::now() + wait);
        }
        false
    }
}
