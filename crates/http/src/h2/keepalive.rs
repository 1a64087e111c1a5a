//! Finding dead peers by PING (RFC 9113 §6.7).
//!
//! A connection that hears anything needs no probe, so reads are counted and a PING is sent only after
//! a quiet interval.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use leno_runtime::time::sleep;
use tokio::time::Sleep;

use super::Settings;
use super::conn::Conn;

/// Probes one connection.
#[derive(Debug)]
pub(super) struct Prober {
    seen: u64,
    waiting: bool,
    interval: Duration,
    timeout: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Prober {
    /// `None` if the settings ask for no PINGs.
    pub(super) fn new(settings: &Settings) -> Option<Self> {
        let interval = settings.ping_interval?;
        let sleep = Box::pin(sleep(interval));
        Some(Self { seen: 0, waiting: false, interval, timeout: settings.ping_timeout, sleep })
    }

    /// Goes on probing; whether the peer is dead.
    pub(super) fn is_dead(&mut self, conn: &Conn, cx: &mut Context<'_>) -> bool {
        while self.sleep.as_mut().poll(cx).is_ready() {
            let reads = conn.reads();
            let heard = reads != self.seen;
            self.seen = reads;
            if !heard && self.waiting {
                return true;
            }
            self.waiting = !heard;
            if self.waiting {
                conn.probe();
            }
            let wait = if self.waiting { self.timeout } else { self.interval };
            self.sleep.as_mut().reset(tokio::time::Instant::now() + wait);
        }
        false
    }
}
