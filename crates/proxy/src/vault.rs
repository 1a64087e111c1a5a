//! What outlives the process: kept in the supervisor's memory, over an inherited stream, never on disk.
//!
//! Frames are a length (4 bytes, big-endian), a kind and a payload. At start the supervisor sends every blob that it
//! keeps and then says so; afterwards the proxy puts new ones there. The other end is the process that started us, so
//! what breaks the format ends the stream and nothing else.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream as StdStream;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

use crate::limits::{VAULT_BLOB_BYTES, VAULT_NAMES};

const PUT: u8 = 1;
const READY: u8 = 2;
const DRAINING: u8 = 3;
const END: u8 = 4;
const DRAIN: u8 = 5;

/// The blobs that an earlier process left.
pub(crate) type Blobs = BTreeMap<String, Vec<u8>>;

/// The proxy's end of the stream.
pub(crate) struct Vault {
    write: Mutex<OwnedWriteHalf>,
}

/// What the supervisor asks for, after the start.
pub(crate) struct Orders(OwnedReadHalf);

impl Vault {
    /// Takes over the inherited stream and reads what is kept.
    pub(crate) async fn open(stream: StdStream) -> io::Result<(Self, Blobs, Orders)> {
        stream.set_nonblocking(true)?;
        let (mut read, write) = UnixStream::from_std(stream)?.into_split();
        let mut blobs = Blobs::new();
        loop {
            let (kind, payload) = frame(&mut read).await?;
            match kind {
                PUT if blobs.len() < VAULT_NAMES => {
                    let (name, bytes) = named(payload)?;
                    blobs.insert(name, bytes);
                }
                END => return Ok((Self { write: Mutex::new(write) }, blobs, Orders(read))),
                _ => return Err(malformed()),
            }
        }
    }

    /// Keeps a blob under a name, in place of the last one. `InvalidInput` for one that is too large to be kept.
    pub(crate) async fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let length = u8::try_from(name.len()).map_err(|_long| malformed())?;
        if bytes.len() > VAULT_BLOB_BYTES {
            // The supervisor would take it for a proxy gone mad, and end it.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is larger than 4 MiB"));
        }
        let mut payload = Vec::with_capacity(1 + name.len() + bytes.len());
        payload.push(length);
        payload.extend_from_slice(name.as_bytes());
        payload.extend_from_slice(bytes);
        self.send(PUT, &payload).await
    }

    /// Says that the proxy serves.
    pub(crate) async fn ready(&self) -> io::Result<()> {
        self.send(READY, &[]).await
    }

    /// Says that the proxy takes no new work.
    pub(crate) async fn draining(&self) -> io::Result<()> {
        self.send(DRAINING, &[]).await
    }

    async fn send(&self, kind: u8, payload: &[u8]) -> io::Result<()> {
        write_frame(&mut *self.write.lock().await, kind, payload).await
    }
}

impl Orders {
    /// Waits until the supervisor wants the proxy to drain, or is gone.
    pub(crate) async fn drain(&mut self) {
        while let Ok((kind, _)) = frame(&mut self.0).await {
            if kind == DRAIN {
                return;
            }
        }
    }
}

async fn write_frame(to: &mut (impl AsyncWrite + Unpin), kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(1 + payload.len()).map_err(|_long| malformed())?;
    let mut bytes = Vec::with_capacity(5 + payload.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(payload);
    to.write_all(&bytes).await
}

async fn frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let length = usize::try_from(from.read_u32().await?).map_err(|_wide| malformed())?;
    if length == 0 || length > VAULT_BLOB_BYTES + 257 {
        return Err(malformed());
    }
    let kind = from.read_u8().await?;
    let mut payload = vec![0; length - 1];
    from.read_exact(&mut payload).await?;
    Ok((kind, payload))
}

fn named(mut payload: Vec<u8>) -> io::Result<(String, Vec<u8>)> {
    let length = payload.first().copied().map_or(0, usize::from);
    if payload.len() <= length {
        return Err(malformed());
    }
    let bytes = payload.split_off(1 + length);
    let name = payload.split_off(1);
    Ok((String::from_utf8(name).map_err(|_not_text| malformed())?, bytes))
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the supervisor's stream is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn blobs_come_back_and_new_ones_are_kept() {
        let (ours, theirs) = StdStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut supervisor = UnixStream::from_std(theirs).unwrap();
        write_frame(&mut supervisor, PUT, b"\x03keysecret").await.unwrap();
        write_frame(&mut supervisor, END, b"").await.unwrap();
        let (vault, blobs, mut orders) = Vault::open(ours).await.unwrap();
        assert_eq!(blobs, Blobs::from([("key".to_owned(), b"secret".to_vec())]));
        vault.put("state", b"units").await.unwrap();
        let large = vec![0; VAULT_BLOB_BYTES + 1];
        let refused = vault.put("large", &large).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "and nothing is sent");
        vault.ready().await.unwrap();
        assert_eq!(frame(&mut supervisor).await.unwrap(), (PUT, b"\x05stateunits".to_vec()));
        assert_eq!(frame(&mut supervisor).await.unwrap(), (READY, Vec::new()));
        write_frame(&mut supervisor, DRAIN, b"").await.unwrap();
        orders.drain().await;
    }

    #[tokio::test]
    async fn a_malformed_stream_is_refused() {
        for bytes in [&b"\0\0\0\0"[..], b"\xff\xff\xff\xff\x01", b"\0\0\0\x02\x01\x05", b"\0\0\0\x01\x09"] {
            let (ours, mut theirs) = StdStream::pair().unwrap();
            io::Write::write_all(&mut theirs, bytes).unwrap();
            drop(theirs);
            assert!(Vault::open(ours).await.is_err(), "{bytes:?}");
        }
    }
}
