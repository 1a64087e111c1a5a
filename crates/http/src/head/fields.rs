//! The field lines of a head behind one interface.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::bytes::{digits, is_token_byte};
use super::spans::{Kind, Span, Spans};
use super::{Framing, InvalidField, Known, is_managed};

/// Field lines: ranges of the bytes that arrived, or a map.
///
/// Names are given in lower case and compared without regard to case. Several lines may have one name.
#[derive(Clone)]
pub struct Fields(pub(crate) Repr);

#[derive(Clone)]
pub(crate) enum Repr {
    Spans(Spans),
    Map(HeaderMap),
}

impl Fields {
    pub(crate) fn empty() -> Self {
        Self::spans(Spans::default())
    }

    pub(crate) fn spans(spans: Spans) -> Self {
        Self(Repr::Spans(spans))
    }

    /// The first value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        match &self.0 {
            Repr::Spans(spans) => spans.first(name),
            Repr::Map(map) => first(map, name).map(HeaderValue::as_bytes),
        }
    }

    /// Every value of a field, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let (spans, map) = match &self.0 {
            Repr::Spans(spans) => (Some(spans.all(name)), None),
            Repr::Map(map) => (None, Some(map.get_all(name).iter().map(HeaderValue::as_bytes))),
        };
        spans.into_iter().flatten().chain(map.into_iter().flatten())
    }

    /// The value of a field; several lines are joined by `,` as Envoy's matchers see them, cookies by `; `
    /// (RFC 9113 §8.2.3). Only a join allocates.
    #[must_use]
    pub fn joined(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let first = self.get(name)?;
        let separator: &[u8] = if name == "cookie" { b"; " } else { b"," };
        let mut joined = Cow::Borrowed(first);
        for value in self.get_all(name).skip(1) {
            let text = joined.to_mut();
            text.extend_from_slice(separator);
            text.extend_from_slice(value);
        }
        Some(joined)
    }

    /// Replaces every line of a field by one.
    ///
    /// # Errors
    /// If the name or the value is not well-formed or the field [is managed](is_managed); then nothing changes.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidField> {
        check_settable(name)?;
        check_value(value)?;
        match &mut self.0 {
            Repr::Spans(spans) => spans.replace(name, value, Kind::Verbatim),
            Repr::Map(map) => {
                map.insert(to_name(name)?, to_value(value)?);
            }
        }
        Ok(())
    }

    /// As [`Self::set`], for a name that is known to be well-formed.
    ///
    /// # Errors
    /// If the value is not well-formed; then nothing changes.
    pub fn put(&mut self, name: Known, value: &[u8]) -> Result<(), InvalidField> {
        let name = name.as_str();
        check_value(value)?;
        match &mut self.0 {
            Repr::Spans(spans) => spans.replace(name, value, Kind::Verbatim),
            Repr::Map(map) => {
                map.insert(name, to_value(value)?);
            }
        }
        Ok(())
    }

    /// As [`Self::put`], for a number, which is always well-formed.
    pub fn put_number(&mut self, name: Known, number: u64) {
        let name = name.as_str();
        match &mut self.0 {
            Repr::Spans(spans) => spans.replace(name, digits::<10>(number, &mut [0; 20]), Kind::Verbatim),
            Repr::Map(map) => {
                map.insert(name, HeaderValue::from(number));
            }
        }
    }

    /// Adds a line.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn append(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidField> {
        check_settable(name)?;
        check_value(value)?;
        match &mut self.0 {
            Repr::Spans(spans) => spans.push(name, value, Kind::Verbatim),
            Repr::Map(map) => {
                map.append(to_name(name)?, to_value(value)?);
            }
        }
        Ok(())
    }

    /// Removes every line of a field and says whether there was one. Managed fields stay.
    pub fn remove(&mut self, name: &str) -> bool {
        if is_managed(name) {
            return false;
        }
        match &mut self.0 {
            Repr::Spans(spans) => spans.remove(name),
            Repr::Map(map) => first(map, name).is_some() && map.remove(name).is_some(),
        }
    }

    /// Removes the fields whose names, in the case they were sent in, satisfy `unwanted`. Managed fields stay.
    pub fn remove_where(&mut self, mut unwanted: impl FnMut(&[u8]) -> bool) {
        match &mut self.0 {
            Repr::Spans(spans) => spans.remove_where(&mut unwanted),
            Repr::Map(map) => {
                let names: Vec<HeaderName> = map
                    .keys()
                    .filter(|name| !is_managed(name.as_str()) && unwanted(name.as_str().as_bytes()))
                    .cloned()
                    .collect();
                for name in names {
                    map.remove(name);
                }
            }
        }
    }

    /// Every line, managed ones included; names in the case they were sent in.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let (spans, map) = match &self.0 {
            Repr::Spans(spans) => (Some(spans.iter()), None),
            Repr::Map(map) => (None, Some(map.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))),
        };
        spans.into_iter().flatten().chain(map.into_iter().flatten())
    }

    /// The name of every line, managed ones included, in the case it was sent in.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        let (spans, map) = match &self.0 {
            Repr::Spans(spans) => (Some(spans.names()), None),
            Repr::Map(map) => (None, Some(map.keys().map(|name| name.as_str().as_bytes()))),
        };
        spans.into_iter().flatten().chain(map.into_iter().flatten())
    }

    /// Bytes that the lines take, `name: value` and line end counted: what access logs and limits call header size.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.0 {
            Repr::Spans(spans) => spans.size(),
            Repr::Map(map) => map.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum(),
        }
    }

    /// About how many bytes writing the fields takes, so that what they are written to doesn't grow in steps.
    pub(crate) fn written_size(&self) -> usize {
        match &self.0 {
            Repr::Spans(spans) => spans.buffer.len(),
            Repr::Map(map) => map.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum(),
        }
    }

    pub(crate) fn slice(&self, span: Span) -> &[u8] {
        match &self.0 {
            Repr::Spans(spans) => span.of(&spans.buffer),
            Repr::Map(_) => &[],
        }
    }

    /// Makes `content-length` say what the framing says.
    pub(crate) fn set_length(&mut self, framing: Framing) {
        let length = match framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Stream => None,
        };
        match &mut self.0 {
            Repr::Spans(spans) => {
                spans.remove("content-length");
                if let Some(length) = length {
                    spans.push("content-length", digits::<10>(length, &mut [0; 20]), Kind::Managed);
                }
            }
            Repr::Map(map) => match length {
                Some(length) => {
                    map.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                }
                None => {
                    map.remove(header::CONTENT_LENGTH);
                }
            },
        }
    }
}

impl fmt::Debug for Fields {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

fn check_settable(name: &str) -> Result<(), InvalidField> {
    if is_managed(name) { Err(InvalidField::Managed) } else { check_name(name) }
}

/// Up to so many lines are looked through: to hash a name costs about as much as to compare it with these.
const FEW: usize = 20;

/// The first value of a field, by its name in any case.
fn first<'m>(map: &'m HeaderMap, name: &str) -> Option<&'m HeaderValue> {
    if map.len() > FEW {
        return map.get(name);
    }
    map.iter().find(|(known, _)| known.as_str().eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A token in lower case.
fn check_name(name: &str) -> Result<(), InvalidField> {
    let ok = !name.is_empty()
        && name.len() <= usize::from(u16::MAX)
        && name.bytes().all(|b| is_token_byte(b) && !b.is_ascii_uppercase());
    if ok { Ok(()) } else { Err(InvalidField::Name) }
}

/// No control characters but TAB, and no blanks at the ends.
fn check_value(value: &[u8]) -> Result<(), InvalidField> {
    let bad = has_control(value) || value.trim_ascii().len() != value.len();
    if bad { Err(InvalidField::Value) } else { Ok(()) }
}

/// Whether there is a control character other than TAB. Without an early exit, so that it vectorizes.
pub(crate) fn has_control(value: &[u8]) -> bool {
    value.iter().fold(false, |bad, &b| bad | ((b < 0x20) & (b != b'\t')) | (b == 0x7f))
}

fn to_name(name: &str) -> Result<HeaderName, InvalidField> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_invalid| InvalidField::Name)
}

/// A value that was checked.
fn to_value(value: &[u8]) -> Result<HeaderValue, InvalidField> {
    HeaderValue::from_bytes(value).map_err(|_invalid| InvalidField::Value)
}
