//! Where a mesh keeps what it has: sockets in a runtime directory with a short path, state in another.
//!
//! Invariants: both are private to the user (0700); a runtime directory belongs to one running mesh,
//! proved by a lock on the directory itself, which lasts until its last holder (`leno up` or its janitor)
//! is gone.

use std::{
    fs::{self, DirBuilder},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{DirBuilderExt, MetadataExt, PermissionsExt},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

use crate::limits::{LOCK_POLL, SOCKET_PATH_BYTES};

/// Why a mesh's directories can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory can't be made or opened.
    #[error("can't prepare {0}")]
    Prepare(PathBuf, #[source] io::Error),
    /// Somebody else could read or replace what is in it.
    #[error("{0} isn't private to you; remove it, or make it yours with mode 0700")]
    NotPrivate(PathBuf),
    /// Another `leno up` has it.
    #[error("mesh {0:?} is running already; end it with `leno down {0}`, or choose another name")]
    Running(String),
    /// The sockets' paths would be too long for the kernel.
    #[error(
        "{path} is too long for a socket by {excess} bytes; set XDG_RUNTIME_DIR to a shorter directory, \
         or choose a shorter name"
    )]
    TooLong {
        /// The longest socket.
        path: PathBuf,
        /// By how much.
        excess: usize,
    },
    /// No place for state.
    #[error("neither XDG_STATE_HOME nor HOME is an absolute path; set one")]
    NoHome,
}

/// The directory above all runtime directories of this user, which no workload may see.
pub fn runtime_base() -> PathBuf {
    let user = rustix::process::geteuid();
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(directory) if directory.is_absolute() && directory.is_dir() => directory.join("leno"),
        _ if user.is_root() && Path::new("/run").is_dir() => PathBuf::from("/run/leno"),
        _ => PathBuf::from(format!("/tmp/leno-{}", user.as_raw())),
    }
}

/// The directory above all state directories of this user, which no workload may see.
///
/// # Errors
/// [`Error::NoHome`].
pub fn state_base() -> Result<PathBuf, Error> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Ok(state.ok_or(Error::NoHome)?.join("leno"))
}

/// The runtime directory of a mesh, whether it exists or not.
pub fn runtime(mesh: &str) -> PathBuf {
    runtime_base().join(mesh)
}

/// Where a running mesh takes requests.
pub fn control_socket(mesh: &str) -> PathBuf {
    runtime(mesh).join("up.sock")
}

/// Names of the meshes of this user that have a runtime directory.
pub fn meshes() -> Vec<String> {
    let entries = fs::read_dir(runtime_base()).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Makes a mesh's state directory.
///
/// # Errors
/// [`Error`].
pub fn prepare_state(mesh: &str) -> Result<PathBuf, Error> {
    let base = state_base()?;
    make(&base)?;
    let directory = base.join(mesh);
    make_private(&directory)?;
    canonical(&directory)
}

/// A runtime directory that belongs to this process and those that it hands the lock to.
#[derive(Debug)]
pub struct Runtime {
    /// Its path, without symbolic links.
    pub path: PathBuf,
    lock: OwnedFd,
}

impl Runtime {
    /// Makes a mesh's runtime directory, empty, and locks it. Waits a moment for a janitor that is still
    /// clearing up after an earlier mesh of that name.
    ///
    /// # Errors
    /// [`Error`].
    pub fn claim(mesh: &str, patience: Duration) -> Result<Self, Error> {
        let base = runtime_base();
        make_private(&base)?;
        let path = canonical(&base)?.join(mesh);
        let deadline = Instant::now() + patience;
        loop {
            make_private(&path)?;
            if let Some(lock) = lock(&path).map_err(|error| Error::Prepare(path.clone(), error))? {
                let runtime = Self { path, lock };
                runtime.empty().map_err(|error| Error::Prepare(runtime.path.clone(), error))?;
                return Ok(runtime);
            }
            if Instant::now() >= deadline || UnixStream::connect(path.join("up.sock")).is_ok() {
                return Err(Error::Running(mesh.to_owned()));
            }
            pause();
        }
    }

    /// Another holder of the lock, for the janitor.
    ///
    /// # Errors
    /// What duplicating a descriptor says.
    pub fn share_lock(&self) -> io::Result<OwnedFd> {
        self.lock.try_clone()
    }

    /// Removes the directory, where no janitor has.
    ///
    /// # Errors
    /// What removing says.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what a mesh left that nobody could clear up after.
    fn empty(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Waits before asking for the lock again, before any runtime exists.
fn pause() {
    let wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: i64::from(LOCK_POLL.subsec_nanos()) };
    // An interrupted wait only asks sooner.
    let _woken = rustix::event::poll(&mut [], Some(&wait));
}

/// Locks a directory, unless it is locked or was replaced meanwhile.
fn lock(path: &Path) -> io::Result<Option<OwnedFd>> {
    let fd = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // The janitor removes the directory while holding the lock; then this lock is on nothing.
    let locked = rustix::fs::fstat(&fd)?;
    let current = fs::metadata(path).map(|now| now.ino() == locked.st_ino && now.dev() == locked.st_dev);
    Ok(current.unwrap_or(false).then_some(fd))
}

fn make(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Error::Prepare(path.to_owned(), error))
}

fn make_private(path: &Path) -> Result<(), Error> {
    make(path)?;
    let failed = |error| Error::Prepare(path.to_owned(), error);
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::NotPrivate(path.to_owned()));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

fn canonical(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|error| Error::Prepare(path.to_owned(), error))
}

/// Checks that a socket can be bound at this path.
///
/// # Errors
/// [`Error::TooLong`].
pub fn check_socket_path(path: &Path) -> Result<(), Error> {
    match path.as_os_str().len().checked_sub(SOCKET_PATH_BYTES) {
        None | Some(0) => Ok(()),
        Some(excess) => Err(Error::TooLong { path: path.to_owned(), excess }),
    }
}
