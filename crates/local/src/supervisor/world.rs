//! A workload's world from outside: its first process, and what runs in it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use leno_capture::{
    capability::Set,
    descriptor,
    namespace::{IdMaps, Kinds},
    process::{self, Command},
};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::Keeper;
use crate::{
    handoff::{self, Init, InitTask, Process},
    limits::WORLD_WAIT,
    link::{End, Link, WorldOrder, WorldReport},
    wait::Ended,
};

/// Why there is no world.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("can't make the workload's world")]
    Io(#[from] io::Error),
    #[error("can't make the workload's world")]
    Spawn(#[from] process::Error),
    #[error("can't map users into the workload's world")]
    Maps(#[source] io::Error),
    #[error("{0}")]
    Broken(String),
    #[error("making the workload's world took too long")]
    Late,
    #[error("the first process of the workload's world died")]
    Died,
}

/// A running world. Dropping it ends every process in it.
pub(super) struct World {
    /// Whether it is none, in loopback mode: then its first process ends the others when its link ends.
    is_bare: bool,
    init: Ended,
    link: Link,
    next: Cell<u64>,
    /// The last process that was started; they start in the order of their numbers.
    started: watch::Sender<u64>,
    running: RefCell<BTreeMap<u64, oneshot::Sender<End>>>,
}

impl World {
    /// Makes a world for the keeper's workload.
    pub(super) async fn open(keeper: &Keeper) -> Result<Self, Error> {
        let (ours, theirs) = descriptor::message_pair()?;
        let plan = &keeper.plan;
        let mut command = Command::of_file(process::own_executable()?, "leno".as_ref());
        for argument in &plan.init_arguments {
            command.argument(argument);
        }
        let link = command.hand(theirs)?;
        let document = Init {
            world: plan.world.clone(),
            workdir: plan.process.workdir.clone(),
            user: plan.process.user.clone(),
            link,
        };
        let is_bare = plan.place.is_some();
        let task = if is_bare { InitTask::Bare } else { InitTask::Open };
        handoff::give(&mut command, &task(Box::new(document)))?;
        command.stderr(io::stderr().as_fd().try_clone_to_owned()?).session();
        if !is_bare {
            command
                .namespaces(Kinds::MOUNT.and(Kinds::PROCESS).and(Kinds::IPC).and(Kinds::HOSTNAME))
                .capabilities(Set::all())
                .die_with_parent();
        }
        let world = Self {
            is_bare,
            init: Ended::of(command.spawn()?)?,
            link: Link::new(ours)?,
            next: Cell::new(1),
            started: watch::Sender::new(0),
            running: RefCell::default(),
        };
        timeout(WORLD_WAIT, world.prepare()).await.map_err(|_elapsed| Error::Late)??;
        Ok(world)
    }

    /// Follows the first process until the world is complete.
    async fn prepare(&self) -> Result<(), Error> {
        loop {
            match self.link.receive().await? {
                Some((WorldReport::Unmapped, _)) => {
                    IdMaps::of_caller()
                        .and_then(|maps| maps.write(self.init.child().id()))
                        .map_err(Error::Maps)?;
                    self.link.send(&WorldOrder::Mapped, &[]).await?;
                }
                Some((WorldReport::Ready, _)) => return Ok(()),
                Some((WorldReport::Broken { reason }, _)) => return Err(Error::Broken(reason)),
                Some((WorldReport::Started { .. } | WorldReport::Ended { .. }, _)) => {}
                None => return Err(Error::Died),
            }
        }
    }

    /// A number for a process to be started.
    pub(super) fn number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        number
    }

    /// Runs a process with these standard streams to its end. [`World::attend`] must run meanwhile.
    pub(super) async fn run(&self, id: u64, process: Process, streams: &[OwnedFd]) -> End {
        let (sender, end) = oneshot::channel();
        self.running.borrow_mut().insert(id, sender);
        let streams: Vec<_> = streams.iter().map(AsFd::as_fd).collect();
        let order = WorldOrder::Start { id, process: Box::new(process) };
        if let Err(error) = self.link.send(&order, &streams).await {
            self.running.borrow_mut().remove(&id);
            return End::NotStarted(error.to_string());
        }
        end.await.unwrap_or(End::WorldEnded)
    }

    /// Waits until a process runs. For one that doesn't start, [`World::run`] returns instead.
    pub(super) async fn started(&self, id: u64) {
        let mut started = self.started.subscribe();
        // The sender is this world's own, so it can't be gone.
        let _started = started.wait_for(|started| *started >= id).await;
    }

    /// Sends a signal to a process in the world, if it still runs.
    pub(super) async fn signal(&self, id: u64, signal: i32) {
        // A world that is gone has no process to signal.
        let _sent = self.link.send(&WorldOrder::Signal { id, signal }, &[]).await;
    }

    /// The same where nothing can be awaited. A full link means that the first process is stuck, and with it
    /// everything else.
    pub(super) fn signal_now(&self, id: u64, signal: i32) {
        let _sent = self.link.try_send(&WorldOrder::Signal { id, signal });
    }

    /// The pidfd of its first process.
    pub(super) fn first_process(&self) -> BorrowedFd<'_> {
        self.init.child().as_fd()
    }

    /// Passes on what the first process reports; returns when it died.
    pub(super) async fn attend(&self) {
        while let Ok(Some((report, _))) = self.link.receive().await {
            match report {
                WorldReport::Started { id } => {
                    self.started.send_replace(id);
                }
                WorldReport::Ended { id, end } => {
                    if let Some(sender) = self.running.borrow_mut().remove(&id) {
                        // Whoever waited for it may have lost interest.
                        let _unheard = sender.send(end);
                    }
                }
                WorldReport::Unmapped | WorldReport::Ready | WorldReport::Broken { .. } => {}
            }
        }
        self.running.borrow_mut().clear();
    }

    /// Ends every process in the world and waits until all are gone.
    pub(super) async fn close(&self) {
        if self.is_bare {
            self.link.shut();
        } else {
            self.init.kill();
        }
        self.init.wait().await;
        self.running.borrow_mut().clear();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.is_bare {
            self.init.kill();
        }
    }
}
