//! W3C Trace Context: who called whom, across processes.
//!
//! [`TraceContext::received`] reads what came in, [`TraceContext::child`] makes what goes out. A `traceparent` that is
//! wrong in any way starts a new trace, and its `tracestate` is dropped with it (Trace Context §3.2.2.5, §4.3). A
//! `tracestate` that is wrong is dropped alone. Nothing here decides what is sampled, nor exports spans, nor knows
//! headers: [`crate::propagation`] does.

use std::fmt;
use std::str;

use crate::id::{Ids, hex};
use crate::limits::{TRACESTATE_BYTES, TRACESTATE_MEMBERS};

#[cfg(test)]
mod tests;

/// The header that carries the ids.
pub const TRACEPARENT: &str = "traceparent";
/// The header that carries what tracing systems add.
pub const TRACESTATE: &str = "tracestate";

/// The caller's decision to record.
const SAMPLED: u8 = 0b01;
/// The trace id's lower half is random (Trace Context Level 2).
const RANDOM: u8 = 0b10;

/// One place in one trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceContext {
    /// What came with a request. `parents` are the values of all `traceparent` fields; more than one is none.
    pub fn received<'a>(parents: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut parents = parents.into_iter();
        let parent = parents.next()?;
        if parents.next().is_some() {
            return None;
        }
        Self::parse(parent)
    }

    /// A place that another format names. `None` where one of the ids is zero.
    pub(crate) fn named(trace_id: u128, span_id: u64, sampled: bool) -> Option<Self> {
        let flags = if sampled { SAMPLED } else { 0 };
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, flags })
    }

    /// Reads a `traceparent`: version, trace id, parent id and flags in lower-case hex. Later versions may append to
    /// it (§3.2.4).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (version, rest) = field(value, 2)?;
        let (trace_id, rest) = field(separated(rest)?, 32)?;
        let (span_id, rest) = field(separated(rest)?, 16)?;
        let (flags, rest) = field(separated(rest)?, 2)?;
        let ends = match version {
            0xff => false,
            0 => rest.is_empty(),
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        let (span_id, flags) = (u64::try_from(span_id).ok()?, u8::try_from(flags).ok()?);
        (ends && trace_id != 0 && span_id != 0).then_some(Self {
            trace_id,
            span_id,
            // A later version's other flags mean something that isn't known here.
            flags: flags & (SAMPLED | RANDOM),
        })
    }

    /// The beginning of a trace.
    pub fn root(ids: &mut Ids, sampled: bool) -> Self {
        let flags = if sampled { SAMPLED | RANDOM } else { RANDOM };
        Self { trace_id: ids.trace_id(), span_id: ids.span_id(), flags }
    }

    /// The same place, recorded or not.
    #[must_use]
    pub fn sampled(self, sampled: bool) -> Self {
        let flags = if sampled { self.flags | SAMPLED } else { self.flags & !SAMPLED };
        Self { flags, ..self }
    }

    /// The next hop of the same trace: all that changes is the span.
    pub fn child(&self, ids: &mut Ids) -> Self {
        Self { span_id: ids.span_id(), ..*self }
    }

    /// Names the trace.
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// Names the span that is the parent of what the receiver does.
    pub fn span_id(&self) -> u64 {
        self.span_id
    }

    /// Whether the caller records this trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Its flags.
    pub(crate) fn flags(&self) -> u8 {
        self.flags
    }

    /// The value for `traceparent`.
    pub fn header(&self) -> TraceParent {
        let mut text = [b'-'; 55];
        let (version, rest) = text.split_at_mut(3);
        let (trace, rest) = rest.split_at_mut(33);
        let (span, flags) = rest.split_at_mut(17);
        hex(version, &[0]);
        hex(trace, &self.trace_id.to_be_bytes());
        hex(span, &self.span_id.to_be_bytes());
        hex(flags, &[self.flags]);
        TraceParent(text)
    }
}

/// Reads a number of exactly `digits` lower-case digits.
pub(crate) fn field(value: &[u8], digits: usize) -> Option<(u128, &[u8])> {
    let (digits, rest) = value.split_at_checked(digits)?;
    let number = digits.iter().try_fold(0_u128, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })?;
    Some((number, rest))
}

fn separated(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"-")
}

/// A value for `traceparent`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceParent([u8; 55]);

impl TraceParent {
    /// Its text.
    pub fn as_bytes(&self) -> &[u8; 55] {
        &self.0
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What becomes of the `tracestate` of a request whose `traceparent` is believed. Nothing is added to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceState {
    /// There is none.
    Absent,
    /// One field, which goes on as it is.
    AsItCame,
    /// Several fields, which go on as one (§3.3.1).
    Joined(String),
    /// It goes no further: it says nothing, a member is malformed, or there is too much of it.
    Dropped,
}

impl TraceState {
    /// Reads all `tracestate` fields as one list. A key that comes twice is carried on, as the specification's own tests
    /// want it.
    pub fn read<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return Self::Absent };
        let mut members = 0;
        let mut read = |value| str::from_utf8(value).ok().filter(|text| are_members(text, &mut members));
        let Some(first) = read(first) else { return Self::Dropped };
        let mut joined: Option<String> = None;
        for value in values {
            let Some(text) = read(value) else { return Self::Dropped };
            let joined = joined.get_or_insert_with(|| first.to_owned());
            if joined.len() + text.len() >= TRACESTATE_BYTES {
                return Self::Dropped;
            }
            if !joined.is_empty() && !text.is_empty() {
                joined.push(',');
            }
            joined.push_str(text);
        }
        match (members, joined) {
            (0, _) => Self::Dropped,
            (_, Some(joined)) => Self::Joined(joined),
            (_, None) if first.len() > TRACESTATE_BYTES => Self::Dropped,
            (_, None) => Self::AsItCame,
        }
    }
}

/// Whether these are members of a list, which with those before are no more than allowed.
fn are_members(list: &str, members: &mut usize) -> bool {
    // Empty members are allowed, and mean nothing.
    let given = list.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|m| !m.is_empty());
    for member in given {
        *members += 1;
        let is_pair = member.split_once('=').is_some_and(|(key, value)| is_key(key) && is_value(value));
        if !is_pair || *members > TRACESTATE_MEMBERS {
            return false;
        }
    }
    true
}

/// Up to 256 of `a-z 0-9 _ - * / @`, a letter or digit first (Level 2, which allows all that Level 1 does).
fn is_key(key: &str) -> bool {
    let first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    key.len() <= 256
        && key.bytes().next().is_some_and(first)
        && key.bytes().all(|b| first(b) || matches!(b, b'_' | b'-' | b'*' | b'/' | b'@'))
}

/// 1 to 256 printable characters without `,` and `=`, of which the last is no space.
fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && value.bytes().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b',' | b'='))
        && !value.ends_with(' ')
}
