//! The vault: what a sidecar wants back after a restart (key, SVID, last snapshot), kept in its
//! supervisor's memory and never on disk.
//!
//! A stream of frames: length (`u32`, big endian, of what follows), kind, payload. A sidecar that starts
//! gets one `put` per stored blob and then `end`; afterwards it sends `put`, `ready` and `draining`, and
//! may be told to `drain`.

use std::collections::BTreeMap;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::limits::{VAULT_BLOB_BYTES, VAULT_BYTES, VAULT_NAMES};

/// A frame's meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Keep this blob under this name; or, from the supervisor, here it is again.
    Put {
        /// At most 255 bytes.
        name: String,
        /// The blob.
        blob: Vec<u8>,
    },
    /// The sidecar serves.
    Ready,
    /// The sidecar takes no new work.
    Draining,
    /// All stored blobs were sent.
    End,
    /// Take no new work, finish what is under way, exit.
    Drain,
}

/// What is wrong with a vault's stream.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection broke.
    #[error("the connection between sidecar and supervisor broke")]
    Io(#[from] std::io::Error),
    /// A frame that nobody sends.
    #[error("a malformed frame of kind {0}")]
    Malformed(u8),
    /// More than the vault may hold.
    #[error("the vault is full: {0}")]
    Full(&'static str),
}

const PUT: u8 = 1;
const READY: u8 = 2;
const DRAINING: u8 = 3;
const END: u8 = 4;
const DRAIN: u8 = 5;

impl Frame {
    fn encode(&self) -> Vec<u8> {
        let (kind, name, blob): (u8, &str, &[u8]) = match self {
            Self::Put { name, blob } => (PUT, name, blob),
            Self::Ready => (READY, "", &[]),
            Self::Draining => (DRAINING, "", &[]),
            Self::End => (END, "", &[]),
            Self::Drain => (DRAIN, "", &[]),
        };
        let mut body = vec![kind];
        if kind == PUT {
            body.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            body.extend(name.as_bytes());
            body.extend(blob);
        }
        let mut bytes = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        bytes.append(&mut body);
        bytes
    }

    fn decode(body: &[u8]) -> Result<Self, Error> {
        let (&kind, payload) = body.split_first().ok_or(Error::Malformed(0))?;
        match (kind, payload) {
            (PUT, [length, rest @ ..]) => {
                let (name, blob) =
                    rest.split_at_checked(usize::from(*length)).ok_or(Error::Malformed(PUT))?;
                let name = std::str::from_utf8(name).map_err(|_invalid| Error::Malformed(PUT))?;
                Ok(Self::Put { name: name.to_owned(), blob: blob.to_vec() })
            }
            (READY, []) => Ok(Self::Ready),
            (DRAINING, []) => Ok(Self::Draining),
            (END, []) => Ok(Self::End),
            (DRAIN, []) => Ok(Self::Drain),
            _ => Err(Error::Malformed(kind)),
        }
    }
}

/// Writes one frame.
///
/// # Errors
/// [`Error::Full`] for a name or blob above the limits, [`Error::Io`].
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> Result<(), Error> {
    if let Frame::Put { name, blob } = frame {
        check(name, blob)?;
    }
    stream.write_all(&frame.encode()).await?;
    Ok(())
}

/// Reads one frame; `None` at a clean end. Not safe to cancel.
///
/// # Errors
/// [`Error::Full`] for a frame above the limits, before it is read; [`Error::Malformed`], [`Error::Io`].
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Frame>, Error> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > VAULT_BLOB_BYTES + 2 + 255 {
        return Err(Error::Full("one blob is too large"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Frame::decode(&body).map(Some)
}

fn check(name: &str, blob: &[u8]) -> Result<(), Error> {
    if name.len() > 255 {
        return Err(Error::Full("a name is too long"));
    }
    if blob.len() > VAULT_BLOB_BYTES {
        return Err(Error::Full("one blob is too large"));
    }
    Ok(())
}

/// What one sidecar has stored. Debug output shows names and sizes only.
#[derive(Default)]
pub struct Vault(BTreeMap<String, Vec<u8>>);

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, blob)| (name, blob.len()))).finish()
    }
}

impl Vault {
    /// Stores a blob in place of an earlier one of that name.
    ///
    /// # Errors
    /// [`Error::Full`]; the earlier blob stays.
    pub fn put(&mut self, name: String, blob: Vec<u8>) -> Result<(), Error> {
        check(&name, &blob)?;
        let replaced = self.0.get(&name).map_or(0, Vec::len);
        if !self.0.contains_key(&name) && self.0.len() >= VAULT_NAMES {
            return Err(Error::Full("too many names"));
        }
        let total: usize = self.0.values().map(Vec::len).sum();
        if total - replaced + blob.len() > VAULT_BYTES {
            return Err(Error::Full("too much in all"));
        }
        self.0.insert(name, blob);
        Ok(())
    }

    /// What a starting sidecar is told.
    pub fn replay(&self) -> Vec<Frame> {
        let blobs = self.0.iter().map(|(name, blob)| Frame::Put { name: name.clone(), blob: blob.clone() });
        blobs.chain([Frame::End]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_wire() {
        let put = Frame::Put { name: "key".to_owned(), blob: vec![0, 1, 2] };
        for frame in [put, Frame::Ready, Frame::Draining, Frame::End, Frame::Drain] {
            let bytes = frame.encode();
            assert_eq!(Frame::decode(&bytes[4..]).unwrap(), frame);
        }
        for wrong in [&[][..], &[0], &[9], &[PUT], &[PUT, 2, b'a'], &[PUT, 1, 0xff], &[READY, 0]] {
            assert!(Frame::decode(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_full_vault_keeps_what_it_has() {
        let mut vault = Vault::default();
        let large = || vec![0; VAULT_BLOB_BYTES];
        for name in ["a", "b", "c", "d"] {
            vault.put(name.to_owned(), large()).unwrap();
        }
        assert!(vault.put("e".to_owned(), vec![0]).is_err());
        vault.put("a".to_owned(), vec![1]).unwrap();
        assert!(vault.put("a".to_owned(), vec![0; VAULT_BLOB_BYTES + 1]).is_err());
        assert_eq!(vault.replay().first(), Some(&Frame::Put { name: "a".to_owned(), blob: vec![1] }));
        for number in 0..VAULT_NAMES - 4 {
            vault.put(number.to_string(), vec![]).unwrap();
        }
        assert!(vault.put("one more".to_owned(), vec![]).is_err());
    }
}
