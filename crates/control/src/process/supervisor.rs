//! The stream to the supervisor: ready in one direction, drain in the other.
//!
//! Frames are a length (4 bytes, big-endian), a kind and a payload. The supervisor first sends what it keeps for the
//! process, which for a control plane is nothing. The other end started us, so what breaks the format ends the stream.

use std::io;
use std::os::unix::net::UnixStream as StdStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const READY: u8 = 2;
const END: u8 = 4;
const DRAIN: u8 = 5;

/// Longest frame; what the supervisor keeps for others is not for us.
const MAX_FRAME: usize = 64 << 10;

/// The supervisor's stream.
#[derive(Debug)]
pub(super) struct Supervisor(UnixStream);

impl Supervisor {
    /// Takes over the stream, up to where both sides know of each other.
    pub(super) async fn open(stream: StdStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let mut supervisor = Self(UnixStream::from_std(stream)?);
        while supervisor.frame().await? != END {}
        Ok(supervisor)
    }

    /// Says that the control plane serves.
    pub(super) async fn ready(&mut self) -> io::Result<()> {
        self.0.write_all(&[0, 0, 0, 1, READY]).await
    }

    /// Waits until the supervisor wants the process to end, or is gone.
    pub(super) async fn drain(&mut self) {
        while let Ok(kind) = self.frame().await {
            if kind == DRAIN {
                return;
            }
        }
    }

    /// The kind of the next frame.
    async fn frame(&mut self) -> io::Result<u8> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the supervisor's stream is malformed");
        let length = usize::try_from(self.0.read_u32().await?).map_err(|_wide| malformed())?;
        if length == 0 || length > MAX_FRAME {
            return Err(malformed());
        }
        let kind = self.0.read_u8().await?;
        let mut payload = vec![0; length - 1];
        self.0.read_exact(&mut payload).await?;
        Ok(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (StdStream, UnixStream) {
        let (ours, theirs) = StdStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        (ours, UnixStream::from_std(theirs).unwrap())
    }

    #[tokio::test]
    async fn ready_is_said_and_drain_is_heard() {
        let (ours, mut theirs) = pair();
        theirs.write_all(&[0, 0, 0, 1, END]).await.unwrap();
        let mut supervisor = Supervisor::open(ours).await.unwrap();
        supervisor.ready().await.unwrap();
        let mut said = [0; 5];
        theirs.read_exact(&mut said).await.unwrap();
        assert_eq!(said, [0, 0, 0, 1, READY]);
        theirs.write_all(&[0, 0, 0, 3, 9, 9, 9, 0, 0, 0, 1, DRAIN]).await.unwrap();
        supervisor.drain().await;
    }

    #[tokio::test]
    async fn a_supervisor_that_is_gone_ends_the_wait() {
        let (ours, mut theirs) = pair();
        theirs.write_all(&[0, 0, 0, 1, END]).await.unwrap();
        let mut supervisor = Supervisor::open(ours).await.unwrap();
        drop(theirs);
        supervisor.drain().await;
    }

    #[tokio::test]
    async fn a_malformed_stream_is_refused() {
        for bytes in [&b"\0\0\0\0"[..], b"\xff\xff\xff\xff\x01", b"\0\0\0\x05\x01"] {
            let (ours, mut theirs) = pair();
            theirs.write_all(bytes).await.unwrap();
            drop(theirs);
            assert!(Supervisor::open(ours).await.is_err(), "{bytes:?}");
        }
    }
}
