//! The field lines of a head.

use std::borrow::Cow;
use std::fmt;

use super::bytes::{any_of, controls, is_lower_token};
use super::spans::{Kind, Name, Span, Spans};
use super::{Framing, InvalidField, Known, is_managed};

/// Field lines.
///
/// Names are given in lower case and compared without regard to case. Several lines may have one name.
#[derive(Clone)]
pub struct Fields(pub(crate) Spans);

/// A value that is known to be well-formed, for what is written into many heads.
#[derive(Clone)]
pub struct Value(Box<[u8]>);

impl Value {
    /// A copy of these bytes.
    ///
    /// # Errors
    /// If they aren't well-formed.
    pub fn new(value: &[u8]) -> Result<Self, InvalidField> {
        check_value(value)?;
        Ok(Self(value.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Value {
    /// Its length only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.0.len())
    }
}

impl Fields {
    pub(crate) fn empty() -> Self {
        Self(Spans::default())
    }

    /// The first value of a field.
    #[inline]
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.first(Name::of(name.as_bytes()))
    }

    /// Every value of a field, in order.
    #[inline]
    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.all(Name::of(name.as_bytes()))
    }

    /// The value of a field; several lines are joined by `,` as Envoy's matchers see them, cookies by `; `
    /// (RFC 9113 §8.2.3). Only a join allocates.
    #[must_use]
    pub fn joined(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let mut values = self.get_all(name);
        let mut joined = Cow::Borrowed(values.next()?);
        let separator: &[u8] = if name == "cookie" { b"; " } else { b"," };
        for value in values {
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
        self.0.replace(Name::of(name.as_bytes()), value, Kind::Verbatim);
        Ok(())
    }

    /// As [`Self::set`], for a name that is known to be well-formed.
    ///
    /// # Errors
    /// If the value is not well-formed; then nothing changes.
    #[inline]
    pub fn put(&mut self, name: Known, value: &[u8]) -> Result<(), InvalidField> {
        check_value(value)?;
        self.0.replace(name.tagged, value, Kind::Verbatim);
        Ok(())
    }

    /// As [`Self::put`], for a value that is known to be well-formed.
    #[inline]
    pub fn put_value(&mut self, name: Known, value: &Value) {
        self.0.replace(name.tagged, value.as_bytes(), Kind::Verbatim);
    }

    /// As [`Self::put`], for a number, which is always well-formed.
    #[inline]
    pub fn put_number(&mut self, name: Known, number: u64) {
        self.0.replace(name.tagged, itoa::Buffer::new().format(number).as_bytes(), Kind::Verbatim);
    }

    /// Whether there is a line of this name.
    #[inline]
    #[must_use]
    pub fn has(&self, name: Known) -> bool {
        self.0.first(name.tagged).is_some()
    }

    /// As [`Self::remove`], for a name that is known not to be managed.
    #[inline]
    pub fn unset(&mut self, name: Known) -> bool {
        self.0.remove(name.tagged)
    }

    /// As [`Self::unset`], and shows every value that was there, in order.
    #[inline]
    pub fn take(&mut self, name: Known, show: impl FnMut(&[u8])) -> bool {
        self.0.take(name.tagged, show)
    }

    /// Adds a line.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn append(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidField> {
        check_settable(name)?;
        check_value(value)?;
        self.0.push(Name::of(name.as_bytes()), value, Kind::Verbatim, false);
        Ok(())
    }

    /// Removes every line of a field and says whether there was one. Managed fields stay.
    #[inline]
    pub fn remove(&mut self, name: &str) -> bool {
        !is_managed(name) && self.0.remove(Name::of(name.as_bytes()))
    }

    /// Removes the fields whose names, in the case they were sent in, satisfy `unwanted`. Managed fields stay.
    pub fn remove_where(&mut self, mut unwanted: impl FnMut(&[u8]) -> bool) {
        self.0.remove_where(&mut unwanted);
    }

    /// Every line, managed ones included; names in the case they were sent in.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter()
    }

    /// Every line that isn't managed, as bytes, and whether it is secret.
    pub(crate) fn of_others(&self) -> impl Iterator<Item = (&[u8], &[u8], bool)> {
        self.0.of_others()
    }

    /// The name of every line, managed ones included, in the case it was sent in.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.names()
    }

    /// Bytes that the lines take, `name: value` and line end counted: what access logs and limits call header size.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// About how many bytes writing the fields takes, so that what they are written to doesn't grow in steps.
    pub(crate) fn written_size(&self) -> usize {
        self.0.buffer.len()
    }

    pub(crate) fn slice(&self, span: Span) -> &[u8] {
        span.of(&self.0.buffer)
    }

    /// Makes `content-length` say what the framing says.
    pub(crate) fn set_length(&mut self, framing: Framing) {
        let name = Name::of(b"content-length");
        self.0.remove(name);
        if let Framing::Length(length) = framing {
            self.0.push(name, itoa::Buffer::new().format(length).as_bytes(), Kind::Managed, false);
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

fn check_name(name: &str) -> Result<(), InvalidField> {
    let ok = name.len() <= usize::from(u16::MAX) && is_lower_token(name.as_bytes());
    if ok { Ok(()) } else { Err(InvalidField::Name) }
}

/// No control characters but TAB, and no blanks at the ends.
fn check_value(value: &[u8]) -> Result<(), InvalidField> {
    let bad = has_control(value) || value.trim_ascii().len() != value.len();
    if bad { Err(InvalidField::Value) } else { Ok(()) }
}

/// Whether there is a control character other than TAB.
pub(crate) fn has_control(value: &[u8]) -> bool {
    any_of(value, |bytes| controls(bytes) & !bytes.are(b'\t'))
}
