//! Reading a ClientHello (RFC 8446 §4.1.2) for its server name and protocols, bounds-checked and without state.
//!
//! It is read for routing only; TLS itself judges it again. A hello may span several records, and what isn't
//! well-formed is not TLS.

use std::borrow::Cow;

/// What a ClientHello says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The server name (RFC 6066 §3), in lower case, if one was sent that can be a DNS name.
    pub sni: Option<Box<str>>,
    /// The application protocols offered (RFC 7301), in the client's order.
    pub alpn: Vec<Box<[u8]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    NeedMore,
    Malformed,
}

const HANDSHAKE: u8 = 0x16;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
/// Largest record payload (RFC 8446 §5.1).
const RECORD: usize = 1 << 14;
/// Largest hello worth waiting for: what detection looks at.
const HELLO: usize = crate::limits::DETECT_BYTES;

pub(super) fn client_hello(bytes: &[u8]) -> Result<Hello, Stop> {
    let message = message(bytes)?;
    parse(&message).ok_or(Stop::Malformed)
}

/// The body of the first handshake message, gathered from as many records as it spans.
fn message(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Stop> {
    let mut gathered: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut rest = bytes;
    loop {
        let (payload, after) = record(rest)?;
        if gathered.is_empty() {
            gathered = Cow::Borrowed(payload);
        } else {
            gathered.to_mut().extend_from_slice(payload);
        }
        if let [kind, a, b, c, ..] = *gathered {
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if kind != CLIENT_HELLO || length > HELLO {
                return Err(Stop::Malformed);
            }
            if gathered.len() >= 4 + length {
                return Ok(match gathered {
                    Cow::Borrowed(payload) => Cow::Borrowed(payload.get(4..4 + length).unwrap_or_default()),
                    Cow::Owned(payload) => {
                        Cow::Owned(payload.get(4..4 + length).unwrap_or_default().to_vec())
                    }
                });
            }
        }
        rest = after;
    }
}

/// The first record's payload, and what comes after it.
fn record(bytes: &[u8]) -> Result<(&[u8], &[u8]), Stop> {
    // Each byte is judged as soon as it is there; the minor version means nothing (RFC 8446 §5.1).
    for (at, wanted) in [HANDSHAKE, 3].into_iter().enumerate() {
        match bytes.get(at) {
            None => return Err(Stop::NeedMore),
            Some(byte) if *byte != wanted => return Err(Stop::Malformed),
            Some(_) => {}
        }
    }
    let Some(&[_, _, _, high, low]) = bytes.first_chunk::<5>() else { return Err(Stop::NeedMore) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length == 0 || length > RECORD {
        return Err(Stop::Malformed);
    }
    let rest = bytes.get(5..).unwrap_or_default();
    rest.split_at_checked(length).ok_or(Stop::NeedMore)
}

/// A cursor over bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<usize> {
        self.take(1)?.first().map(|b| usize::from(*b))
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// What a one-byte length announces.
    fn short(&mut self) -> Option<Self> {
        let length = self.u8()?;
        self.take(length).map(Self)
    }

    /// What a two-byte length announces.
    fn long(&mut self) -> Option<Self> {
        let length = usize::from(self.u16()?);
        self.take(length).map(Self)
    }
}

/// Reads the message's body; `None` if it isn't well-formed.
fn parse(body: &[u8]) -> Option<Hello> {
    let mut reader = Reader(body);
    // The version, which decides nothing where `supported_versions` does, and the random bytes.
    reader.take(2 + 32)?;
    let session = reader.short()?.0.len();
    let suites = reader.long()?.0.len();
    let compressions = reader.short()?.0.len();
    if session > 32 || suites < 2 || suites % 2 != 0 || compressions == 0 {
        return None;
    }
    let mut hello = Hello::default();
    if reader.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = reader.long()?;
    if !reader.0.is_empty() {
        return None;
    }
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let mut content = extensions.long()?;
        match kind {
            SERVER_NAME => hello.sni = server_name(&mut content)?,
            ALPN => hello.alpn = protocols(&mut content)?,
            _ => {}
        }
    }
    Some(hello)
}

fn server_name(content: &mut Reader<'_>) -> Option<Option<Box<str>>> {
    let mut names = content.long()?;
    while !names.0.is_empty() {
        let kind = names.u8()?;
        let name = names.long()?.0;
        if kind == 0 {
            let is_name = (1..=253).contains(&name.len())
                && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
            let text = std::str::from_utf8(name).ok().filter(|_| is_name);
            return Some(text.map(|text| text.to_ascii_lowercase().into()));
        }
    }
    Some(None)
}

fn protocols(content: &mut Reader<'_>) -> Option<Vec<Box<[u8]>>> {
    let mut names = content.long()?;
    let mut protocols = Vec::new();
    while !names.0.is_empty() {
        let name = names.short()?.0;
        if name.is_empty() {
            return None;
        }
        protocols.push(name.into());
    }
    Some(protocols)
}
