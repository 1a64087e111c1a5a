//! Messages between Leno's own processes: JSON over a message socket, with descriptors.
//!
//! Both ends are the same program, so the messages are plain enums without a version. A message
//! arrives whole; the end of a process is the end of its link.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use leno_capture::descriptor;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{handoff::Process, limits::MESSAGE_BYTES};
use leno_capture::process::Exit;

/// Sends one message, blocking.
///
/// # Errors
/// `InvalidInput` for more than [`MESSAGE_BYTES`]; otherwise what `sendmsg` says.
pub(crate) fn send<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = encode(message)?;
    descriptor::send(socket, &bytes, descriptors).map(|_whole| ())
}

/// Receives one message, blocking. `None` when the other end is gone.
///
/// # Errors
/// `InvalidData` for a message of another form; otherwise what `recvmsg` says.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut buffer = vec![0; MESSAGE_BYTES];
    let (length, descriptors) = match descriptor::receive(socket, &mut buffer) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        other => other?,
    };
    if length == 0 {
        return Ok(None);
    }
    let bytes = buffer.get(..length).unwrap_or_default();
    Ok(Some((serde_json::from_slice(bytes).map_err(invalid)?, descriptors)))
}

fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let bytes = serde_json::to_vec(message).map_err(invalid)?;
    if bytes.len() > MESSAGE_BYTES {
        let text = format!("more than {MESSAGE_BYTES} bytes in one message");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(bytes)
}

fn invalid(error: serde_json::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The same for tasks.
#[derive(Debug)]
pub(crate) struct Link(AsyncFd<OwnedFd>);

impl Link {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        descriptor::set_nonblocking(&socket, true)?;
        leno_capture::watch(socket, Interest::READABLE | Interest::WRITABLE).map(Self)
    }

    /// Sends one message. Cancelling sends it or not, never half.
    pub(crate) async fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = encode(message)?;
        loop {
            let mut ready = self.0.writable().await?;
            match ready.try_io(|fd| descriptor::send(fd, &bytes, descriptors)) {
                Ok(sent) => return sent.map(|_whole| ()),
                Err(_would_block) => {}
            }
        }
    }

    /// Sends one message if there is room for it.
    pub(crate) fn try_send<T: Serialize>(&self, message: &T) -> io::Result<()> {
        send(self.0.get_ref(), message, &[])
    }

    /// Ends it for both ends, although other things may hold this one.
    pub(crate) fn shut(&self) {
        // One that has ended already is what was wanted.
        let _shut = rustix::net::shutdown(self.0.get_ref(), rustix::net::Shutdown::Both);
    }

    /// Receives one message. `None` when the other end is gone. Safe to cancel.
    pub(crate) async fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|fd| receive(fd)) {
                Ok(received) => return received,
                Err(_would_block) => {}
            }
        }
    }
}

/// What the supervisor asks of the first process in its workload's world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WorldOrder {
    /// The id maps are written.
    Mapped,
    /// Start this process; three descriptors come along as its standard streams.
    Start { id: u64, process: Box<Process> },
    /// Send a signal to a started process.
    Signal { id: u64, signal: i32 },
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WorldReport {
    /// It is in its user namespace and waits for the id maps.
    Unmapped,
    /// The world is complete.
    Ready,
    /// The world couldn't be made.
    Broken { reason: String },
    /// A process runs.
    Started { id: u64 },
    /// A process ended, or didn't start.
    Ended { id: u64, end: End },
}

/// How a process in a world ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It never ran.
    NotStarted(String),
    /// Its world ended first.
    WorldEnded,
}

impl From<Exit> for End {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal(signal) => Self::Signal(signal),
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::NotStarted(reason) => write!(f, "didn't start: {reason}"),
            Self::WorldEnded => f.write_str("ended with its world"),
        }
    }
}

/// What `leno up` asks of a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// The workload may start: whatever it depends on is ready.
    Run,
    /// End the workload and start it again.
    Restart,
    /// End everything in order, then exit.
    Stop,
    /// Start a process in the workload's world; its standard streams come along.
    Exec {
        id: u64,
        words: Vec<String>,
        workdir: Option<std::path::PathBuf>,
        terminal: bool,
        variables: Vec<(String, String)>,
    },
    /// Send a signal to such a process.
    Signal { id: u64, signal: i32 },
}

/// What a supervisor tells `leno up`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The sidecar's state.
    Sidecar { ready: bool, restarts: u32 },
    /// The workload's state.
    Workload { phase: Phase, restarts: u32 },
    /// Something worth telling the user.
    Note(String),
    /// A process started by [`Order::Exec`] ended.
    ExecEnded { id: u64, end: End },
}

/// Where a workload is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Not started: it waits for its sidecar or for what it depends on.
    Waiting,
    /// Running, not ready yet.
    Starting,
    /// Running and well.
    Ready,
    /// Running; its health check fails.
    Unhealthy,
    /// Ended; it starts again after a pause.
    Restarting,
    /// Running and well; it gets no new requests, since it is about to end.
    Draining,
    /// Ended with success, and without a service there is no more to do.
    Done,
    /// Ended for good.
    Stopped,
}

impl Phase {
    /// The word for output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unhealthy => "unhealthy",
            Self::Restarting => "restarting",
            Self::Draining => "draining",
            Self::Done => "done",
            Self::Stopped => "stopped",
        }
    }
}
