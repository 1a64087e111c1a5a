//! Waiting for processes in tasks.

use std::{
    cell::Cell,
    io,
    os::fd::{AsFd, OwnedFd},
};

use leno_capture::process::{Child, Exit};
use rustix::process::Signal;
use tokio::io::{Interest, unix::AsyncFd};

/// A child whose end can be awaited, and which is reaped by that.
#[derive(Debug)]
pub(crate) struct Ended {
    child: Child,
    watched: AsyncFd<OwnedFd>,
    exit: Cell<Option<Exit>>,
}

impl Ended {
    pub(crate) fn of(child: Child) -> io::Result<Self> {
        let watched = leno_capture::watch(child.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        Ok(Self { child, watched, exit: Cell::new(None) })
    }

    pub(crate) fn child(&self) -> &Child {
        &self.child
    }

    /// How the process ended, once it has. Safe to cancel, and to call again.
    pub(crate) async fn wait(&self) -> Exit {
        loop {
            if let Some(exit) = self.exit() {
                return exit;
            }
            if let Ok(mut ready) = self.watched.readable().await
                && self.exit().is_none()
            {
                ready.clear_ready();
            }
        }
    }

    fn exit(&self) -> Option<Exit> {
        if self.exit.get().is_none() {
            self.exit.set(match self.child().try_wait() {
                Ok(exit) => exit,
                // Reaped by somebody else, so it is over.
                Err(_no_such_child) => Some(Exit::Signal(Signal::KILL.as_raw())),
            });
        }
        self.exit.get()
    }

    /// Ends it now.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL.as_raw());
    }

    /// Sends a signal, if it still runs.
    pub(crate) fn signal(&self, signal: i32) {
        // Ours and running: only a number that is no signal fails.
        let _sent = self.child().signal(signal);
    }
}

/// How a process ended, in words.
pub(crate) fn words(exit: Exit) -> String {
    crate::link::End::from(exit).to_string()
}
