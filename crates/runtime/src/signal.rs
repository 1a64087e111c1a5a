//! The signals that a process answers, as events.
//!
//! What a signal means (drain, reload, a second one forces) is decided by who receives it.

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// A signal sent to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: end in order.
    Terminate,
    /// SIGINT: somebody pressed Ctrl-C.
    Interrupt,
    /// SIGHUP: the terminal is gone, or "read your configuration again".
    Hangup,
}

/// Receives the process's signals, which from then on don't end it by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    /// Takes over SIGTERM, SIGINT and SIGHUP for the rest of the process's life.
    ///
    /// # Errors
    /// When the handlers can't be installed.
    ///
    /// # Panics
    /// When called outside a runtime.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
        })
    }

    /// The next signal. Equal ones that come in quick succession may be seen as one. Safe to cancel.
    pub async fn next(&mut self) -> Signal {
        // `recv` ends with `None` only where no more signals can come, and then waiting is right.
        tokio::select! {
            Some(()) = self.terminate.recv() => Signal::Terminate,
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            Some(()) = self.hangup.recv() => Signal::Hangup,
            else => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal as Raw, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn each_is_seen() {
        let mut signals = Signals::install().unwrap();
        for (raw, expected) in
            [(Raw::TERM, Signal::Terminate), (Raw::INT, Signal::Interrupt), (Raw::HUP, Signal::Hangup)]
        {
            kill_process(getpid(), raw).unwrap();
            assert_eq!(signals.next().await, expected);
        }
    }
}
