//! The client's side of a running mesh's control socket. Blocking, for commands.

mod terminal;

use std::{
    io::{self, BufRead, BufReader, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use leno_capture::{descriptor, signal::Signals};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::Signal,
};

use crate::{
    directory::{self, Runtime},
    limits::{DRAIN_GRACE, LOCK_WAIT, STOP_GRACE},
    protocol::{Answer, Envelope, Line, Passed, Request, Status, VERSION},
};

/// Why a request had no success.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such mesh.
    #[error("mesh {0:?} isn't running; start it with `leno up`")]
    NotRunning(String),
    /// The mesh said no.
    #[error("{0}")]
    Refused(String),
    /// The connection.
    #[error("the connection to the mesh broke")]
    Connection(#[source] io::Error),
    /// It doesn't end.
    #[error("the mesh doesn't end; its root process is {0}")]
    StillRunning(u32),
    /// Its directories.
    #[error(transparent)]
    Directory(#[from] directory::Error),
    /// The user's terminal.
    #[error("can't use this terminal")]
    Terminal(#[source] io::Error),
}

/// What to run by [`exec`].
#[derive(Debug, Clone, Default)]
pub struct Exec {
    /// The command.
    pub words: Vec<String>,
    /// Where; the workload's own working directory without.
    pub workdir: Option<PathBuf>,
    /// Variables beside the workload's.
    pub variables: Vec<(String, String)>,
}

/// The names of all meshes of this user that are running.
pub fn running() -> Vec<String> {
    let is_running = |mesh: &String| UnixStream::connect(directory::control_socket(mesh)).is_ok();
    directory::meshes().into_iter().filter(is_running).collect()
}

/// The state of a mesh.
///
/// # Errors
/// [`Error`].
pub fn status(mesh: &str) -> Result<Status, Error> {
    let mut connection = Connection::ask(mesh, Request::Status, &[])?;
    match connection.answer()? {
        Some(Answer::Status(status)) => Ok(status),
        other => Err(unexpected(other)),
    }
}

/// Lines of output, each given to `take` until that says no. `Err` in place of a line says how many were lost.
///
/// # Errors
/// [`Error`].
pub fn logs(
    mesh: &str,
    workloads: Vec<String>,
    follow: bool,
    lines: Option<usize>,
    mut take: impl FnMut(Result<Line, u64>) -> bool,
) -> Result<(), Error> {
    let mut connection = Connection::ask(mesh, Request::Logs { workloads, follow, lines }, &[])?;
    loop {
        let goes_on = match connection.answer()? {
            Some(Answer::Line(line)) => take(Ok(line)),
            Some(Answer::Skipped(count)) => take(Err(count)),
            None => false,
            other => return Err(unexpected(other)),
        };
        if !goes_on {
            return Ok(());
        }
    }
}

/// Ends and starts a workload.
///
/// # Errors
/// [`Error`].
pub fn restart(mesh: &str, workload: &str) -> Result<(), Error> {
    let mut connection = Connection::ask(mesh, Request::Restart { workload: workload.to_owned() }, &[])?;
    match connection.answer()? {
        Some(Answer::Done) => Ok(()),
        other => Err(unexpected(other)),
    }
}

/// Ends a mesh and waits until nothing is left of it. One that isn't running is cleared away.
///
/// # Errors
/// [`Error`].
pub fn down(mesh: &str) -> Result<(), Error> {
    if !directory::runtime(mesh).exists() {
        return Err(Error::NotRunning(mesh.to_owned()));
    }
    let process = match status(mesh) {
        Ok(status) => status.process,
        Err(Error::NotRunning(_)) => {
            // Its leftovers, unless the janitor is about to clear them away.
            let runtime = Runtime::claim(mesh, LOCK_WAIT)?;
            return runtime.remove().map_err(Error::Connection);
        }
        Err(error) => return Err(error),
    };
    let mut connection = Connection::ask(mesh, Request::Down, &[])?;
    match connection.answer()? {
        Some(Answer::Done) => {}
        other => return Err(unexpected(other)),
    }
    // The connection ends with the root process, the directory with the janitor.
    let patience = STOP_GRACE + DRAIN_GRACE * 3 + Duration::from_secs(5);
    connection.stream.get_ref().set_read_timeout(Some(patience)).map_err(Error::Connection)?;
    // However it ends: what counts is whether the directory is gone.
    let _end = connection.answer();
    let deadline = Instant::now() + LOCK_WAIT;
    while directory::runtime(mesh).exists() {
        if Instant::now() > deadline {
            return Err(Error::StillRunning(process));
        }
        let moment = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        // An interrupted wait only looks sooner.
        let _woken = poll(&mut [], Some(&moment));
    }
    Ok(())
}

/// Runs a command in a workload's world with this process's standard streams, and returns its exit code.
///
/// With a terminal the command gets one of its own, whose input and output are passed on: the user's
/// terminal itself would let a workload type into it.
///
/// # Errors
/// [`Error`].
pub fn exec(mesh: &str, workload: &str, exec: Exec) -> Result<i32, Error> {
    let is_terminal = rustix::termios::isatty(io::stdin()) && rustix::termios::isatty(io::stdout());
    if is_terminal {
        return terminal::exec(mesh, workload, exec);
    }
    let streams = [io::stdin().as_fd().try_clone_to_owned(), io::stdout().as_fd().try_clone_to_owned()];
    let [stdin, stdout] = streams.map(|stream| stream.map_err(Error::Terminal));
    let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(Error::Terminal)?;
    exec_with(mesh, workload, exec, [stdin?, stdout?, stderr])
}

/// The same with other streams.
///
/// # Errors
/// [`Error`].
pub fn exec_with(mesh: &str, workload: &str, exec: Exec, streams: [OwnedFd; 3]) -> Result<i32, Error> {
    let passed = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT].map(Signal::as_raw);
    let signals = Signals::block(&passed).map_err(Error::Terminal)?;
    let borrowed = [streams[0].as_fd(), streams[1].as_fd(), streams[2].as_fd()];
    let mut connection = Connection::ask(mesh, request(workload, exec, false), &borrowed)?;
    drop(streams);
    loop {
        let (answered, signalled) = connection.wait(&signals)?;
        if signalled && let Some(signal) = signals.take().map_err(Error::Terminal)? {
            connection.pass(Passed::Signal(signal))?;
        }
        if answered {
            return connection.ended();
        }
    }
}

fn request(workload: &str, exec: Exec, terminal: bool) -> Request {
    let Exec { words, workdir, variables } = exec;
    Request::Exec { workload: workload.to_owned(), words, workdir, terminal, variables }
}

fn unexpected(answer: Option<Answer>) -> Error {
    match answer {
        Some(Answer::Failed(reason)) => Error::Refused(reason),
        Some(_) => Error::Connection(io::ErrorKind::InvalidData.into()),
        None => Error::Connection(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A connection on which one request was made.
struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    fn ask(mesh: &str, request: Request, descriptors: &[BorrowedFd<'_>]) -> Result<Self, Error> {
        let stream = connect(mesh, &directory::control_socket(mesh))?;
        let mut line = serde_json::to_vec(&Envelope { version: VERSION, request })
            .map_err(|error| Error::Connection(error.into()))?;
        line.push(b'\n');
        let sent = descriptor::send(&stream, &line, descriptors).map_err(Error::Connection)?;
        (&stream).write_all(line.get(sent..).unwrap_or_default()).map_err(Error::Connection)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    fn answer(&mut self) -> Result<Option<Answer>, Error> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).map_err(Error::Connection)? == 0 {
            return Ok(None);
        }
        serde_json::from_str(&line).map(Some).map_err(|error| Error::Connection(error.into()))
    }

    fn ended(&mut self) -> Result<i32, Error> {
        match self.answer()? {
            Some(Answer::Ended(code)) => Ok(code),
            other => Err(unexpected(other)),
        }
    }

    fn pass(&mut self, passed: Passed) -> Result<(), Error> {
        let mut line = serde_json::to_vec(&passed).map_err(|error| Error::Connection(error.into()))?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).map_err(Error::Connection)
    }

    /// Waits for an answer or a signal, and says which it was.
    fn wait(&self, signals: &Signals) -> Result<(bool, bool), Error> {
        let mut events = [
            PollFd::new(self.stream.get_ref(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        rustix::io::retry_on_intr(|| poll(&mut events, None))
            .map_err(|error| Error::Connection(error.into()))?;
        let [answered, signalled] = events.map(|event| !event.revents().is_empty());
        Ok((answered, signalled))
    }
}

fn connect(mesh: &str, path: &Path) -> Result<UnixStream, Error> {
    UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::NotRunning(mesh.to_owned()),
        _ => Error::Connection(error),
    })
}
