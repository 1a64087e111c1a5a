//! Clears up when `leno up` can't: however that one dies, its end closes a link that the janitor reads.
//!
//! The kernel already ends most of a mesh with `leno up` (death signals, process namespaces); the janitor
//! makes sure, by pidfds that can't mean another process, and removes the runtime directory. It holds the
//! directory's lock, so that no new mesh of this name starts in between. It runs in a session of its own,
//! which a terminal's signals don't reach.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd, RawFd},
    time::Instant,
};

use leno_capture::process::{self, signal_pidfd};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::Signal,
};

use crate::{
    handoff::{self, Janitor},
    limits::{JANITOR_PROCESSES, JANITOR_WAIT},
    link,
};

/// Why a janitor can't do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What it was started with.
    #[error("can't take over from leno up")]
    Handoff(#[from] handoff::Error),
    /// Watching or removing.
    #[error("can't {0}")]
    Step(&'static str, #[source] io::Error),
}

/// Waits for the end of `leno up`, then ends what is left.
///
/// # Errors
/// [`Error`].
pub fn main(bootstrap: RawFd) -> Result<(), Error> {
    let janitor: Janitor = handoff::take(bootstrap)?;
    let link = handoff::adopt(janitor.link)?;
    let _lock = handoff::adopt(janitor.lock)?;
    process::set_name("leno-janitor").map_err(|error| Error::Step("name this process", error))?;
    let left = watch(&link).map_err(|error| Error::Step("watch leno up", error))?;
    end(&left).map_err(|error| Error::Step("end what leno up left", error))?;
    match fs::remove_dir_all(&janitor.directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::Step("remove the mesh's sockets", error));
        }
        _ => {}
    }
    if let Some(base) = janitor.directory.parent() {
        // It stays while other meshes have theirs in it.
        let _removed = fs::remove_dir(base);
    }
    Ok(())
}

/// Collects processes until the link ends; returns those that still run.
fn watch(link: &OwnedFd) -> io::Result<Vec<OwnedFd>> {
    let mut processes: Vec<OwnedFd> = Vec::new();
    loop {
        let watched = [link].into_iter().chain(&processes);
        let mut events: Vec<_> = watched.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        rustix::io::retry_on_intr(|| poll(&mut events, None))?;
        let happened: Vec<bool> = events.iter().map(|event| !event.revents().is_empty()).collect();
        let (asked, ended) =
            happened.split_first().map_or((false, &[][..]), |(asked, ended)| (*asked, ended));
        let mut ended = ended.iter();
        processes.retain(|_| !ended.next().copied().unwrap_or(false));
        if asked {
            match link::receive::<()>(link)? {
                Some(((), more)) => {
                    processes.extend(more);
                    processes.truncate(JANITOR_PROCESSES);
                }
                None => return Ok(processes),
            }
        }
    }
}

/// Kills processes and waits until they are gone.
fn end(processes: &[OwnedFd]) -> io::Result<()> {
    for process in processes {
        signal_pidfd(process, Signal::KILL.as_raw())?;
    }
    let deadline = Instant::now() + JANITOR_WAIT;
    for process in processes {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        let mut event = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut event, Some(&wait)))?;
    }
    Ok(())
}
