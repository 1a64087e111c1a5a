//! What the kernel says about directories, by inotify.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inotify::{Event, EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::scan::is_config_name;
use crate::limits::WRITING_LONGEST;

/// What in a directory is of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    /// Everything.
    All,
    /// Entries of these names.
    Names(BTreeSet<OsString>),
}

impl Interest {
    /// Adds another interest in the same directory.
    pub(super) fn add(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Names(names), Self::Names(others)) => names.extend(others),
            (_, Self::All) => *self = Self::All,
            (Self::All, Self::Names(_)) => {}
        }
    }

    fn includes(&self, name: &OsStr) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.contains(name),
        }
    }
}

/// A path as it is written for short: without `./` at its beginning.
pub(super) fn plain(path: &Path) -> &Path {
    path.strip_prefix(".").unwrap_or(path)
}

/// Watches directories.
pub(super) struct Watcher {
    inotify: Inotify,
    watched: HashMap<WatchDescriptor, (PathBuf, Interest)>,
    /// Files that somebody is writing, and since when.
    writing: HashMap<PathBuf, Instant>,
    /// Whether it was told that something can't be watched.
    told_unwatched: bool,
}

/// What there is to do.
pub(super) enum Ready {
    /// To stop.
    Stop,
    /// To take events.
    Events,
    /// Nothing; the time is over.
    Nothing,
}

/// Waits for events or the end.
pub(super) fn poll(stop: &OwnedFd, watcher: Option<&Watcher>, longest: Duration) -> Ready {
    let timeout = Timespec::try_from(longest).ok();
    let mut fds = vec![PollFd::new(stop, PollFlags::IN)];
    fds.extend(watcher.map(|watcher| PollFd::new(&watcher.inotify, PollFlags::IN)));
    // An interrupted wait ends early, which is only a reason to look.
    let _count = rustix::event::poll(&mut fds, timeout.as_ref());
    let is_ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
    if is_ready(0) {
        Ready::Stop
    } else if is_ready(1) {
        Ready::Events
    } else {
        Ready::Nothing
    }
}

impl Watcher {
    /// Watches nothing yet.
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        Ok(Self { inotify, watched: HashMap::new(), writing: HashMap::new(), told_unwatched: false })
    }

    /// Watches these directories and no others. Whether there are new ones. A path is watched anew each time, since it
    /// may lead to another directory than before.
    pub(super) fn watch(&mut self, directories: BTreeMap<PathBuf, Interest>) -> bool {
        let mask = WatchMask::CREATE
            | WatchMask::MODIFY
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let mut now: HashMap<WatchDescriptor, (PathBuf, Interest)> = HashMap::new();
        for (path, interest) in directories {
            let descriptor = match self.inotify.watches().add(&path, mask) {
                Ok(descriptor) => descriptor,
                Err(error) => {
                    self.tell_unwatched(&path, &error);
                    continue;
                }
            };
            match now.get_mut(&descriptor) {
                Some((_, known)) => known.add(interest),
                None => drop(now.insert(descriptor, (path, interest))),
            }
        }
        let has_new = now.keys().any(|descriptor| !self.watched.contains_key(descriptor));
        for descriptor in self.watched.keys().filter(|descriptor| !now.contains_key(descriptor)) {
            let _gone_already = self.inotify.watches().remove(descriptor.clone());
        }
        self.watched = now;
        has_new
    }

    /// One that is gone already, or one too many for the kernel, is looked at with the next regular scan.
    fn tell_unwatched(&mut self, path: &Path, error: &io::Error) {
        let is_gone = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        if !is_gone && !std::mem::replace(&mut self.told_unwatched, true) {
            let path = path.display();
            tracing::warn!(%path, %error, "a directory can't be watched, so changes in it are seen late");
        }
    }

    /// Takes what has happened. Whether any of it is a reason to look.
    pub(super) fn take(&mut self) -> bool {
        let mut buffer = [0; 4 << 10];
        let mut is_reason = false;
        loop {
            let events: Vec<Event<OsString>> = match self.inotify.read_events(&mut buffer) {
                Ok(events) => events.map(|event| event.to_owned()).collect(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_would_block) => return is_reason,
            };
            if events.is_empty() {
                return is_reason;
            }
            for event in events {
                is_reason |= self.is_reason(&event);
            }
        }
    }

    fn is_reason(&mut self, event: &Event<OsString>) -> bool {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return true;
        }
        let Some((directory, interest)) = self.watched.get(&event.wd) else { return false };
        let Some(name) = &event.name else { return true };
        if !interest.includes(name) {
            return false;
        }
        let is_content =
            event.mask.intersects(EventMask::MODIFY | EventMask::CLOSE_WRITE | EventMask::ATTRIB);
        if is_content && *interest == Interest::All && !is_config_name(Path::new(name)) {
            // Somebody's log file, say.
            return false;
        }
        let path = plain(&directory.join(name)).to_owned();
        if event.mask.contains(EventMask::MODIFY) {
            self.writing.entry(path).or_insert_with(Instant::now);
        } else if !event.mask.contains(EventMask::ATTRIB) {
            self.writing.remove(&path);
        }
        true
    }

    /// The files that somebody is writing now, by their plain paths. Who takes too long is not waited for.
    pub(super) fn writing(&mut self) -> BTreeSet<PathBuf> {
        self.writing.retain(|_, since| since.elapsed() < WRITING_LONGEST);
        self.writing.keys().cloned().collect()
    }

    /// How long somebody who is writing is still waited for.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.writing.values().map(|since| WRITING_LONGEST.saturating_sub(since.elapsed())).min()
    }
}
