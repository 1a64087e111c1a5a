//! Directories and files of YAML as a source, which follows every change of them.
//!
//! A thread of its own looks at all files when the kernel says that something has changed, and now and then anyway: what
//! the kernel says is only ever a reason to look, so a lost event costs time and nothing else. Bursts are waited out.
//! What can't be read leaves what was read last in effect; what is gone is gone, except when a path that was named is
//! itself missing, which is how a directory looks while somebody puts another in its place.

mod scan;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_model::span::Diagnostic;
use leno_runtime::task;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::watch as channel;

use self::scan::Scanner;
use self::watch::Watcher;
use crate::limits::{POLL, RESCAN, SETTLE, SETTLE_LONGEST};

/// Everything that was read, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Texts by file, named as the path was given.
    pub files: BTreeMap<Arc<str>, Arc<str>>,
    /// What could not be read.
    pub problems: Vec<Diagnostic>,
}

/// What was read, and since when it is known that it is different from before.
#[derive(Clone, Debug)]
pub struct Read {
    /// What was read.
    pub files: Arc<Files>,
    /// When the first sign of a change was heard.
    pub heard_at: Instant,
}

/// Reads everything below these paths, once. Blocks while it reads.
#[must_use]
pub fn read(paths: Vec<PathBuf>) -> Files {
    Scanner::new(paths).scan(&BTreeSet::new()).files
}

/// Directories and files that are watched until this is dropped.
#[derive(Debug)]
pub struct Directory {
    files: channel::Receiver<Read>,
    stop: OwnedFd,
}

impl Directory {
    /// Reads everything below these paths and begins to watch them. Blocks while it reads.
    ///
    /// # Errors
    /// When there is no thread to be had. What can't be read is a problem in [`Files`].
    pub fn start(paths: Vec<PathBuf>) -> io::Result<Self> {
        let watcher = Watcher::new();
        if let Err(error) = &watcher {
            tracing::warn!(%error, "configuration can't be watched, so it is looked at every second");
        }
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let mut looking =
            Looking { scanner: Scanner::new(paths), watcher: watcher.ok(), stop: stop.try_clone()? };
        let heard_at = Instant::now();
        let (sender, files) = channel::channel(Read { files: Arc::new(looking.look()), heard_at });
        task::spawn_thread("config", move || looking.follow(&sender))?;
        Ok(Self { files, stop })
    }

    /// What is read, to watch.
    #[must_use]
    pub fn files(&self) -> channel::Receiver<Read> {
        self.files.clone()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _wakes_the_thread = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
    }
}

/// The thread's own.
struct Looking {
    scanner: Scanner,
    watcher: Option<Watcher>,
    stop: OwnedFd,
}

/// Why a wait ended.
enum Woken {
    /// Something may have changed.
    Changed,
    /// Nothing was heard for as long as was asked.
    Quiet,
    /// All is over.
    Stopped,
}

impl Looking {
    /// Reads everything, and watches what it consists of. What comes between reading a directory and watching it would
    /// be missed, so with new watches it is read again.
    fn look(&mut self) -> Files {
        const ROUNDS: usize = 4;
        let mut files = Files::default();
        for _ in 0..ROUNDS {
            let writing = self.watcher.as_mut().map(Watcher::writing).unwrap_or_default();
            let scan = self.scanner.scan(&writing);
            files = scan.files;
            let Some(watcher) = &mut self.watcher else { break };
            if !watcher.watch(scan.watched) {
                break;
            }
        }
        files
    }

    fn follow(mut self, sender: &channel::Sender<Read>) {
        while !sender.is_closed() {
            let pause = self.pause();
            let woken = self.wait(pause);
            let heard_at = Instant::now();
            match woken {
                Woken::Stopped => return,
                Woken::Changed if self.settle() => return,
                Woken::Changed | Woken::Quiet => {}
            }
            let files = self.look();
            sender.send_if_modified(|known| {
                let is_news = *known.files != files;
                if is_news {
                    *known = Read { files: Arc::new(files), heard_at };
                }
                is_news
            });
        }
    }

    /// How long until files are looked at without a reason.
    fn pause(&self) -> Duration {
        match &self.watcher {
            Some(watcher) => watcher.patience().map_or(RESCAN, |patience| patience.min(RESCAN)),
            None => POLL,
        }
    }

    /// Waits until a burst is over, or has lasted long enough. Whether all is over.
    fn settle(&mut self) -> bool {
        let deadline = Instant::now() + SETTLE_LONGEST;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.wait(left.min(SETTLE)) {
                Woken::Stopped => return true,
                Woken::Changed if !left.is_zero() => {}
                Woken::Changed | Woken::Quiet => return false,
            }
        }
    }

    fn wait(&mut self, longest: Duration) -> Woken {
        let deadline = Instant::now() + longest;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match watch::poll(&self.stop, self.watcher.as_ref(), left) {
                watch::Ready::Stop => return Woken::Stopped,
                watch::Ready::Nothing => return Woken::Quiet,
                watch::Ready::Events => {
                    // Events about what nobody reads wake nobody.
                    if self.watcher.as_mut().is_some_and(Watcher::take) {
                        return Woken::Changed;
                    }
                }
            }
        }
    }
}
