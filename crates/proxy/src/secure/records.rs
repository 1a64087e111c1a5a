//! Records of TLS 1.3 (RFC 8446 §5), sealed for a peer and opened from it. No I/O, and no say in what they hold.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::ConnectionTrafficSecrets;

use super::outbox::Outbox;
use super::pieces::Pieces;

/// Bytes before what is sealed: type, version, length.
pub(super) const HEADER: usize = 5;
/// Bytes after it.
const TAG: usize = 16;
/// Most plaintext in a record (§5.1).
pub(super) const PLAIN: usize = 1 << 14;
/// Most that is sealed of it, with the type, padding and tag (§5.2).
const SEALED: usize = PLAIN + 256;

/// What a record holds (§5.1, `ContentType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Alert,
    Handshake,
    Data,
}

impl Content {
    fn number(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::Data => 23,
        }
    }

    fn of(number: u8) -> Option<Self> {
        [Self::Alert, Self::Handshake, Self::Data].into_iter().find(|content| content.number() == number)
    }
}

/// A rule that a peer has broken. It ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("a record that nobody has sealed")]
    BadMac,
    #[error("a record that is too large")]
    Overflow,
    #[error("{0}")]
    Unexpected(&'static str),
    #[error("{0}")]
    Malformed(&'static str),
    #[error("{0}")]
    Parameter(&'static str),
    /// Of this side; the peer has done nothing wrong.
    #[error("the keys of the session can't be used")]
    Keys,
}

impl Fault {
    /// The alert that tells the peer (§6).
    pub(super) fn alert(self) -> u8 {
        match self {
            Self::Unexpected(_) => 10,
            Self::BadMac => 20,
            Self::Overflow => 22,
            Self::Parameter(_) => 47,
            Self::Malformed(_) => 50,
            Self::Keys => 80,
        }
    }
}

/// Keys of one direction, until they are updated, and the number of the next record (§5.3).
struct Protection {
    key: LessSafeKey,
    iv: [u8; 12],
    next: u64,
}

impl Protection {
    fn new((next, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self, Fault> {
        let (algorithm, key, iv): (&'static Algorithm, _, _) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(Fault::Keys),
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_of_another_length| Fault::Keys)?;
        let iv = iv.as_ref().try_into().map_err(|_of_another_length| Fault::Keys)?;
        Ok(Self { key: LessSafeKey::new(key), iv, next })
    }

    /// The next record's nonce: none is used twice with the same key.
    fn nonce(&mut self) -> Result<Nonce, Fault> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or(Fault::Keys)?;
        let mut nonce = self.iv;
        for (byte, of_number) in nonce.iter_mut().skip(4).zip(number.to_be_bytes()) {
            *byte ^= of_number;
        }
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

/// Seals what is sent.
pub(super) struct Sealer {
    protection: Protection,
    /// Records that one key may seal (§5.5).
    limit: u64,
}

impl Sealer {
    /// With these keys, each for so many records.
    pub(super) fn new(secrets: (u64, ConnectionTrafficSecrets), limit: u64) -> Result<Self, Fault> {
        Ok(Self { protection: Protection::new(secrets)?, limit })
    }

    /// Goes on with other keys.
    pub(super) fn update(&mut self, secrets: (u64, ConnectionTrafficSecrets)) -> Result<(), Fault> {
        self.protection = Protection::new(secrets)?;
        Ok(())
    }

    /// Whether these keys have one record left, which tells the peer of others.
    pub(super) fn is_worn(&self) -> bool {
        self.protection.next.saturating_add(1) >= self.limit
    }

    /// One record of the next `length` bytes of `pieces`, [`PLAIN`] at most, behind what is in `outbox`.
    pub(super) fn seal(
        &mut self,
        content: Content,
        pieces: &mut Pieces<'_>,
        length: usize,
        outbox: &mut Outbox,
    ) -> Result<(), Fault> {
        let nonce = self.protection.nonce()?;
        let sealed = length + 1 + TAG;
        let header = header(sealed).ok_or(Fault::Keys)?;
        let before = outbox.end();
        let done = self.protect(nonce, header, content, pieces, length, outbox);
        if done.is_err() {
            // Nothing that isn't sealed is sent.
            outbox.truncate(before);
        }
        done
    }

    fn protect(
        &self,
        nonce: Nonce,
        header: [u8; HEADER],
        content: Content,
        pieces: &mut Pieces<'_>,
        length: usize,
        outbox: &mut Outbox,
    ) -> Result<(), Fault> {
        let record = outbox.extend(HEADER + length + 1 + TAG);
        let (start, rest) = record.split_at_mut_checked(HEADER).ok_or(Fault::Keys)?;
        let (body, end) = rest.split_at_mut_checked(length).ok_or(Fault::Keys)?;
        start.copy_from_slice(&header);
        let (key, aad, inner) = (&self.protection.key, Aad::from(header), [content.number()]);
        let done = match pieces.whole(length) {
            Some(plain) => key.seal_out_of_place_scatter(nonce, aad, plain, body, &inner, end),
            None => {
                pieces.copy_to(body);
                key.seal_in_place_scatter(nonce, aad, body, &inner, end)
            }
        };
        done.map_err(|_unspecified| Fault::Keys)
    }
}

/// The header of a record with so many sealed bytes, which is authenticated too (§5.2).
fn header(sealed: usize) -> Option<[u8; HEADER]> {
    let [high, low] = u16::try_from(sealed).ok().filter(|_| sealed <= SEALED)?.to_be_bytes();
    Some([Content::Data.number(), 3, 3, high, low])
}

/// The length of the record that `bytes` begin with, header included; none when the header isn't all there.
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let &[kind, _, _, high, low, ..] = bytes else { return Ok(None) };
    if kind != Content::Data.number() {
        return Err(Fault::Unexpected("a record that isn't sealed"));
    }
    match usize::from(u16::from_be_bytes([high, low])) {
        ..=TAG => Err(Fault::Malformed("a record without content")),
        sealed @ ..=SEALED => Ok(Some(HEADER + sealed)),
        _ => Err(Fault::Overflow),
    }
}

/// How much room opening a record of this length takes.
pub(super) fn room(record: usize) -> usize {
    record.saturating_sub(HEADER + TAG)
}

/// Opens what has come.
pub(super) struct Opener(Protection);

impl Opener {
    /// With these keys.
    pub(super) fn new(secrets: (u64, ConnectionTrafficSecrets)) -> Result<Self, Fault> {
        Protection::new(secrets).map(Self)
    }

    /// Opens a record, whose length [`length`] told, to `out`, which has the [`room`]; what it holds and how much of it.
    pub(super) fn open_to(&mut self, record: &[u8], out: &mut [u8]) -> Result<(Content, usize), Fault> {
        let (header, sealed) = record.split_first_chunk::<HEADER>().ok_or(Fault::BadMac)?;
        let (body, tag) = sealed.split_last_chunk::<TAG>().ok_or(Fault::BadMac)?;
        let nonce = self.0.nonce()?;
        self.0
            .key
            .open_separate_gather(nonce, Aad::from(header), body, tag, out)
            .map_err(|_unspecified| Fault::BadMac)?;
        inner(out)
    }

    /// The same, in its place behind the header.
    pub(super) fn open_in_place(&mut self, record: &mut [u8]) -> Result<(Content, usize), Fault> {
        let (header, sealed) = record.split_first_chunk_mut::<HEADER>().ok_or(Fault::BadMac)?;
        let nonce = self.0.nonce()?;
        let opened = self
            .0
            .key
            .open_in_place(nonce, Aad::from(*header), sealed)
            .map_err(|_unspecified| Fault::BadMac)?;
        inner(opened)
    }
}

/// The type that follows what a record holds, before its padding (§5.4); and how much it holds.
fn inner(opened: &[u8]) -> Result<(Content, usize), Fault> {
    let end = opened.iter().rposition(|byte| *byte != 0).ok_or(Fault::Unexpected("a record of padding"))?;
    let content = opened.get(end).copied().and_then(Content::of);
    let content = content.ok_or(Fault::Unexpected("a record of another type"))?;
    // Padding counts (§5.4).
    if opened.len() > PLAIN + 1 { Err(Fault::Overflow) } else { Ok((content, end)) }
}
