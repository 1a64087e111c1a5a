//! The chunked coding (RFC 9112 §7.1).
//!
//! A size line is read byte by byte without being buffered. Sizes are plain hex digits: no sign, no prefix, no blanks.
//! Extensions are skipped, since no recipient may rely on them, but neither their length nor their share of the body
//! is without bound.

use bytes::{Buf, Bytes};

use super::Decoded;
use crate::h1::parse::{Limits, Parsed, trailers};
use crate::h1::refusal::Refusal;
use crate::limits;

/// Decodes one chunked body.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of the current size line.
    line: usize,
    /// Bytes of all extensions, and of all data.
    extensions: u64,
    data: u64,
    trailers: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Size { size: u64, digits: usize },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailers,
    Ended,
}

impl Default for State {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

impl Chunked {
    pub(super) fn decode(&mut self, input: &mut Bytes) -> Result<Decoded, Refusal> {
        loop {
            match self.state {
                State::Ended => return Ok(Decoded::End),
                State::Data { left } => {
                    if input.is_empty() {
                        return Ok(Decoded::NeedMore);
                    }
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let left = left - n as u64;
                    self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                    self.data = self.data.saturating_add(n as u64);
                    return Ok(Decoded::Data(input.split_to(n)));
                }
                State::Trailers => return self.trailers(input),
                _ => {
                    let Some(&byte) = input.first() else { return Ok(Decoded::NeedMore) };
                    input.advance(1);
                    self.step(byte)?;
                }
            }
        }
    }

    /// Takes one byte of a size line or of a chunk's end.
    fn step(&mut self, byte: u8) -> Result<(), Refusal> {
        self.state = match self.state {
            State::Size { size, digits } => match (byte, hex(byte)) {
                (_, Some(_)) if digits == limits::CHUNK_SIZE_DIGITS => return Err(Refusal::ChunkSize),
                (_, Some(digit)) => State::Size { size: size << 4 | digit, digits: digits + 1 },
                (b'\r', _) if digits > 0 => State::SizeLf { size },
                (b';', _) if digits > 0 => State::Extension { size },
                (b'\n', _) if digits > 0 => return Err(Refusal::BareLf),
                _ => return Err(Refusal::ChunkSize),
            },
            State::Extension { size } => {
                self.extensions += 1;
                let free =
                    limits::CHUNK_EXTENSION_FREE.saturating_add(self.data * limits::CHUNK_EXTENSION_RATIO);
                match byte {
                    b'\r' => State::SizeLf { size },
                    b'\n' => return Err(Refusal::BareLf),
                    b'\t' | b' '..=b'~' | 0x80..
                        if self.line < limits::CHUNK_LINE_BYTES && self.extensions < free =>
                    {
                        State::Extension { size }
                    }
                    _ => return Err(Refusal::ChunkExtension),
                }
            }
            State::SizeLf { size } if byte == b'\n' => {
                self.line = 0;
                self.state = if size == 0 { State::Trailers } else { State::Data { left: size } };
                return Ok(());
            }
            State::SizeLf { .. } => return Err(Refusal::BareCr),
            State::DataCr if byte == b'\r' => State::DataLf,
            State::DataLf if byte == b'\n' => State::default(),
            State::DataCr | State::DataLf => return Err(Refusal::ChunkEnd),
            State::Data { .. } | State::Trailers | State::Ended => return Ok(()),
        };
        self.line += 1;
        Ok(())
    }

    /// Takes the trailer section, which mostly is the empty line alone.
    fn trailers(&mut self, input: &mut Bytes) -> Result<Decoded, Refusal> {
        if self.trailers.is_empty() && input.starts_with(b"\r\n") {
            input.advance(2);
            self.state = State::Ended;
            return Ok(Decoded::End);
        }
        let bounds = Limits { bytes: limits::TRAILER_BYTES, ..Limits::default() };
        let before = self.trailers.len();
        let room = (limits::TRAILER_BYTES + 1).saturating_sub(before).min(input.len());
        self.trailers.extend_from_slice(input.get(..room).unwrap_or_default());
        match trailers(&self.trailers, bounds) {
            Parsed::Complete(map, consumed) => {
                input.advance(consumed.saturating_sub(before));
                self.trailers = Vec::new();
                self.state = State::Ended;
                Ok(if map.is_empty() { Decoded::End } else { Decoded::Trailers(map) })
            }
            Parsed::NeedMore => {
                input.advance(room);
                Ok(Decoded::NeedMore)
            }
            Parsed::Refused(refusal) => Err(refusal),
        }
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}
