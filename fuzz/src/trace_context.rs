//! Trace context on requests: whatever a caller says, what goes on is well-formed, is one place of one trace in every
//! format, and belongs to the caller's trace exactly if the caller named one.
//!
//! The first byte chooses the formats, the second the wish to record. The rest is lines `NAME:VALUE`. The same bytes are
//! read as a collector's answers, too.

use leno_telemetry::b3::Wish;
use leno_telemetry::id::Ids;
use leno_telemetry::otlp::{partial_success, retry_delay};
use leno_telemetry::propagation::{Carrier, Format, Place, Propagation};
use leno_telemetry::sampling::Sampler;

use crate::Outcome;

/// Headers as a list of lines.
#[derive(Clone, Debug)]
struct Lines(Vec<(Vec<u8>, Vec<u8>)>);

impl Carrier for Lines {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(own, _)| own == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    fn set(&mut self, name: &'static str, value: &[u8]) {
        self.remove(name);
        self.0.push((name.as_bytes().to_vec(), value.to_vec()));
    }

    fn remove(&mut self, name: &'static str) {
        self.0.retain(|(own, _)| own != name.as_bytes());
    }
}

/// The orders of formats that a first byte chooses from.
fn formats(choice: u8) -> Vec<Format> {
    use Format::{B3, B3Multi, W3c};
    let orders: [&[Format]; 6] =
        [&[W3c], &[B3], &[B3Multi], &[W3c, B3], &[B3Multi, W3c], &[B3, W3c, B3Multi]];
    orders[usize::from(choice) % orders.len()].to_vec()
}

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let _read = (partial_success(data), retry_delay(data));
    let Some(([choice, share], rest)) = data.split_first_chunk::<2>() else { return Outcome::Refused };
    let formats = formats(*choice);
    let propagation = Propagation::of(formats.iter().copied()).expect("there are formats");
    let lines = rest.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(at);
        Some((name.to_ascii_lowercase(), value[1..].trim_ascii().to_vec()))
    });
    let mut headers = Lines(lines.collect());
    let before = headers.clone();
    let given = propagation.read(&headers);
    let sampler = Sampler::of(f64::from(*share) / 255.0);
    let place = Place::begin(&given, &sampler, &mut Ids::seeded(1));
    propagation.write(&place, &mut headers);
    for format in &formats {
        let alone = Propagation::of([*format]).expect("there is one");
        let read = alone.read(&headers);
        let parent = read.parent.expect("what was written is read");
        assert_eq!(parent.trace_id(), place.context.trace_id(), "{format:?}");
        assert_eq!(parent.span_id(), place.context.span_id(), "{format:?}");
        assert_eq!(read.wish.decision(), Some(place.context.is_sampled()), "{format:?}");
        assert!(*format == Format::W3c || given.wish != Wish::Debug || read.wish == Wish::Debug);
    }
    states_are_kept(&before, &headers, formats.contains(&Format::W3c));
    if let Some(parent) = given.parent {
        assert_eq!(parent.trace_id(), place.context.trace_id(), "the trace goes on");
        assert_ne!(parent.span_id(), place.context.span_id(), "in another span");
    }
    let strangers = ["b3", "traceparent", "tracestate"].map(|name| name.as_bytes().to_vec());
    let is_ours = |name: &[u8]| name.starts_with(b"x-b3-") || strangers.iter().any(|own| own == name);
    let others =
        |lines: &Lines| lines.0.iter().filter(|(name, _)| !is_ours(name)).cloned().collect::<Vec<_>>();
    assert_eq!(others(&before), others(&headers), "other headers stay");
    Outcome::accepted_if(given.parent.is_some())
}

/// What goes on of a `tracestate` came in it, and comes with its `traceparent`.
fn states_are_kept(before: &Lines, after: &Lines, is_written: bool) {
    let came: Vec<u8> = before.all("tracestate").collect::<Vec<_>>().join(&b","[..]);
    let goes: Vec<_> = after.all("tracestate").collect();
    if !is_written {
        return assert_eq!(before.all("tracestate").collect::<Vec<_>>(), goes, "a stranger stays");
    }
    let [goes] = goes.as_slice() else { return assert!(goes.is_empty(), "one field at most") };
    let members = |list: &[u8]| {
        let trimmed = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).map(<[u8]>::to_vec);
        trimmed.filter(|member| !member.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(members(&came), members(goes));
    assert!((1..=32).contains(&members(goes).len()));
    let trace = |lines: &Lines| {
        lines.all("traceparent").next().and_then(|value| value.get(3..35).map(<[u8]>::to_vec))
    };
    assert_eq!(trace(before), trace(after), "it is of this trace");
}
