//! Finding dead peers by PING (RFC 9113 §6.7).
//!
//! A connection that hears anything needs no probe, so reads are counted at the socket and a PING is sent only after
//! a quiet interval.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Sleep, sleep};

use super::Settings;
use super::socket::Handle;

/// Probes one connection.
pub(super) struct Prober {
    pings: PingPong,
    socket: Handle,
    seen: u64,
    waiting: bool,
    interval: Duration,
    timeout: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Prober {
    /// `None` if the settings ask for no PINGs.
    pub(super) fn new(pings: Option<PingPong>, socket: &Handle, settings: &Settings) -> Option<Self> {
        let interval = settings.ping_interval?;
        Some(Self {
            pings: pings?,
            socket: socket.clone(),
            seen: socket.reads(),
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
            let heard = self.socket.reads() != self.seen;
            self.seen = self.socket.reads();
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
