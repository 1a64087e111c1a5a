//! Trace context on requests: which headers are read, which are written, and what becomes of the others.
//!
//! Formats are asked in the order in which they are configured, and the first that says anything counts; of B3's two
//! forms, the single header comes first. What goes on is written in all of them, so that they never contradict each
//! other. Headers of formats that aren't configured are strangers and stay as they are.

use crate::b3::{self, Given, Wish};
use crate::id::Ids;
use crate::sampling::Sampler;
use crate::trace::{TRACEPARENT, TRACESTATE, TraceContext, TraceState};

#[cfg(test)]
mod tests;

/// Headers of a request.
pub trait Carrier {
    /// The values of all fields of a name, in order.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;

    /// Replaces all fields of a name by one.
    fn set(&mut self, name: &'static str, value: &[u8]);

    /// Removes all fields of a name.
    fn remove(&mut self, name: &'static str);
}

/// A way to write trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `traceparent` and `tracestate`.
    W3c,
    /// The header `b3`.
    B3,
    /// The headers `x-b3-…`.
    B3Multi,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::W3c, Self::B3, Self::B3Multi];

    /// Its name in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::W3c => "w3c",
            Self::B3 => "b3",
            Self::B3Multi => "b3multi",
        }
    }

    /// The format of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// The formats in use, in the order in which they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagation([Option<Format>; 3]);

impl Default for Propagation {
    fn default() -> Self {
        Self([Some(Format::W3c), None, None])
    }
}

/// A request's place in its trace as it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The span that is the parent of what the receiver does.
    pub context: TraceContext,
    /// That span's own parent.
    pub parent: Option<u64>,
    /// What was wished of the trace.
    pub wish: Wish,
}

impl Place {
    /// The next span of what was given, or the first of a new trace.
    pub fn begin(given: &Given, sampler: &Sampler, ids: &mut Ids) -> Self {
        let context = match &given.parent {
            Some(parent) => parent.child(ids),
            None => TraceContext::root(ids, false),
        };
        Self {
            context: context.sampled(sampler.decide(given, context.trace_id())),
            parent: given.parent.map(|parent| parent.span_id()),
            wish: given.wish,
        }
    }

    /// A span below this one.
    pub fn below(&self, ids: &mut Ids) -> Self {
        Self { context: self.context.child(ids), parent: Some(self.context.span_id()), ..*self }
    }
}

impl Propagation {
    /// These formats, each once. `None` where there is none.
    pub fn of(formats: impl IntoIterator<Item = Format>) -> Option<Self> {
        let mut known = [None; 3];
        for format in formats {
            if known.contains(&Some(format)) {
                continue;
            }
            if let Some(free) = known.iter_mut().find(|known| known.is_none()) {
                *free = Some(format);
            }
        }
        (known != [None; 3]).then_some(Self(known))
    }

    /// The formats, in order.
    pub fn formats(&self) -> impl Iterator<Item = Format> {
        self.0.into_iter().flatten()
    }

    fn has(&self, format: Format) -> bool {
        self.0.contains(&Some(format))
    }

    /// What a request's headers say.
    pub fn read(&self, headers: &impl Carrier) -> Given {
        let given = |format| match format {
            Format::W3c => w3c(headers),
            Format::B3 | Format::B3Multi => b3(headers),
        };
        self.formats().find_map(given).unwrap_or_default()
    }

    /// Makes the headers say where the request is now.
    pub fn write(&self, place: &Place, headers: &mut impl Carrier) {
        if self.has(Format::W3c) {
            write_w3c(place, headers);
        }
        if !self.has(Format::B3) && !self.has(Format::B3Multi) {
            return;
        }
        let Place { context, parent, wish } = *place;
        if self.has(Format::B3) {
            headers.set(b3::SINGLE, &b3::write(&context, parent, wish));
        } else {
            headers.remove(b3::SINGLE);
        }
        for name in [b3::TRACE_ID, b3::SPAN_ID, b3::PARENT_SPAN_ID, b3::SAMPLED, b3::FLAGS] {
            headers.remove(name);
        }
        if self.has(Format::B3Multi) {
            headers.set(b3::TRACE_ID, b3::Id::of_trace(context.trace_id()).as_bytes());
            headers.set(b3::SPAN_ID, b3::Id::of_span(context.span_id()).as_bytes());
            if let Some(parent) = parent {
                headers.set(b3::PARENT_SPAN_ID, b3::Id::of_span(parent).as_bytes());
            }
            match wish {
                // It stands for the decision.
                Wish::Debug => headers.set(b3::FLAGS, b"1"),
                _ => headers.set(b3::SAMPLED, if context.is_sampled() { b"1" } else { b"0" }),
            }
        }
    }
}

fn w3c(headers: &impl Carrier) -> Option<Given> {
    let parent = TraceContext::received(headers.all(TRACEPARENT))?;
    let wish = if parent.is_sampled() { Wish::Record } else { Wish::Skip };
    Some(Given { parent: Some(parent), wish })
}

fn b3(headers: &impl Carrier) -> Option<Given> {
    once(headers, b3::SINGLE).and_then(b3::single).or_else(|| {
        b3::several(
            once(headers, b3::TRACE_ID),
            once(headers, b3::SPAN_ID),
            once(headers, b3::SAMPLED),
            once(headers, b3::FLAGS),
        )
    })
}

/// The value of a field that is there once.
fn once<'a>(headers: &'a impl Carrier, name: &'a str) -> Option<&'a [u8]> {
    let mut values = headers.all(name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// A `tracestate` belongs to its `traceparent`: it goes on only where that does, which it can't where nobody came before.
fn write_w3c(place: &Place, headers: &mut impl Carrier) {
    let came = place.parent.and_then(|_| TraceContext::received(headers.all(TRACEPARENT)));
    let goes_on = came.is_some_and(|came| came.trace_id() == place.context.trace_id());
    headers.set(TRACEPARENT, place.context.header().as_bytes());
    if !goes_on {
        return headers.remove(TRACESTATE);
    }
    match TraceState::read(headers.all(TRACESTATE)) {
        TraceState::Absent | TraceState::AsItCame => {}
        TraceState::Joined(list) => headers.set(TRACESTATE, list.as_bytes()),
        TraceState::Dropped => headers.remove(TRACESTATE),
    }
}
