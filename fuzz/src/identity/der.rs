//! DER as a plain reader takes it apart: tag, length, value.

/// One element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    /// The whole, tag and length included.
    pub(super) whole: &'a [u8],
    pub(super) value: &'a [u8],
}

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const OBJECT_ID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;

/// The element that the bytes begin with, and what follows it.
pub(super) fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |number, digit| number << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (value, after) = rest.split_at_checked(length)?;
    Some((Element { tag, whole: &bytes[..bytes.len() - after.len()], value }, after))
}

/// The elements that a value consists of.
pub(super) fn elements(value: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut all = Vec::new();
    let mut rest = value;
    while !rest.is_empty() {
        let (next, after) = element(rest)?;
        all.push(next);
        rest = after;
    }
    Some(all)
}
