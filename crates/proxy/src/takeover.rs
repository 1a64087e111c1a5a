//! One process in the place of another: it takes over the listening sockets, and the other drains.
//!
//! The running process listens at a path. A new one asks there and gets every listening socket. It prepares everything
//! (configuration, certificate) before it accepts its first connection, and only then says that it serves; until it has
//! said so, the other goes on as if nothing had been asked. Sockets are shared from the first moment on, so a connection
//! that arrives in between waits in their queues for whoever takes it.
//!
//! The conversation is in lockstep, so that each message is read by itself: the new process sends single bytes, the other
//! answers with JSON and descriptors. Only processes of the same user, or of root, are answered.

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};

use leno_capture::descriptor;
use leno_runtime::time::timeout;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{UnixListener, UnixStream};

use crate::limits::{
    ACCEPT_PAUSE, TAKE_OVER_ANSWER, TAKE_OVER_BYTES, TAKE_OVER_MESSAGES, TAKE_OVER_READY, TAKE_OVER_SOCKETS,
};
use crate::sockets::{Address, Inherited, Sockets};

/// The first version of the conversation: which sockets are there?
const ASK: u8 = 1;
/// The next message, please.
const NEXT: u8 = 2;
/// I serve; you may go.
const SERVING: u8 = 3;
/// The answer to that: I go.
const GOING: u8 = 4;

/// Some of the sockets; the descriptors come along in the same order.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Message {
    sockets: Vec<Address>,
    more: bool,
}

/// Why there is no taking over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// Somebody listens at the path, and does not hand over sockets.
    #[error("the process at {path} does not hand over its sockets")]
    Refused {
        /// The path.
        path: PathBuf,
        /// What came instead.
        #[source]
        source: io::Error,
    },
    /// The path cannot be listened at.
    #[error("cannot listen on {path}")]
    Listen {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The earlier process is gone, or has waited too long, and goes on if it lives.
    #[error("the process at {path} did not wait for this one")]
    Late {
        /// The path.
        path: PathBuf,
        /// What came instead.
        #[source]
        source: io::Error,
    },
}

/// The place at which processes succeed each other, and what the earlier one has left.
#[derive(Debug, Default)]
pub struct Succession {
    path: Option<PathBuf>,
    predecessor: Option<StdUnixStream>,
    /// Its sockets.
    pub(crate) inherited: Inherited,
}

impl Succession {
    /// Asks whoever listens at a path for its sockets. Where nobody does, there is nothing to take over.
    ///
    /// # Errors
    /// When somebody does, and doesn't hand them over.
    pub fn begin(path: Option<PathBuf>) -> Result<Self, TakeOverError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let refused = |source| TakeOverError::Refused { path: path.clone(), source };
        let stream = match StdUnixStream::connect(&path) {
            Ok(stream) => stream,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Ok(Self { path: Some(path), ..Self::default() });
            }
            Err(error) => return Err(refused(error)),
        };
        let inherited = ask(&stream).map_err(refused)?;
        Ok(Self { path: Some(path), predecessor: Some(stream), inherited })
    }

    /// Whether there is somebody to take over from.
    pub(crate) fn is_succession(&self) -> bool {
        self.predecessor.is_some()
    }

    /// The door at which a successor asks: the earlier process's own, or a new one.
    ///
    /// # Errors
    /// When it can't be listened at.
    pub(crate) fn door(&mut self) -> Result<Option<StdUnixListener>, TakeOverError> {
        let Some(path) = &self.path else { return Ok(None) };
        if let Some(door) = self.inherited.unix(path) {
            return Ok(Some(door));
        }
        listen(path).map(Some).map_err(|source| TakeOverError::Listen { path: path.clone(), source })
    }

    /// Tells the earlier process, if there is one, that this one serves. From then on that one drains.
    ///
    /// # Errors
    /// When it didn't wait for this.
    pub(crate) async fn serving(&mut self) -> Result<(), TakeOverError> {
        let Some(stream) = self.predecessor.take() else { return Ok(()) };
        let path = self.path.clone().unwrap_or_default();
        succeed(stream).await.map_err(|source| TakeOverError::Late { path, source })
    }
}

/// Says that this process serves, and waits until the other one goes.
async fn succeed(stream: StdUnixStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut stream = UnixStream::from_std(stream)?;
    timeout(TAKE_OVER_ANSWER, async {
        stream.write_u8(SERVING).await?;
        expect(&mut stream, GOING).await
    })
    .await?
}

/// A listener in the place of one that nobody serves any more.
fn listen(path: &Path) -> io::Result<StdUnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = StdUnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Gets all sockets, each wait bounded.
fn ask(mut stream: &StdUnixStream) -> io::Result<Inherited> {
    stream.set_read_timeout(Some(TAKE_OVER_ANSWER))?;
    stream.set_write_timeout(Some(TAKE_OVER_ANSWER))?;
    let mut inherited = Inherited::default();
    let mut buffer = vec![0; TAKE_OVER_BYTES];
    stream.write_all(&[ASK])?;
    for _ in 0..TAKE_OVER_MESSAGES {
        let (length, descriptors) = descriptor::receive(stream, &mut buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let message: Message = serde_json::from_slice(buffer.get(..length).unwrap_or_default())?;
        if message.sockets.len() != descriptors.len() {
            return Err(malformed());
        }
        for (address, socket) in message.sockets.into_iter().zip(descriptors) {
            inherited.add(address, socket);
        }
        if !message.more {
            return Ok(inherited);
        }
        stream.write_all(&[NEXT])?;
    }
    Err(malformed())
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is malformed")
}

/// Hands the sockets to whoever asks for them, until one of those serves.
pub(crate) async fn serve(door: StdUnixListener, sockets: &Sockets) -> io::Result<()> {
    door.set_nonblocking(true)?;
    let door = UnixListener::from_std(door)?;
    loop {
        let Ok((mut stream, _)) = door.accept().await else {
            leno_runtime::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if !is_ours(&stream) {
            tracing::warn!("a process of another user asked for the sockets, and was sent away");
            continue;
        }
        match attend(&mut stream, sockets).await {
            Ok(()) => return Ok(()),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a process that wanted to take over does not serve; this one goes on");
            }
        }
    }
}

/// Whether the peer runs as this user, or as root.
fn is_ours(stream: &UnixStream) -> bool {
    let own = UnixStream::pair().and_then(|(ours, _theirs)| ours.peer_cred());
    let peer = stream.peer_cred();
    own.is_ok_and(|own| peer.is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own.uid()))
}

/// One conversation to its end; `Ok` when the other serves.
async fn attend(stream: &mut UnixStream, sockets: &Sockets) -> io::Result<()> {
    timeout(TAKE_OVER_ANSWER, hand_over(stream, sockets)).await??;
    timeout(TAKE_OVER_READY, expect(stream, SERVING)).await??;
    stream.write_u8(GOING).await
}

async fn hand_over(stream: &mut UnixStream, sockets: &Sockets) -> io::Result<()> {
    expect(stream, ASK).await?;
    let all = sockets.all()?;
    let mut left = all.as_slice();
    loop {
        let (now, later) = left.split_at(left.len().min(TAKE_OVER_SOCKETS));
        let addresses = now.iter().map(|(address, _)| address.clone()).collect();
        let message = serde_json::to_vec(&Message { sockets: addresses, more: !later.is_empty() })?;
        let descriptors: Vec<_> = now.iter().map(|(_, socket)| socket.as_fd()).collect();
        let sent = stream
            .async_io(Interest::WRITABLE, || descriptor::send(&*stream, &message, &descriptors))
            .await?;
        if sent != message.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        if later.is_empty() {
            return Ok(());
        }
        expect(stream, NEXT).await?;
        left = later;
    }
}

async fn expect(stream: &mut UnixStream, wanted: u8) -> io::Result<()> {
    if stream.read_u8().await? == wanted { Ok(()) } else { Err(malformed()) }
}

#[cfg(test)]
mod tests;
