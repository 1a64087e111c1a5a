//! Frames as bytes (RFC 9113 §4 and §6): their heads, what their payloads hold, and how they are written.
//!
//! Nothing here knows of a connection's state; what depends on it is judged by `conn`.

use super::reason::{Reason, Violation};

/// Bytes of a frame's head (RFC 9113 §4.1).
pub(super) const HEAD: usize = 9;

/// What a client says first (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Largest window (RFC 9113 §6.9.1), and largest stream identifier (§5.1.1).
pub(super) const MOST: u32 = 0x7fff_ffff;

/// A frame's type (RFC 9113 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    Push,
    Ping,
    GoAway,
    Window,
    Continuation,
    /// To be ignored (§4.1).
    Unknown,
}

impl Kind {
    const fn of(code: u8) -> Self {
        match code {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::Reset,
            4 => Self::Settings,
            5 => Self::Push,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::Window,
            9 => Self::Continuation,
            _ => Self::Unknown,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::Headers => 1,
            Self::Priority => 2,
            Self::Reset => 3,
            Self::Settings => 4,
            Self::Push => 5,
            Self::Ping => 6,
            Self::GoAway => 7,
            Self::Window => 8,
            Self::Continuation => 9,
            Self::Unknown => 0xff,
        }
    }
}

/// Flags (RFC 9113 §6). ACK and END_STREAM share a bit, as no type has both.
pub(super) mod flag {
    pub(in crate::h2) const ACK: u8 = 0x1;
    pub(in crate::h2) const END_STREAM: u8 = 0x1;
    pub(in crate::h2) const END_HEADERS: u8 = 0x4;
    pub(in crate::h2) const PADDED: u8 = 0x8;
    pub(in crate::h2) const PRIORITY: u8 = 0x20;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Bytes of the payload.
    pub(super) length: usize,
    pub(super) kind: Kind,
    flags: u8,
    /// Without the reserved bit.
    pub(super) stream: u32,
}

impl Head {
    /// Reads a head, which `bytes` begin with; `None` if they are too few.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, s1, s2, s3, s4] = bytes.first_chunk::<HEAD>()?;
        Some(Self {
            length: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
            kind: Kind::of(kind),
            flags,
            stream: u32::from_be_bytes([s1, s2, s3, s4]) & MOST,
        })
    }

    pub(super) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The payload without padding, and for HEADERS without the priority (RFC 9113 §6.1, §6.2).
pub(super) fn content<'p>(head: &Head, payload: &'p [u8]) -> Result<&'p [u8], Violation> {
    let mut rest = payload;
    let mut padding = 0;
    if head.has(flag::PADDED) {
        let (&length, after) =
            rest.split_first().ok_or(Violation::size("no room for the padding's length"))?;
        padding = usize::from(length);
        rest = after;
    }
    if head.kind == Kind::Headers && head.has(flag::PRIORITY) {
        // Which stream it depends on, and its weight: deprecated, so read over (§5.3.2).
        rest = rest.get(5..).ok_or(Violation::size("no room for the priority"))?;
    }
    let length = rest.len().checked_sub(padding);
    let length = length.ok_or(Violation::protocol("more padding than the frame has room for"))?;
    Ok(rest.get(..length).unwrap_or_default())
}

/// The settings of a SETTINGS frame's payload (RFC 9113 §6.5.1), in their order.
pub(super) fn settings(payload: &[u8]) -> Result<impl Iterator<Item = (u16, u32)>, Violation> {
    let (all, rest) = payload.as_chunks::<6>();
    if !rest.is_empty() {
        return Err(Violation::size("SETTINGS with a part of a setting"));
    }
    Ok(all.iter().map(|&[a, b, c, d, e, f]| (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))))
}

/// Identifiers of settings (RFC 9113 §6.5.2, RFC 8441 §3).
pub(super) mod setting {
    pub(in crate::h2) const HEADER_TABLE_SIZE: u16 = 1;
    pub(in crate::h2) const ENABLE_PUSH: u16 = 2;
    pub(in crate::h2) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(in crate::h2) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(in crate::h2) const MAX_FRAME_SIZE: u16 = 5;
    pub(in crate::h2) const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub(in crate::h2) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// The head of a frame of `length` bytes, which are at most 2^24 - 1.
pub(super) fn head(length: usize, kind: Kind, flags: u8, stream: u32) -> [u8; HEAD] {
    let [.., a, b, c] = length.to_be_bytes();
    let [s1, s2, s3, s4] = stream.to_be_bytes();
    [a, b, c, kind.code(), flags, s1, s2, s3, s4]
}

/// Writes a whole frame.
pub(super) fn write(kind: Kind, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&head(payload.len(), kind, flags, stream));
    out.extend_from_slice(payload);
}

/// Writes SETTINGS.
pub(super) fn write_settings(settings: &[(u16, u32)], out: &mut Vec<u8>) {
    out.extend_from_slice(&head(settings.len() * 6, Kind::Settings, 0, 0));
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Writes GOAWAY (RFC 9113 §6.8).
pub(super) fn write_go_away(last: u32, reason: Reason, out: &mut Vec<u8>) {
    out.extend_from_slice(&head(8, Kind::GoAway, 0, 0));
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&reason.code().to_be_bytes());
}

/// Turns what was written of a header block, which begins at `from` behind room for a frame's head, into HEADERS and as
/// many CONTINUATIONs as it takes (RFC 9113 §4.3).
pub(super) fn frame_block(out: &mut Vec<u8>, from: usize, stream: u32, end_stream: bool, most: usize) {
    let length = out.len().saturating_sub(from + HEAD);
    let end = if end_stream { flag::END_STREAM } else { 0 };
    if length <= most {
        put(out, from, &head(length, Kind::Headers, end | flag::END_HEADERS, stream));
        return;
    }
    let rest = out.split_off((from + HEAD + most).min(out.len()));
    put(out, from, &head(most, Kind::Headers, end, stream));
    let mut pieces = rest.chunks(most.max(1)).peekable();
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
        write(Kind::Continuation, flags, stream, piece, out);
    }
}

fn put(out: &mut [u8], at: usize, bytes: &[u8; HEAD]) {
    if let Some(room) = out.get_mut(at..at + HEAD) {
        room.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_written() {
        let bytes = head(0x01_0203, Kind::Headers, 0x25, 0x7fff_fffe);
        let read = Head::read(&bytes).expect("whole");
        assert_eq!((read.length, read.kind, read.stream), (0x01_0203, Kind::Headers, 0x7fff_fffe));
        assert!(read.has(flag::PRIORITY) && read.has(flag::END_HEADERS) && !read.has(flag::PADDED));
        assert!(Head::read(&bytes[..8]).is_none());
        let reserved = [0, 0, 0, 0x77, 0, 0x80, 0, 0, 1];
        let read = Head::read(&reserved).expect("whole");
        assert_eq!((read.kind, read.stream), (Kind::Unknown, 1), "the reserved bit is ignored");
    }

    #[test]
    fn padding_and_priority_are_taken_off() {
        for (kind, flags, payload, wanted) in [
            (Kind::Data, flag::PADDED, &b"\x02abxx"[..], Ok(&b"ab"[..])),
            (Kind::Data, flag::PADDED, b"\0", Ok(b"")),
            (Kind::Data, flag::PADDED, b"\x01", Err(Reason::PROTOCOL_ERROR)),
            (Kind::Data, flag::PADDED, b"", Err(Reason::FRAME_SIZE_ERROR)),
            (Kind::Data, flag::PRIORITY, b"12345", Ok(b"12345")),
            (Kind::Headers, flag::PRIORITY, b"12345h", Ok(b"h")),
            (Kind::Headers, flag::PRIORITY, b"1234", Err(Reason::FRAME_SIZE_ERROR)),
            (Kind::Headers, flag::PRIORITY | flag::PADDED, b"\x0112345hx", Ok(b"h")),
            (Kind::Headers, flag::PRIORITY | flag::PADDED, b"\x0212345x", Err(Reason::PROTOCOL_ERROR)),
        ] {
            let read = Head::read(&head(payload.len(), kind, flags, 1)).expect("whole");
            assert_eq!(
                content(&read, payload).map_err(|broken| broken.reason),
                wanted,
                "{kind:?} {flags} {}",
                payload.escape_ascii()
            );
        }
    }

    #[test]
    fn long_blocks_are_continued() {
        for (length, most) in [(0, 4), (4, 4), (5, 4), (8, 4), (9, 4), (100, 16_384)] {
            let block: Vec<u8> = (0..length).collect();
            let mut out = b"before".to_vec();
            let from = out.len();
            out.extend_from_slice(&[0; HEAD]);
            out.extend_from_slice(&block);
            frame_block(&mut out, from, 3, true, most);
            let (mut rest, mut all, mut first) = (&out[from..], Vec::new(), true);
            while let Some(read) = Head::read(rest) {
                assert_eq!(read.kind, if first { Kind::Headers } else { Kind::Continuation });
                assert!(read.stream == 3 && read.length <= most);
                assert_eq!(read.has(flag::END_STREAM), first);
                let (payload, after) = rest[HEAD..].split_at(read.length);
                all.extend_from_slice(payload);
                assert_eq!(read.has(flag::END_HEADERS), after.is_empty());
                (rest, first) = (after, false);
            }
            assert_eq!(all, block);
        }
    }
}
