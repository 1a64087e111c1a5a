//! `leno exec` with a terminal: the command gets a pseudo-terminal, this process passes bytes and window
//! sizes on, and puts the user's terminal back as it was.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use leno_capture::signal::Signals;
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::Signal,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize},
};

use super::{Connection, Error, Exec, request};

/// Bytes passed on at once.
const CHUNK: usize = 8192;

/// Runs a command behind a pseudo-terminal and returns its exit code.
pub(super) fn exec(mesh: &str, workload: &str, mut exec: Exec) -> Result<i32, Error> {
    let signals = Signals::block(&[Signal::WINCH.as_raw()]).map_err(Error::Terminal)?;
    let (master, slave) = open().map_err(Error::Terminal)?;
    if let Ok(kind) = std::env::var("TERM") {
        exec.variables.push(("TERM".to_owned(), kind));
    }
    resize(&master);
    let streams = [slave.as_fd(), slave.as_fd(), slave.as_fd()];
    let mut connection = Connection::ask(mesh, request(workload, exec, true), &streams)?;
    drop(slave);
    let _raw = Raw::enter().map_err(Error::Terminal)?;
    relay(&mut connection, &master, &signals)
}

fn open() -> io::Result<(OwnedFd, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let slave = rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty())?;
    Ok((master, slave))
}

/// Gives the pseudo-terminal the user's window size.
fn resize(master: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(io::stdin()) {
        // A wrong size is only ugly.
        let _resized = tcsetwinsize(master, size);
    }
}

/// The user's terminal in raw mode while this lives.
struct Raw(Termios);

impl Raw {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _restored = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

fn relay(connection: &mut Connection, master: &OwnedFd, signals: &Signals) -> Result<i32, Error> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let mut typing = true;
    loop {
        let mut events = vec![
            PollFd::new(connection.stream.get_ref(), PollFlags::IN),
            PollFd::new(master, PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        if typing {
            events.push(PollFd::new(&stdin, PollFlags::IN));
        }
        rustix::io::retry_on_intr(|| poll(&mut events, None))
            .map_err(|error| Error::Terminal(error.into()))?;
        let happened: Vec<bool> = events.iter().map(|event| !event.revents().is_empty()).collect();
        let at = |index: usize| happened.get(index).copied().unwrap_or(false);
        if at(1) {
            // Its end is an error with pseudo-terminals, and the answer tells of it.
            let _passed = pass(master, &stdout);
        }
        if at(3) {
            typing = pass(&stdin, master).unwrap_or(false);
        }
        if at(2) {
            while signals.take().map_err(Error::Terminal)?.is_some() {}
            resize(master);
        }
        if at(0) {
            let code = connection.ended();
            drain(master, &stdout);
            return code;
        }
    }
}

/// Passes one chunk on; false at the end.
fn pass(from: impl AsFd, to: impl AsFd) -> io::Result<bool> {
    let mut buffer = [0; CHUNK];
    let length = rustix::io::retry_on_intr(|| rustix::io::read(&from, &mut buffer))?;
    let mut rest = buffer.get(..length).unwrap_or_default();
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&to, rest))?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(length > 0)
}

/// Passes on what the command wrote before it ended.
fn drain(master: &OwnedFd, stdout: &io::Stdout) {
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        let mut event = [PollFd::new(master, PollFlags::IN)];
        let readable = poll(&mut event, Some(&now)).is_ok_and(|ready| ready > 0)
            && event.iter().all(|event| event.revents().contains(PollFlags::IN));
        if !readable || !pass(master, stdout).unwrap_or(false) {
            return;
        }
    }
}
