//! Finding the end of an HTTP/1.1 answer's body (RFC 9112 §6.3 and §7.1) without holding it.

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    UntilEnd,
}

/// A body while it is read.
#[derive(Debug)]
pub(crate) struct Body {
    state: State,
    length: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes are left.
    Length(u64),
    UntilEnd,
    /// In a chunk's size, so far with this value and number of digits.
    Size(u64, u8),
    /// Behind the size, before its line's end.
    Extension(u64),
    SizeEnd(u64),
    /// So many bytes of the chunk are left.
    Chunk(u64),
    ChunkCr,
    ChunkLf,
    /// At the start of a trailer line.
    Trailer,
    TrailerLine,
    TrailerEnd,
    LastLf,
    Done,
}

/// Sizes of more digits don't fit into a signed 64-bit number.
const SIZE_DIGITS: u8 = 15;

impl Body {
    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size(0, 0),
            Framing::UntilEnd => State::UntilEnd,
        };
        Self { state, length: 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Only the end of the connection ends it.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.state == State::UntilEnd
    }

    /// Bytes of content so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Takes what belongs to the body from the start of `bytes`; the number of bytes taken.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let mut rest = bytes;
        while self.state != State::Done {
            rest = match self.state {
                State::UntilEnd => {
                    self.length += rest.len() as u64;
                    return Ok(bytes.len());
                }
                State::Length(left) => self.content(rest, left, State::Length, State::Done),
                State::Chunk(left) => self.content(rest, left, State::Chunk, State::ChunkCr),
                _ => match rest {
                    [byte, rest @ ..] => {
                        self.state = self.state.after(*byte)?;
                        rest
                    }
                    [] => break,
                },
            };
            if rest.is_empty() {
                break;
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Takes up to `left` bytes of content; what is behind them.
    fn content<'a>(
        &mut self,
        bytes: &'a [u8],
        left: u64,
        more: impl Fn(u64) -> State,
        done: State,
    ) -> &'a [u8] {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.length += taken as u64;
        let left = left - taken as u64;
        self.state = if left == 0 { done } else { more(left) };
        bytes.get(taken..).unwrap_or_default()
    }
}

impl State {
    /// The state after one byte of the chunked framing.
    fn after(self, byte: u8) -> Result<Self, &'static str> {
        match (self, byte) {
            (Self::Size(size, digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Ok(Self::Size(size * 16 + u64::from(digit), digits + 1))
            }
            (Self::Size(size, 1..), b';' | b' ' | b'\t') => Ok(Self::Extension(size)),
            (Self::Size(size, 1..) | Self::Extension(size), b'\r') => Ok(Self::SizeEnd(size)),
            (Self::Extension(size), byte) if byte != b'\n' => Ok(Self::Extension(size)),
            (Self::SizeEnd(0), b'\n') | (Self::TrailerEnd, b'\n') => Ok(Self::Trailer),
            (Self::SizeEnd(size), b'\n') => Ok(Self::Chunk(size)),
            (Self::ChunkCr, b'\r') => Ok(Self::ChunkLf),
            (Self::ChunkLf, b'\n') => Ok(Self::Size(0, 0)),
            (Self::Trailer, b'\r') => Ok(Self::LastLf),
            (Self::TrailerLine, b'\r') => Ok(Self::TrailerEnd),
            (Self::Trailer | Self::TrailerLine, byte) if byte != b'\n' => Ok(Self::TrailerLine),
            (Self::LastLf, b'\n') => Ok(Self::Done),
            _ => Err("wrong chunked framing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Length of the content and of the body on the wire, fed in pieces of at most `piece` bytes.
    fn read(framing: Framing, bytes: &[u8], piece: usize) -> Result<Option<(u64, usize)>, &'static str> {
        let (mut body, mut taken) = (Body::new(framing), 0);
        for bytes in bytes.chunks(piece) {
            taken += body.feed(bytes)?;
            if body.is_done() {
                return Ok(Some((body.length(), taken)));
            }
        }
        Ok(None)
    }

    #[test]
    fn chunked() {
        for (bytes, expected) in [
            ("0\r\n\r\n", Ok(Some((0, 5)))),
            ("5\r\nhello\r\n0\r\n\r\nHTTP", Ok(Some((5, 15)))),
            ("5;x=\"y\"\r\nhello\r\n00\r\nX: y\r\nZ: \r\n\r\n", Ok(Some((5, 33)))),
            ("1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0 \r\n\r\n", Ok(Some((26, 38)))),
            ("5\r\nhel", Ok(None)),
            ("5\nhello", Err(())),
            ("5\r\nhello0\r\n\r\n", Err(())),
            ("\r\n", Err(())),
            (";x\r\n", Err(())),
            ("-1\r\n", Err(())),
            ("0\r\nX: y\n\r\n", Err(())),
            ("1000000000000000\r\n", Err(())),
        ] {
            for piece in [1, 2, 3, 100] {
                let read = read(Framing::Chunked, bytes.as_bytes(), piece).map_err(|_wrong| ());
                assert_eq!(read, expected, "{bytes:?} by {piece}");
            }
        }
    }

    #[test]
    fn declared_length_and_end_of_connection() {
        assert_eq!(read(Framing::Length(3), b"abcdef", 2), Ok(Some((3, 3))));
        assert_eq!(read(Framing::Length(7), b"abcdef", 2), Ok(None));
        assert!(Body::new(Framing::Length(0)).is_done());
        let mut body = Body::new(Framing::UntilEnd);
        assert_eq!((body.feed(b"abc"), body.length(), body.is_done()), (Ok(3), 3, false));
    }

    proptest! {
        #[test]
        fn chunks_of_any_size_survive(sizes in proptest::collection::vec(1_usize..600, 0..20), piece in 1_usize..700) {
            let mut wire = Vec::new();
            for size in &sizes {
                wire.extend(format!("{size:x}\r\n").bytes());
                wire.extend(vec![b'\n'; *size]);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\n\r\n");
            let total: usize = sizes.iter().sum();
            prop_assert_eq!(read(Framing::Chunked, &wire, piece), Ok(Some((total as u64, wire.len()))));
        }

        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), piece in 1_usize..9) {
            let _ = read(Framing::Chunked, &bytes, piece);
        }
    }
}
