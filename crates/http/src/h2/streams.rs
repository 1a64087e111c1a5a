//! What the streams of one client connection share: how many there are, since when there are none.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::exchange::Progress;

/// Of one connection.
#[derive(Debug)]
pub(super) struct Streams {
    active: Cell<usize>,
    idle_since: Cell<Instant>,
}

impl Streams {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { active: Cell::new(0), idle_since: Cell::new(Instant::now()) })
    }

    pub(super) fn active(&self) -> usize {
        self.active.get()
    }

    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.active.get() == 0).then(|| self.idle_since.get())
    }
}

/// Of one stream; counts it while any half of it lives.
#[derive(Debug)]
pub(super) struct Stream {
    streams: Rc<Streams>,
    progress: Cell<Progress>,
}

impl Stream {
    pub(super) fn open(streams: &Rc<Streams>) -> Rc<Self> {
        streams.active.set(streams.active.get() + 1);
        Rc::new(Self { streams: Rc::clone(streams), progress: Cell::new(Progress::Sent) })
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.get()
    }

    pub(super) fn note(&self, progress: Progress) {
        self.progress.set(progress);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let active = self.streams.active.get().saturating_sub(1);
        self.streams.active.set(active);
        if active == 0 {
            self.streams.idle_since.set(Instant::now());
        }
    }
}
