//! B3, the trace context of Zipkin: ids and a decision in one header, or in several.
//!
//! Both forms say the same ([`Given`]); a value that is wrong in any way says nothing. Ids are lower-case hex, trace ids
//! of 64 or 128 bits. Where a caller leaves the decision to whom it calls, so does this.

use crate::id::hex;
use crate::trace::{TraceContext, field};

#[cfg(test)]
mod tests;

/// The header that carries everything.
pub const SINGLE: &str = "b3";
/// The trace id.
pub const TRACE_ID: &str = "x-b3-traceid";
/// The span id.
pub const SPAN_ID: &str = "x-b3-spanid";
/// The parent's span id.
pub const PARENT_SPAN_ID: &str = "x-b3-parentspanid";
/// The decision.
pub const SAMPLED: &str = "x-b3-sampled";
/// The decision that nobody may overrule.
pub const FLAGS: &str = "x-b3-flags";

/// Whether a caller wants its trace recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// It leaves that to whom it calls.
    #[default]
    Open,
    /// No.
    Skip,
    /// Yes.
    Record,
    /// Yes, and by everybody (B3's debug flag).
    Debug,
}

impl Wish {
    /// The decision, where there is one.
    pub fn decision(self) -> Option<bool> {
        match self {
            Self::Open => None,
            Self::Skip => Some(false),
            Self::Record | Self::Debug => Some(true),
        }
    }
}

/// What a request's headers say of its trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The caller's place; `None` where the trace begins with the request.
    pub parent: Option<TraceContext>,
    /// Whether to record it.
    pub wish: Wish,
}

/// Reads the single header: `TRACE-SPAN`, `TRACE-SPAN-DECISION`, `TRACE-SPAN-DECISION-PARENT`, or a decision alone.
pub fn single(value: &[u8]) -> Option<Given> {
    let mut parts = value.split(|byte| *byte == b'-');
    let first = parts.next()?;
    let Some(span) = parts.next() else { return Some(Given { parent: None, wish: decision(first)? }) };
    let wish = match parts.next() {
        Some(letter) => decision(letter)?,
        None => Wish::Open,
    };
    if let Some(parent) = parts.next() {
        number(parent, 16)?;
    }
    if parts.next().is_some() {
        return None;
    }
    place(first, span, wish)
}

fn decision(letter: &[u8]) -> Option<Wish> {
    match letter {
        b"0" => Some(Wish::Skip),
        b"1" => Some(Wish::Record),
        b"d" => Some(Wish::Debug),
        _ => None,
    }
}

/// Reads the several headers, each with its value if it is there once.
pub fn several(
    trace: Option<&[u8]>,
    span: Option<&[u8]>,
    sampled: Option<&[u8]>,
    flags: Option<&[u8]>,
) -> Option<Given> {
    let wish = match (flags, sampled) {
        (Some(b"1"), _) => Wish::Debug,
        (_, Some(b"1")) => Wish::Record,
        (_, Some(b"0")) => Wish::Skip,
        // What early libraries sent.
        (_, Some(word)) if word.eq_ignore_ascii_case(b"true") => Wish::Record,
        (_, Some(word)) if word.eq_ignore_ascii_case(b"false") => Wish::Skip,
        (_, Some(_)) => return None,
        (_, None) => Wish::Open,
    };
    match (trace, span) {
        (Some(trace), Some(span)) => place(trace, span, wish),
        (None, None) if wish != Wish::Open => Some(Given { parent: None, wish }),
        _ => None,
    }
}

fn place(trace: &[u8], span: &[u8], wish: Wish) -> Option<Given> {
    let trace = number(trace, 32).or_else(|| number(trace, 16))?;
    let span = u64::try_from(number(span, 16)?).ok()?;
    let parent = TraceContext::named(trace, span, wish.decision().unwrap_or(false))?;
    Some(Given { parent: Some(parent), wish })
}

fn number(text: &[u8], digits: usize) -> Option<u128> {
    field(text, digits).and_then(|(number, rest)| rest.is_empty().then_some(number))
}

/// An id in hex.
#[derive(Clone, Copy)]
pub(crate) struct Id([u8; 32], usize);

impl Id {
    /// A trace's. One that fits into 64 bits is written in 16 digits, for those who know no others.
    pub(crate) fn of_trace(id: u128) -> Self {
        let mut text = [0; 32];
        hex(&mut text, &id.to_be_bytes());
        match u64::try_from(id) {
            Ok(low) => Self::of_span(low),
            Err(_wide) => Self(text, 32),
        }
    }

    /// A span's.
    pub(crate) fn of_span(id: u64) -> Self {
        let mut text = [0; 32];
        hex(text.split_at_mut(16).0, &id.to_be_bytes());
        Self(text, 16)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.split_at_checked(self.1).map_or(&[], |(text, _)| text)
    }
}

/// The single header's value.
pub(crate) fn write(context: &TraceContext, parent: Option<u64>, wish: Wish) -> Vec<u8> {
    let mut text = Vec::with_capacity(68);
    text.extend_from_slice(Id::of_trace(context.trace_id()).as_bytes());
    text.push(b'-');
    text.extend_from_slice(Id::of_span(context.span_id()).as_bytes());
    text.extend_from_slice(match wish {
        Wish::Debug => b"-d",
        _ if context.is_sampled() => b"-1",
        _ => b"-0",
    });
    if let Some(parent) = parent {
        text.push(b'-');
        text.extend_from_slice(Id::of_span(parent).as_bytes());
    }
    text
}
