//! Starting processes in new namespaces with exactly the descriptors, identity and capabilities that
//! they should have, and learning of their end without races.
//!
//! Unlike `std::process` this starts with `clone3`, so that namespaces, id maps and a pidfd come with
//! the process instead of after it. Invariants: a started process has the standard streams and the
//! descriptors handed to it, and no other; with [`Command::die_with_parent`] it doesn't outlive the
//! thread that started it; between `clone` and `exec` the child makes only system calls.

mod launch;

use std::{
    ffi::{CString, OsStr},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, WaitId, WaitIdOptions},
};

use crate::{
    capability::Set,
    limits::HANDED_DESCRIPTORS,
    namespace::{IdMaps, Kinds},
};

pub use launch::Step;

/// Why a process didn't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The parent's side failed.
    #[error("can't {operation} for {program}")]
    Parent {
        /// What was tried.
        operation: &'static str,
        /// For which program.
        program: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A step of the child failed before the program ran.
    #[error("can't {step} for {program}")]
    Child {
        /// What was tried.
        step: Step,
        /// For which program.
        program: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

/// A user to become before the program starts. Needs `CAP_SETUID` and `CAP_SETGID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User number.
    pub user: u32,
    /// Primary group number.
    pub group: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// How to start one process. Nothing is inherited but what is named here.
#[derive(Debug)]
pub struct Command {
    program: Program,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    workdir: Option<CString>,
    streams: [Option<OwnedFd>; 3],
    handed: Vec<OwnedFd>,
    namespaces: Kinds,
    maps: Option<IdMaps>,
    credentials: Option<Credentials>,
    capabilities: Option<Set>,
    session: bool,
    terminal: bool,
    die_with_parent: bool,
    forbid_gain: bool,
    open_files: Option<u64>,
}

#[derive(Debug)]
enum Program {
    Path(CString),
    /// An open executable file; it runs even where its path no longer leads to it.
    File(OwnedFd),
}

impl Command {
    /// Runs the executable at this path, which becomes argument 0 too.
    pub fn new(path: &Path) -> Self {
        Self::of(Program::Path(text(path.as_os_str())), path.as_os_str())
    }

    /// Runs an open executable file under the name `argument0`.
    pub fn of_file(file: OwnedFd, argument0: &OsStr) -> Self {
        Self::of(Program::File(file), argument0)
    }

    fn of(program: Program, argument0: &OsStr) -> Self {
        Self {
            program,
            arguments: vec![text(argument0)],
            environment: Vec::new(),
            workdir: None,
            streams: [None, None, None],
            handed: Vec::new(),
            namespaces: Kinds::NONE,
            maps: None,
            credentials: None,
            capabilities: None,
            session: false,
            terminal: false,
            die_with_parent: false,
            forbid_gain: false,
            open_files: None,
        }
    }

    /// Adds an argument.
    pub fn argument(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.arguments.push(text(argument.as_ref()));
        self
    }

    /// Sets an environment variable. The environment starts empty.
    pub fn variable(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        let mut pair = name.as_ref().as_bytes().to_vec();
        pair.push(b'=');
        pair.extend(value.as_ref().as_bytes());
        self.environment.push(text(OsStr::from_bytes(&pair)));
        self
    }

    /// Copies this process's environment.
    pub fn own_environment(&mut self) -> &mut Self {
        for (name, value) in std::env::vars_os() {
            self.variable(name, value);
        }
        self
    }

    /// The working directory, as the started process sees it. Default: the caller's.
    pub fn workdir(&mut self, path: &Path) -> &mut Self {
        self.workdir = Some(text(path.as_os_str()));
        self
    }

    /// Standard input. Default for each stream: `/dev/null`.
    pub fn stdin(&mut self, fd: OwnedFd) -> &mut Self {
        self.streams[0] = Some(fd);
        self
    }

    /// Standard output.
    pub fn stdout(&mut self, fd: OwnedFd) -> &mut Self {
        self.streams[1] = Some(fd);
        self
    }

    /// Standard error.
    pub fn stderr(&mut self, fd: OwnedFd) -> &mut Self {
        self.streams[2] = Some(fd);
        self
    }

    /// Hands over a descriptor and says which number it will have there.
    ///
    /// # Errors
    /// `InvalidInput` for more than this crate's limit.
    pub fn hand(&mut self, fd: OwnedFd) -> io::Result<RawFd> {
        let number = i32::try_from(self.handed.len() + 3).unwrap_or(i32::MAX);
        if number >= HANDED_DESCRIPTORS {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors to hand over"));
        }
        self.handed.push(fd);
        Ok(number)
    }

    /// Starts it in new namespaces. With [`Kinds::USER`] also give [`Command::maps`].
    pub fn namespaces(&mut self, kinds: Kinds) -> &mut Self {
        self.namespaces = kinds;
        self
    }

    /// The users of its new user namespace.
    pub fn maps(&mut self, maps: IdMaps) -> &mut Self {
        self.maps = Some(maps);
        self
    }

    /// Becomes this user first.
    pub fn credentials(&mut self, credentials: Credentials) -> &mut Self {
        self.credentials = Some(credentials);
        self
    }

    /// Keeps exactly those of these capabilities that it has, across `exec` and whoever the user is.
    /// Default: what `exec` leaves, which is nothing for ordinary users.
    pub fn capabilities(&mut self, set: Set) -> &mut Self {
        self.capabilities = Some(set);
        self
    }

    /// Starts a session of its own, so that a terminal's Ctrl-C doesn't reach it.
    pub fn session(&mut self) -> &mut Self {
        self.session = true;
        self
    }

    /// Makes standard input, a terminal, the controlling terminal of a new session.
    pub fn terminal(&mut self) -> &mut Self {
        self.session = true;
        self.terminal = true;
        self
    }

    /// The kernel kills it when the thread that starts it ends. Start it from the main thread.
    pub fn die_with_parent(&mut self) -> &mut Self {
        self.die_with_parent = true;
        self
    }

    /// It never gains privileges by executing files.
    pub fn forbid_gain(&mut self) -> &mut Self {
        self.forbid_gain = true;
        self
    }

    /// Its soft limit of open files. Default: the caller's.
    pub fn open_files(&mut self, limit: Option<u64>) -> &mut Self {
        self.open_files = limit;
        self
    }

    /// Starts it. Returns when the program runs, or couldn't.
    ///
    /// # Errors
    /// [`Error`] names the step and the program.
    pub fn spawn(self) -> Result<Child, Error> {
        launch::launch(self)
    }

    fn name(&self) -> String {
        self.arguments.first().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }
}

/// A C string; anything after an inner zero byte can't be passed to a program and is cut.
fn text(value: &OsStr) -> CString {
    let bytes: Vec<u8> = value.as_bytes().iter().copied().take_while(|&byte| byte != 0).collect();
    CString::new(bytes).unwrap_or_default()
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Ended by itself with code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    /// The code that a shell would report.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128_i32.saturating_add(signal),
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A started process. Its descriptor becomes readable when it ends, and never means another process.
/// Dropping it neither ends nor reaps the process.
#[derive(Debug)]
pub struct Child {
    id: Pid,
    pidfd: OwnedFd,
}

impl Child {
    /// The process number in the caller's process namespace.
    pub fn id(&self) -> u32 {
        self.id.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal. A process that has already ended is fine.
    ///
    /// # Errors
    /// What `pidfd_send_signal` says; `InvalidInput` for an unknown signal.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        signal_pidfd(&self.pidfd, signal)
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// What `waitid` says; it was reaped elsewhere then.
    pub fn try_wait(&self) -> io::Result<Option<Exit>> {
        self.reap(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    /// Blocks until it has ended.
    ///
    /// # Errors
    /// As for [`Child::try_wait`].
    pub fn wait(&self) -> io::Result<Exit> {
        loop {
            if let Some(exit) = self.reap(WaitIdOptions::EXITED)? {
                return Ok(exit);
            }
        }
    }

    fn reap(&self, options: WaitIdOptions) -> io::Result<Option<Exit>> {
        let status = rustix::io::retry_on_intr(|| {
            rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options)
        })?;
        Ok(status.and_then(|status| {
            let code = status.exit_status().map(Exit::Code);
            code.or_else(|| status.terminating_signal().map(Exit::Signal))
        }))
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Signals the process behind a pidfd. A process that has already ended is fine.
///
/// # Errors
/// What `pidfd_send_signal` says; `InvalidInput` for an unknown signal.
pub fn signal_pidfd(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(signal).ok_or(io::ErrorKind::InvalidInput)?;
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Signals the process group that a child leads (see [`Command::session`]). The child must not have been
/// reaped yet, so that its number is still its own.
///
/// # Errors
/// What `kill` says; `InvalidInput` for an unknown signal.
pub fn signal_group(child: &Child, signal: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(signal).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::kill_process_group(child.id, signal)?)
}

/// Ended children of this process, one after the other, whoever started them: the duty of a process
/// namespace's first process. `None` when no further child has ended by now.
///
/// # Errors
/// What `waitpid` says.
pub fn reap_any() -> io::Result<Option<(u32, Exit)>> {
    use rustix::process::{WaitOptions, wait};
    let ended = match wait(WaitOptions::NOHANG) {
        Ok(ended) => ended,
        Err(rustix::io::Errno::CHILD) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(ended.and_then(|(pid, status)| {
        let code = status.exit_status().map(Exit::Code);
        let exit = code.or_else(|| status.terminating_signal().map(Exit::Signal))?;
        Some((pid.as_raw_nonzero().get().unsigned_abs(), exit))
    }))
}

/// The running executable, open, so that it can be started again even after its file was replaced.
///
/// # Errors
/// What opening `/proc/self/exe` says.
pub fn own_executable() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(rustix::fs::open("/proc/self/exe", flags, Mode::empty())?)
}

/// Where the running executable lies.
///
/// # Errors
/// What reading `/proc/self/exe` says.
pub fn own_path() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Sets the name that `ps` and `top` show for this process; at most 15 bytes of it.
///
/// # Errors
/// What `prctl` says.
pub fn set_name(name: &str) -> io::Result<()> {
    Ok(rustix::thread::set_name(&text(OsStr::new(name)))?)
}

/// Has the kernel kill this process when the thread that started it ends.
///
/// # Errors
/// What `prctl` says.
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}
