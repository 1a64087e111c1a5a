//! Bodies on the wire (RFC 9112 §6, §7) as state machines without I/O.
//!
//! Decoding hands out slices of what was read, so data isn't copied. Invariant: a decoder takes exactly its body's
//! bytes, and whatever follows stays in the input.

mod chunked;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::HeaderMap;

use super::refusal::Refusal;
use chunked::Chunked;

/// What decoding yields.
#[derive(Debug)]
pub enum Decoded {
    /// Bytes of the body, never empty.
    Data(Bytes),
    /// Trailers; only [`Decoded::End`] follows.
    Trailers(HeaderMap),
    /// The body is complete.
    End,
    /// The input is used up.
    NeedMore,
}

/// Decodes one body.
#[derive(Debug)]
pub struct Decoder(Kind);

#[derive(Debug)]
enum Kind {
    Length(u64),
    Chunked(Box<Chunked>),
    UntilClose,
    Ended,
}

impl Decoder {
    /// A body of so many bytes.
    #[must_use]
    pub fn length(bytes: u64) -> Self {
        Self(if bytes == 0 { Kind::Ended } else { Kind::Length(bytes) })
    }

    /// A chunked body.
    #[must_use]
    pub fn chunked() -> Self {
        Self(Kind::Chunked(Box::default()))
    }

    /// A body that ends with the connection, or a tunnel.
    #[must_use]
    pub fn until_close() -> Self {
        Self(Kind::UntilClose)
    }

    /// Takes the next piece off `input`.
    ///
    /// # Errors
    /// If the bytes aren't well-formed; the connection then can't go on.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Decoded, Refusal> {
        if let Kind::Chunked(chunked) = &mut self.0 {
            let decoded = chunked.decode(input)?;
            if matches!(decoded, Decoded::End) {
                self.0 = Kind::Ended;
            }
            return Ok(decoded);
        }
        let data = match &mut self.0 {
            Kind::Ended => return Ok(Decoded::End),
            _ if input.is_empty() => return Ok(Decoded::NeedMore),
            Kind::Length(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= n as u64;
                if *left == 0 {
                    self.0 = Kind::Ended;
                }
                input.split_to(n)
            }
            Kind::UntilClose | Kind::Chunked(_) => std::mem::take(input),
        };
        Ok(Decoded::Data(data))
    }

    /// Whether `ahead`, the bytes that are here already of a chunked body, can be its beginning. A message whose body is
    /// known to be wrong needn't be begun.
    ///
    /// # Errors
    /// If they can't.
    pub fn check_chunked(ahead: &Bytes) -> Result<(), Refusal> {
        let (mut decoder, mut ahead) = (Self::chunked(), ahead.clone());
        while let Decoded::Data(_) = decoder.decode(&mut ahead)? {}
        Ok(())
    }

    /// Whether the body is complete.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.0, Kind::Ended)
    }

    /// Whether the end of the connection is the end of the body.
    #[must_use]
    pub fn may_end_by_close(&self) -> bool {
        matches!(self.0, Kind::UntilClose | Kind::Ended)
    }

    /// The most bytes that are still the body's, as far as known; `None` if it may go on without bound.
    #[must_use]
    pub fn at_most(&self) -> Option<u64> {
        match &self.0 {
            Kind::Length(left) => Some(*left),
            Kind::Ended => Some(0),
            Kind::Chunked(_) | Kind::UntilClose => None,
        }
    }
}
