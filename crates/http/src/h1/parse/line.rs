//! One field line (RFC 9112 §5): name, colon, value, CRLF.

use super::{Refusal, Stop};
use crate::head::{controls, position_of, token_len};

/// A field line.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldLine<'b> {
    pub(super) name: &'b [u8],
    /// The value without surrounding blanks.
    pub(super) value: &'b [u8],
    /// Where the value begins.
    pub(super) value_start: usize,
    /// The first byte after the line.
    pub(super) next: usize,
}

impl FieldLine<'_> {
    /// Whether the line is `value CRLF` without blanks between.
    pub(super) fn is_tight(&self) -> bool {
        self.value_start + self.value.len() + 2 == self.next
    }
}

/// What stands at the beginning of a line of a field section.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next<'b> {
    Field(FieldLine<'b>),
    /// The empty line; the position after it.
    End(usize),
}

/// Reads the line that begins at `start`.
#[inline]
pub(super) fn field_line(bytes: &[u8], start: usize) -> Result<Next<'_>, Stop> {
    let rest = bytes.get(start..).unwrap_or_default();
    if rest.starts_with(b"\r\n") {
        return Ok(Next::End(start + 2));
    }
    let (name, mut rest) = match rest.split_at_checked(token_len(rest)) {
        Some((name, [b':', rest @ ..])) if !name.is_empty() => (name, rest),
        split => return Err(no_field(split.unwrap_or_default())),
    };
    while let [b' ' | b'\t', behind @ ..] = rest {
        rest = behind;
    }
    let value_start = bytes.len() - rest.len();
    let len = line_len(rest)?;
    let mut value = rest.get(..len).unwrap_or_default();
    while let [before @ .., b' ' | b'\t'] = value {
        value = before;
    }
    Ok(Next::Field(FieldLine { name, value, value_start, next: value_start + len + 2 }))
}

/// What is wrong with a line that doesn't begin with a name and a colon.
#[cold]
fn no_field((name, rest): (&[u8], &[u8])) -> Stop {
    match rest {
        [] => Stop::NeedMore,
        [b'\r'] if name.is_empty() => Stop::NeedMore,
        [b'\r', ..] if name.is_empty() => Refusal::BareCr.into(),
        [b' ' | b'\t', ..] if name.is_empty() => Refusal::Fold.into(),
        [b' ' | b'\t', ..] => Refusal::BlankBeforeColon.into(),
        [b'\n', ..] if name.is_empty() => Refusal::BareLf.into(),
        _ => Refusal::FieldName.into(),
    }
}

/// The position of the CR of the CRLF that ends the line at `start`, if no other control character than TAB comes
/// before it.
pub(super) fn line_end(bytes: &[u8], start: usize) -> Result<usize, Stop> {
    line_len(bytes.get(start..).unwrap_or_default()).map(|len| start + len)
}

/// How long the line is that the bytes begin with, without its CRLF.
#[inline]
fn line_len(bytes: &[u8]) -> Result<usize, Stop> {
    let at = position_of(bytes, controls).ok_or(Stop::NeedMore)?;
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(b"\r\n") => Ok(at),
        _ => behind_tabs(bytes, at),
    }
}

/// The same for a line with a control character at `at` that isn't its end.
#[cold]
fn behind_tabs(bytes: &[u8], mut at: usize) -> Result<usize, Stop> {
    loop {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'\t'), _) => at += 1,
            (Some(b'\r'), Some(b'\n')) => return Ok(at),
            (Some(b'\r'), None) => return Err(Stop::NeedMore),
            (Some(b'\r'), Some(_)) => return Err(Refusal::BareCr.into()),
            (Some(b'\n'), _) => return Err(Refusal::BareLf.into()),
            _ => return Err(Refusal::Control.into()),
        }
        let rest = bytes.get(at..).unwrap_or_default();
        at += position_of(rest, controls).ok_or(Stop::NeedMore)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::is_token_byte;
    use proptest::prelude::*;

    /// What [`field_line`] does, a byte at a time.
    fn by_bytes(bytes: &[u8]) -> Result<Next<'_>, Stop> {
        let name = bytes.iter().position(|b| !is_token_byte(*b)).unwrap_or(bytes.len());
        match bytes.get(name) {
            None => return Err(Stop::NeedMore),
            Some(b':') if name > 0 => {}
            Some(b'\r') if name == 0 => {
                return match bytes.get(1) {
                    Some(b'\n') => Ok(Next::End(2)),
                    Some(_) => Err(Refusal::BareCr.into()),
                    None => Err(Stop::NeedMore),
                };
            }
            Some(b' ' | b'\t') if name == 0 => return Err(Refusal::Fold.into()),
            Some(b' ' | b'\t') => return Err(Refusal::BlankBeforeColon.into()),
            Some(b'\n') if name == 0 => return Err(Refusal::BareLf.into()),
            Some(_) => return Err(Refusal::FieldName.into()),
        }
        let is_blank = |at: usize| matches!(bytes.get(at), Some(b' ' | b'\t'));
        let start = (name + 1..).find(|at| !is_blank(*at)).unwrap();
        let mut end = start;
        loop {
            match (bytes.get(end), bytes.get(end + 1)) {
                (None, _) | (Some(b'\r'), None) => return Err(Stop::NeedMore),
                (Some(b'\r'), Some(b'\n')) => break,
                (Some(b'\r'), _) => return Err(Refusal::BareCr.into()),
                (Some(b'\n'), None | Some(_)) => return Err(Refusal::BareLf.into()),
                (Some(byte), _) if *byte != b'\t' && (*byte < 0x20 || *byte == 0x7f) => {
                    return Err(Refusal::Control.into());
                }
                _ => end += 1,
            }
        }
        let last = (start..end).rev().find(|at| !is_blank(*at)).map_or(start, |last| last + 1);
        let (name, value) = (&bytes[..name], &bytes[start..last]);
        Ok(Next::Field(FieldLine { name, value, value_start: start, next: end + 2 }))
    }

    proptest! {
        #[test]
        fn lines_are_read_as_bytes_say(
            name in "[a-zA-Z0-9_-]{0,20}",
            colon in "(: ?|:\t?)?",
            value in "[a-z ]{0,24}",
            odd in "[\0\t\r\n\x7f\u{e9}:\" ]{0,3}",
            more in "[a-z \t]{0,20}",
            end in "(\r\n|\n|\r|)[a-z]{0,20}",
        ) {
            let line = [name, colon, value, odd, more, end].concat();
            for len in 0..=line.len() {
                let bytes = &line.as_bytes()[..len];
                prop_assert_eq!(format!("{:?}", field_line(bytes, 0)), format!("{:?}", by_bytes(bytes)), "{:?}", bytes);
            }
        }

        #[test]
        fn tokens_end_where_bytes_say(name in "[a-z_A-Z0-9-]{0,20}", after: Vec<u8>) {
            let bytes = [name.as_bytes(), &after].concat();
            let slow = bytes.iter().position(|b| !is_token_byte(*b)).unwrap_or(bytes.len());
            prop_assert_eq!(token_len(&bytes), slow);
        }

        #[test]
        fn every_byte_ends_a_token_or_not(byte: u8, at in 0_usize..24) {
            let mut bytes = *b"abcdefgh-0123456789AZaz9:";
            bytes[at] = byte;
            let slow = bytes.iter().position(|b| !is_token_byte(*b)).unwrap_or(bytes.len());
            prop_assert_eq!(token_len(&bytes), slow);
        }

        #[test]
        fn chunks_find_what_bytes_find(bytes: Vec<u8>, start in 0_usize..4) {
            let slow = bytes.iter().enumerate().skip(start).find(|(_, b)| **b < 0x20 || **b == 0x7f).map(|(at, _)| at);
            let rest = bytes.get(start..).unwrap_or_default();
            prop_assert_eq!(position_of(rest, controls).map(|at| start + at), slow);
        }
    }
}
