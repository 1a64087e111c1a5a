//! The first process of a workload's world: makes the world, gives up every privilege, then starts and
//! reaps processes as its supervisor asks.
//!
//! It starts in new mount, process, IPC and host-name namespaces that belong to the *outer* user
//! namespace, mounts everything, and only then enters the inner one. So the workload has no rights over
//! its own mounts, and every mount is locked for whatever namespaces it makes. Invariant: before the
//! first process of the workload starts, this process can't be traced, can't gain privileges and holds
//! no capability but, under root, those with which daemons drop theirs.
//!
//! One thread, a poll loop, no async runtime: when this process dies, the kernel ends the world.

mod bare;
mod mounts;
mod programs;
mod world;

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, OwnedFd, RawFd},
};

use leno_capture::{
    capability::{self, Set},
    namespace::{self, Kinds},
    process::{self, Child},
    signal::Signals,
};
use rustix::event::{PollFd, PollFlags, poll};

use crate::{
    handoff::{self, Init, InitTask, Process},
    limits::WORLD_PROCESSES,
    link::{self, End, WorldOrder, WorldReport},
};

/// Why a world couldn't be made or ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What it was started with.
    #[error("can't start the workload's world")]
    Handoff(#[from] handoff::Error),
    /// The mounts.
    #[error(transparent)]
    World(#[from] world::Error),
    /// Anything else on the way.
    #[error("can't {0}")]
    Step(&'static str, #[source] io::Error),
}

/// Runs the world's first process until the supervisor is gone, or does what else a world needs.
///
/// # Errors
/// [`Error`], which the supervisor has been told too where it could be.
pub fn main(bootstrap: RawFd) -> Result<(), Error> {
    match handoff::take(bootstrap)? {
        InitTask::Open(init) => open(&init, enter),
        InitTask::Bare(init) => {
            let served = open(&init, stay);
            bare::end_descendants().map_err(|error| Error::Step("end what was started", error))?;
            served
        }
        InitTask::Protect(protect) => {
            let world = handoff::adopt(protect.world)?;
            namespace::join(&world, Kinds::MOUNT).map_err(|error| Error::Step("enter the world", error))?;
            Ok(world::protect(&protect.paths)?)
        }
    }
}

fn open(init: &Init, enter: fn(&Init, &OwnedFd) -> Result<Signals, Error>) -> Result<(), Error> {
    let link = handoff::adopt(init.link)?;
    process::set_name("leno-init").map_err(|error| Error::Step("name this process", error))?;
    match enter(init, &link) {
        Ok(signals) => {
            crate::release_memory();
            serve(&link, &signals).map_err(|error| Error::Step("serve the world", error))
        }
        Err(error) => {
            let reason = crate::error_chain(&error);
            // The supervisor may be gone; then nobody wants to know.
            let _told = link::send(&link, &WorldReport::Broken { reason }, &[]);
            Err(error)
        }
    }
}

/// Makes the world and moves in.
fn enter(init: &Init, link: &OwnedFd) -> Result<Signals, Error> {
    let step = |name| move |error| Error::Step(name, error);
    let signals = Signals::block(&[libc_signal::CHILD]).map_err(step("listen for ended processes"))?;
    world::build(init)?;
    namespace::unshare(Kinds::USER).map_err(step("enter the inner user namespace"))?;
    link::send(link, &WorldReport::Unmapped, &[]).map_err(step("ask for id maps"))?;
    match link::receive(link).map_err(step("wait for id maps"))? {
        Some((WorldOrder::Mapped, _)) => {}
        _ => return Err(Error::Step("wait for id maps", io::ErrorKind::ConnectionAborted.into())),
    }
    capability::forbid_gain().map_err(step("forbid new privileges"))?;
    let keep = if init.world.root { capability::DAEMON } else { Set::empty() };
    capability::reduce_to(keep).map_err(step("drop capabilities"))?;
    capability::hide_memory().map_err(step("hide this process's memory"))?;
    // Again, because the kernel forgets this when credentials change.
    process::die_with_parent().map_err(step("watch the supervisor"))?;
    link::send(link, &WorldReport::Ready, &[]).map_err(step("report"))?;
    Ok(signals)
}

/// Makes no world: becomes the parent of everything that is started and left alone by its own.
fn stay(_init: &Init, link: &OwnedFd) -> Result<Signals, Error> {
    let step = |name| move |error| Error::Step(name, error);
    let signals = Signals::block(&[libc_signal::CHILD]).map_err(step("listen for ended processes"))?;
    bare::adopt_orphans().map_err(step("adopt orphans"))?;
    capability::forbid_gain().map_err(step("forbid new privileges"))?;
    link::send(link, &WorldReport::Ready, &[]).map_err(step("report"))?;
    Ok(signals)
}

/// Linux's numbers of the signals that this module names.
mod libc_signal {
    pub(super) const CHILD: i32 = rustix::process::Signal::CHILD.as_raw();
}

/// A process that the supervisor asked for.
struct Running {
    child: Child,
    group: bool,
}

fn serve(link: &OwnedFd, signals: &Signals) -> io::Result<()> {
    let mut running: BTreeMap<u64, Running> = BTreeMap::new();
    loop {
        let (asked, ended) = wait(link, signals)?;
        if ended {
            while signals.take()?.is_some() {}
            reap(link, &mut running)?;
        }
        if asked {
            match link::receive(link)? {
                None => return Ok(()),
                Some((order, streams)) => obey(link, &mut running, order, streams)?,
            }
        }
    }
}

/// Waits for an order or a signal, and says which it was.
fn wait(link: &OwnedFd, signals: &Signals) -> io::Result<(bool, bool)> {
    let mut events = [
        PollFd::from_borrowed_fd(link.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
    ];
    rustix::io::retry_on_intr(|| poll(&mut events, None))?;
    let [asked, ended] = events.map(|event| !event.revents().is_empty());
    Ok((asked, ended))
}

fn reap(link: &OwnedFd, running: &mut BTreeMap<u64, Running>) -> io::Result<()> {
    while let Some((pid, exit)) = process::reap_any()? {
        // Orphans that nobody asked for are reaped too, and of no further interest.
        let id = running.iter().find(|(_, process)| process.child.id() == pid).map(|(&id, _)| id);
        if let Some(id) = id {
            running.remove(&id);
            link::send(link, &WorldReport::Ended { id, end: exit.into() }, &[])?;
        }
    }
    Ok(())
}

fn obey(
    link: &OwnedFd,
    running: &mut BTreeMap<u64, Running>,
    order: WorldOrder,
    streams: Vec<OwnedFd>,
) -> io::Result<()> {
    match order {
        WorldOrder::Mapped => Ok(()),
        WorldOrder::Start { id, process } => {
            let started = if running.len() >= WORLD_PROCESSES {
                Err(format!("{WORLD_PROCESSES} processes were started here already; end some"))
            } else {
                programs::start(&process, streams)
            };
            match started {
                Ok(child) => {
                    let Process { signal_group: group, .. } = *process;
                    running.insert(id, Running { child, group });
                    link::send(link, &WorldReport::Started { id }, &[])
                }
                Err(reason) => {
                    link::send(link, &WorldReport::Ended { id, end: End::NotStarted(reason) }, &[])
                }
            }
        }
        WorldOrder::Signal { id, signal } => {
            if let Some(process) = running.get(&id) {
                // A process that just ended, or a number that is no signal, changes nothing here.
                let _sent = if process.group {
                    process::signal_group(&process.child, signal)
                } else {
                    process.child.signal(signal)
                };
            }
            Ok(())
        }
    }
}
