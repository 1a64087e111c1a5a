//! Keeps protected files protected while they are edited outside.
//!
//! Write protection in a world is a mount on the file. When somebody outside puts a new file in its place,
//! as editors do, the kernel takes the mount away with the old one. So the directories of protected paths
//! are watched, and a helper in the world's mount namespace protects what is new. Between the two there is
//! a moment in which the workload may open the new file.

use std::{
    collections::BTreeSet,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use inotify::{Inotify, WatchMask};
use leno_capture::{
    capability::Set,
    process::{self, Command, Exit},
};
use tokio::io::Interest;

use super::{Keeper, world::World};
use crate::{
    handoff::{self, InitTask, Protect},
    limits::WATCH_EVENT_BYTES,
    wait::{self, Ended},
};

/// Why something isn't protected any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the mesh's files can't be watched")]
    Watch(#[from] io::Error),
    #[error("the mesh's files can't be protected again")]
    Spawn(#[from] process::Error),
    #[error("the mesh's files couldn't be protected again: the helper {0}")]
    Failed(String),
}

/// Protects what replaces a protected path, until that fails.
pub(super) async fn keep(keeper: &Keeper, world: &World) -> Error {
    if keeper.plan.place.is_some() {
        // Nothing is protected in loopback mode.
        std::future::pending::<()>().await;
    }
    match watch(keeper, world).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn watch(keeper: &Keeper, world: &World) -> Result<std::convert::Infallible, Error> {
    let protected = &keeper.plan.world.protected;
    let mut inotify = Inotify::init()?;
    let parents: BTreeSet<&Path> = protected.iter().filter_map(|path| path.parent()).collect();
    for parent in parents {
        inotify.watches().add(parent, WatchMask::MOVED_TO | WatchMask::CREATE)?;
    }
    let ready = leno_capture::watch(inotify.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
    let mut buffer = vec![0; WATCH_EVENT_BYTES];
    loop {
        let mut readable = ready.readable().await?;
        let names: BTreeSet<_> = match inotify.read_events(&mut buffer) {
            Ok(events) => events.filter_map(|event| event.name.map(ToOwned::to_owned)).collect(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                readable.clear_ready();
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let replaced =
            protected.iter().filter(|path| path.file_name().is_some_and(|name| names.contains(name)));
        let replaced: Vec<PathBuf> = replaced.cloned().collect();
        if !replaced.is_empty() {
            protect(keeper, world, replaced).await?;
        }
    }
}

/// Runs the helper that protects these paths in the world.
async fn protect(keeper: &Keeper, world: &World, paths: Vec<PathBuf>) -> Result<(), Error> {
    let mut command = Command::of_file(process::own_executable()?, "leno".as_ref());
    for argument in &keeper.plan.init_arguments {
        command.argument(argument);
    }
    let world = command.hand(world.first_process().try_clone_to_owned()?)?;
    handoff::give(&mut command, &InitTask::Protect(Protect { world, paths }))?;
    command.stderr(io::stderr().as_fd().try_clone_to_owned()?).capabilities(Set::all()).die_with_parent();
    match Ended::of(command.spawn()?)?.wait().await {
        Exit::Code(0) => Ok(()),
        exit => Err(Error::Failed(wait::words(exit))),
    }
}
