//! One field line (RFC 9112 §5): name, colon, value, CRLF.

use super::{Refusal, Stop};
use crate::head::{controls, token_len};

/// Ranges of a field line in the bytes it was parsed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldLine {
    pub(super) name_start: usize,
    pub(super) name_end: usize,
    /// The value without surrounding blanks.
    pub(super) value_start: usize,
    pub(super) value_end: usize,
    /// The first byte after the line.
    pub(super) next: usize,
}

impl FieldLine {
    /// Whether the line is `value CRLF` without blanks between.
    pub(super) fn is_tight(&self) -> bool {
        self.value_end + 2 == self.next
    }

    pub(super) fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.name_start..self.name_end).unwrap_or_default()
    }

    pub(super) fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.value_start..self.value_end).unwrap_or_default()
    }
}

/// What stands at the beginning of a line of a field section.
pub(super) enum Next {
    Field(FieldLine),
    /// The empty line; the position after it.
    End(usize),
}

/// Reads the line that begins at `start`.
#[inline]
pub(super) fn field_line(bytes: &[u8], start: usize) -> Result<Next, Stop> {
    let rest = bytes.get(start..).unwrap_or_default();
    let name_len = token_len(rest);
    let name_end = start + name_len;
    match rest.get(name_len) {
        None => return Err(Stop::NeedMore),
        Some(b':') if name_len > 0 => {}
        Some(b'\r') if name_len == 0 => {
            return match rest.get(1) {
                Some(b'\n') => Ok(Next::End(start + 2)),
                Some(_) => Err(Refusal::BareCr.into()),
                None => Err(Stop::NeedMore),
            };
        }
        Some(b' ' | b'\t') if name_len == 0 => return Err(Refusal::Fold.into()),
        Some(b' ' | b'\t') => return Err(Refusal::BlankBeforeColon.into()),
        Some(b'\n') if name_len == 0 => return Err(Refusal::BareLf.into()),
        _ => return Err(Refusal::FieldName.into()),
    }
    let mut value_start = name_end + 1;
    while let Some(b' ' | b'\t') = bytes.get(value_start) {
        value_start += 1;
    }
    let cr = line_end(bytes, value_start)?;
    let mut value_end = cr;
    while value_end > value_start && matches!(bytes.get(value_end - 1), Some(b' ' | b'\t')) {
        value_end -= 1;
    }
    Ok(Next::Field(FieldLine { name_start: start, name_end, value_start, value_end, next: cr + 2 }))
}

/// The position of the CR of the CRLF that ends the line at `start`, if no other control character than TAB comes
/// before it.
pub(super) fn line_end(bytes: &[u8], start: usize) -> Result<usize, Stop> {
    let mut at = start;
    loop {
        at = match next_control(bytes, at) {
            Some(found) => found,
            None => return Err(Stop::NeedMore),
        };
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'\t'), _) => at += 1,
            (Some(b'\r'), Some(b'\n')) => return Ok(at),
            (Some(b'\r'), None) => return Err(Stop::NeedMore),
            (Some(b'\r'), Some(_)) => return Err(Refusal::BareCr.into()),
            (Some(b'\n'), _) => return Err(Refusal::BareLf.into()),
            _ => return Err(Refusal::Control.into()),
        }
    }
}

/// The position of the first control character (below 0x20, or DEL) from `start` on, eight bytes at a time.
fn next_control(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    let rest = bytes.get(start..)?;
    let (words, tail) = rest.as_chunks::<8>();
    for word in words {
        let hits = controls(*word);
        if hits != 0 {
            return Some(at + (hits.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    tail.iter().position(|b| *b < 0x20 || *b == 0x7f).map(|found| at + found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::is_token_byte;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tokens_end_where_bytes_say(name in "[a-z_A-Z0-9-]{0,20}", after: Vec<u8>) {
            let bytes = [name.as_bytes(), &after].concat();
            let slow = bytes.iter().position(|b| !is_token_byte(*b)).unwrap_or(bytes.len());
            prop_assert_eq!(token_len(&bytes), slow);
        }

        #[test]
        fn every_byte_ends_a_token_or_not(byte: u8, at in 0_usize..8) {
            let mut bytes = *b"abcdefgh:";
            bytes[at] = byte;
            let slow = bytes.iter().position(|b| !is_token_byte(*b)).unwrap_or(bytes.len());
            prop_assert_eq!(token_len(&bytes), slow);
        }

        #[test]
        fn words_find_what_bytes_find(bytes: Vec<u8>, start in 0_usize..4) {
            let slow = bytes.iter().enumerate().skip(start).find(|(_, b)| **b < 0x20 || **b == 0x7f).map(|(at, _)| at);
            prop_assert_eq!(next_control(&bytes, start.min(bytes.len())), slow);
        }
    }
}
