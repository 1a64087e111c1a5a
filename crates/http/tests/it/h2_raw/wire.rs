//! Frames as bytes (RFC 9113 §4 and §6), and a peer that writes any bytes and reads frames.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::timeout;

use super::hpack::{Decoder, block};

/// What a client says first (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The frame size that no endpoint may exceed unasked (RFC 9113 §4.2).
pub(super) const FRAME: usize = 16_384;

/// The window that every connection and stream begins with (RFC 9113 §6.9.2).
pub(super) const WINDOW: usize = 65_535;

pub(super) const MAX_WINDOW: u32 = 0x7fff_ffff;

/// The clock is paused, so this much silence means that nobody has anything left to do.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// Frame types.
pub(super) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags.
pub(super) mod flag {
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
    /// Of a head that is whole and without a body.
    pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;
}

/// Error codes (RFC 9113 §7).
pub(super) mod code {
    pub(crate) const NO_ERROR: u32 = 0;
    pub(crate) const PROTOCOL: u32 = 1;
    pub(crate) const INTERNAL: u32 = 2;
    pub(crate) const FLOW_CONTROL: u32 = 3;
    pub(crate) const STREAM_CLOSED: u32 = 5;
    pub(crate) const FRAME_SIZE: u32 = 6;
    pub(crate) const REFUSED: u32 = 7;
    pub(crate) const CANCEL: u32 = 8;
    pub(crate) const COMPRESSION: u32 = 9;
    pub(crate) const CALM: u32 = 11;
}

/// Identifiers of settings (RFC 9113 §6.5.2, RFC 8441 §3).
pub(super) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
    pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// Any frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).expect("short").to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

pub(super) fn data(stream: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(kind::DATA, flags, stream, payload)
}

/// DATA in frames of the largest size that every peer takes, without END_STREAM.
pub(super) fn bulk(stream: u32, bytes: usize) -> Vec<u8> {
    vec![b'x'; bytes].chunks(FRAME).flat_map(|chunk| data(stream, 0, chunk)).collect()
}

/// A HEADERS frame with a whole block, and with the further `flags`.
pub(super) fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS | flags, stream, block)
}

/// The pseudo fields of a request, before `more`.
pub(super) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")];
    block(&[&pseudo, more].concat())
}

/// A whole GET.
pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    headers(stream, flag::END_STREAM, &request("GET", path, &[]))
}

/// A POST whose body is still to come.
pub(super) fn post(stream: u32, path: &str) -> Vec<u8> {
    headers(stream, 0, &request("POST", path, &[]))
}

pub(super) fn priority(stream: u32, depends_on: u32, weight: u8) -> Vec<u8> {
    frame(kind::PRIORITY, 0, stream, &[&depends_on.to_be_bytes()[..], &[weight]].concat())
}

pub(super) fn rst(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub(super) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let values = values.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(kind::SETTINGS, 0, 0, &values.collect::<Vec<_>>())
}

pub(super) fn settings_ack() -> Vec<u8> {
    frame(kind::SETTINGS, flag::ACK, 0, &[])
}

pub(super) fn ping(payload: &[u8; 8]) -> Vec<u8> {
    frame(kind::PING, 0, 0, payload)
}

pub(super) fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(kind::GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

pub(super) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub(super) fn continuation(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(kind::CONTINUATION, flags, stream, block)
}

/// A payload with so much padding behind it, for a frame with [`flag::PADDED`].
pub(super) fn padded(payload: &[u8], padding: u8) -> Vec<u8> {
    [&[padding][..], payload, &vec![0; usize::from(padding)]].concat()
}

/// A frame that was read. A head that came in several is one HEADERS frame with both ends' flags.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// Without padding and priority; a head's is its block.
    pub(super) payload: Vec<u8>,
    /// The bytes that flow control counts.
    pub(super) flow: usize,
    /// A head's fields.
    pub(super) fields: Vec<(String, String)>,
}

impl Frame {
    pub(super) fn is(&self, kind: u8, stream: u32) -> bool {
        (self.kind, self.stream) == (kind, stream)
    }

    pub(super) fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The value of a field of a head.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.field(":status")?.parse().ok()
    }

    /// The number at an offset of the payload.
    pub(super) fn number(&self, at: usize) -> u32 {
        let bytes = self.payload.get(at..at + 4).unwrap_or_else(|| panic!("too short: {self:?}"));
        u32::from_be_bytes(bytes.try_into().expect("four"))
    }

    /// The values of a SETTINGS frame.
    pub(super) fn settings(&self) -> Vec<(u16, u32)> {
        let entries = self.payload.as_chunks::<6>().0;
        let value =
            |e: &[u8; 6]| (u16::from_be_bytes([e[0], e[1]]), u32::from_be_bytes([e[2], e[3], e[4], e[5]]));
        entries.iter().map(value).collect()
    }

    /// The code of a RST_STREAM or GOAWAY.
    pub(super) fn code(&self) -> u32 {
        self.number(if self.kind == kind::GOAWAY { 4 } else { 0 })
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, flags, stream, payload, fields, .. } = self;
        match kind {
            &kind::DATA => write!(f, "DATA on {stream} ({flags:#x}): {} bytes", payload.len()),
            &kind::HEADERS => write!(f, "HEADERS on {stream} ({flags:#x}): {fields:?}"),
            &kind::GOAWAY => {
                write!(f, "GOAWAY {} {} {}", self.number(0), self.code(), payload[8..].escape_ascii())
            }
            &kind::SETTINGS => write!(f, "SETTINGS ({flags:#x}): {:?}", self.settings()),
            kind => write!(f, "type {kind} on {stream} ({flags:#x}): {payload:?}"),
        }
    }
}

/// One end of a connection, which says what it is told to.
pub(super) struct Peer {
    io: DuplexStream,
    decoder: Decoder,
    /// The largest frame that this end has allowed.
    pub(super) max_frame: usize,
    /// Whether the other end has closed.
    pub(super) ended: bool,
}

impl Peer {
    pub(super) fn new(io: DuplexStream) -> Self {
        Self { io, decoder: Decoder::default(), max_frame: FRAME, ended: false }
    }

    /// Says the largest table that this end has allowed for compression (RFC 7541 §4.2).
    pub(super) fn allow_table(&mut self, size: usize) {
        self.decoder.allow(size);
    }

    /// Writes, whether or not the other end is still there. What it doesn't read is a failure.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let written = timeout(SILENCE, self.io.write_all(bytes)).await;
        // A peer that has given up needs no more.
        let _gone = written.expect("the peer goes on reading");
    }

    /// Writes one step after the other; what came of all of them.
    pub(super) async fn play(&mut self, steps: &[Vec<u8>]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for step in steps {
            self.send(step).await;
            frames.extend(self.rest().await);
        }
        frames
    }

    /// Writes until nothing more is taken; how much was.
    pub(super) async fn stuff(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            match timeout(SILENCE, self.io.write(&bytes[taken..])).await {
                Ok(Ok(n)) if n > 0 => taken += n,
                Ok(_) => {
                    self.ended = true;
                    break;
                }
                Err(_silence) => break,
            }
        }
        taken
    }

    /// Closes the sending direction.
    pub(super) async fn close(&mut self) {
        let _gone = self.io.shutdown().await;
    }

    /// Reads exactly so many bytes that aren't a frame.
    pub(super) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        timeout(SILENCE, self.io.read_exact(&mut bytes)).await.expect("in time").expect("bytes");
        bytes
    }

    /// The next frame; `None` once nobody has anything left to say, or the other end has closed.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        if self.ended {
            return None;
        }
        let mut frame = timeout(SILENCE, self.raw()).await.ok()??;
        if frame.kind != kind::HEADERS {
            assert_ne!(frame.kind, kind::CONTINUATION, "without a head");
            return Some(frame);
        }
        while !frame.has(flag::END_HEADERS) {
            let next = timeout(SILENCE, self.raw()).await.expect("a head is sent at once").expect("whole");
            assert!(next.is(kind::CONTINUATION, frame.stream), "interleaved: {next:?}");
            frame.payload.extend(next.payload);
            frame.flags |= next.flags;
        }
        frame.fields = self.decoder.decode(&frame.payload);
        Some(frame)
    }

    async fn raw(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        let Ok(_) = self.io.read_exact(&mut head).await else {
            self.ended = true;
            return None;
        };
        let length = usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).expect("small");
        assert!(length <= self.max_frame, "a frame of {length} bytes");
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        assert!(stream <= MAX_WINDOW, "the reserved bit is zero (RFC 9113 §4.1)");
        let mut payload = vec![0; length];
        self.io.read_exact(&mut payload).await.expect("a whole frame");
        if matches!(kind, kind::DATA | kind::HEADERS) {
            if flags & flag::PADDED != 0 {
                let padding = usize::from(payload.remove(0));
                payload.truncate(payload.len().checked_sub(padding).expect("no more padding than payload"));
            }
            if kind == kind::HEADERS && flags & flag::PRIORITY != 0 {
                payload.drain(..5);
            }
        }
        Some(Frame { kind, flags, stream, payload, flow: length, fields: Vec::new() })
    }

    /// The next frame of a kind and stream; panics if there is none.
    pub(super) async fn expect(&mut self, kind: u8, stream: u32) -> Frame {
        loop {
            let frame = self.next().await.unwrap_or_else(|| panic!("no frame {kind} on {stream}"));
            if frame.is(kind, stream) {
                return frame;
            }
        }
    }

    /// What comes until nobody has anything left to say.
    pub(super) async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}
