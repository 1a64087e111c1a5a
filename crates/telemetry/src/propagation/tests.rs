use super::*;

/// Headers as a list of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lines(Vec<(String, Vec<u8>)>);

impl Lines {
    fn of(lines: &[(&str, &str)]) -> Self {
        Self(lines.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect())
    }

    fn one(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self.all(name).collect();
        assert!(values.len() <= 1, "{name} {values:?}");
        values.first().map(|value| String::from_utf8(value.to_vec()).unwrap())
    }
}

impl Carrier for Lines {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_slice())
    }

    fn set(&mut self, name: &'static str, value: &[u8]) {
        self.remove(name);
        self.0.push((name.to_owned(), value.to_vec()));
    }

    fn remove(&mut self, name: &'static str) {
        self.0.retain(|(given, _)| given != name);
    }
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-0";
const OTHER_TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";

fn formats(formats: &[Format]) -> Propagation {
    Propagation::of(formats.iter().copied()).unwrap()
}

/// Passes a request on.
fn pass(formats: &[Format], lines: &[(&str, &str)], ratio: f64) -> (Place, Lines) {
    let propagation = Propagation::of(formats.iter().copied()).unwrap();
    let mut headers = Lines::of(lines);
    let given = propagation.read(&headers);
    let place = Place::begin(&given, &Sampler::of(ratio), &mut Ids::seeded(9));
    propagation.write(&place, &mut headers);
    (place, headers)
}

/// The trace that goes on by W3C.
fn trace(lines: &[(&str, &str)]) -> (String, Option<String>) {
    let (place, headers) = pass(&[Format::W3c], lines, 0.0);
    let parent = headers.one("traceparent").unwrap();
    assert_eq!(parent, place.context.header().as_str());
    assert!(TraceContext::parse(parent.as_bytes()).is_some(), "{parent}");
    (parent[3..35].to_owned(), headers.one("tracestate"))
}

#[test]
fn a_valid_parent_goes_on_with_its_state() {
    let (place, headers) = pass(&[Format::W3c], &[("traceparent", PARENT), ("tracestate", "a=1, b=2")], 0.0);
    assert_eq!(place.parent, Some(0x00f0_67aa_0ba9_02b7));
    let sent = headers.one("traceparent").unwrap();
    assert_eq!((&sent[3..35], &sent[53..]), (TRACE, "01"), "the flags stay");
    assert_ne!(&sent[36..52], "00f067aa0ba902b7", "the span is a new one");
    assert_eq!(headers.one("tracestate").unwrap(), "a=1, b=2");
}

#[test]
fn flags_of_level_2_stay_as_they_came() {
    for (came, goes) in [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("ff", "03")] {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-{came}");
        let (_, headers) = pass(&[Format::W3c], &[("traceparent", &parent)], 1.0);
        assert_eq!(&headers.one("traceparent").unwrap()[53..], goes);
    }
    let (_, headers) = pass(&[Format::W3c], &[], 1.0);
    assert_eq!(&headers.one("traceparent").unwrap()[53..], "03", "a new trace id is random");
}

#[test]
fn an_invalid_parent_begins_a_new_trace_without_state() {
    for parents in [
        &["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"][..],
        &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-"],
        &["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
        &["nonsense"],
        &[""],
        &[PARENT, PARENT],
        &[],
    ] {
        let mut lines: Vec<_> = parents.iter().map(|parent| ("traceparent", *parent)).collect();
        lines.push(("tracestate", "a=1"));
        let (trace, state) = trace(&lines);
        assert_ne!(trace, TRACE, "{parents:?}");
        assert_eq!(state, None, "{parents:?}");
    }
}

#[test]
fn a_later_version_is_understood_and_answered_in_ours() {
    let parent = format!("cc-{TRACE}-00f067aa0ba902b7-ff-what-comes");
    let (_, headers) = pass(&[Format::W3c], &[("traceparent", &parent)], 0.0);
    let sent = headers.one("traceparent").unwrap();
    assert!(sent.starts_with(&format!("00-{TRACE}-")) && sent.len() == 55, "{sent}");
}

#[test]
fn state_alone_is_dropped_and_several_are_joined() {
    let parent = ("traceparent", PARENT);
    assert_eq!(trace(&[parent, ("tracestate", "a=1"), ("tracestate", "b=2")]).1.unwrap(), "a=1,b=2");
    assert_eq!(trace(&[parent, ("tracestate", "A=1")]), (TRACE.to_owned(), None));
    assert_eq!(trace(&[parent, ("tracestate", "")]), (TRACE.to_owned(), None));
    assert_eq!(trace(&[("tracestate", "a=1")]).1, None);
}

#[test]
fn the_first_format_that_says_anything_counts_and_all_are_written() {
    use Format::{B3, B3Multi, W3c};
    let both = [("traceparent", PARENT), ("tracestate", "a=1"), ("b3", OTHER)];
    let (place, headers) = pass(&[W3c, B3], &both, 0.0);
    assert_eq!(format!("{:032x}", place.context.trace_id()), TRACE);
    assert!(headers.one("b3").unwrap().starts_with(TRACE));
    assert_eq!(headers.one("tracestate").unwrap(), "a=1");
    let (place, headers) = pass(&[B3, W3c], &both, 1.0);
    assert_eq!(format!("{:032x}", place.context.trace_id()), OTHER_TRACE);
    assert!(!place.context.is_sampled(), "the caller said no");
    assert!(headers.one("traceparent").unwrap().contains(OTHER_TRACE));
    assert_eq!(headers.one("tracestate"), None, "it belongs to the other trace");
    // An invalid one says nothing.
    let (place, _) = pass(&[B3Multi, W3c], &[("traceparent", PARENT), ("b3", "x")], 0.0);
    assert_eq!(format!("{:032x}", place.context.trace_id()), TRACE);
}

#[test]
fn the_single_header_of_b3_comes_before_the_several() {
    let lines = [("x-b3-traceid", TRACE), ("x-b3-spanid", "00f067aa0ba902b7"), ("b3", OTHER)];
    let (place, headers) = pass(&[Format::B3Multi], &lines, 1.0);
    assert_eq!(headers.one("x-b3-traceid").unwrap(), OTHER_TRACE);
    assert_eq!(headers.one("x-b3-parentspanid").unwrap(), "e457b5a2e4d86bd1");
    assert_eq!(headers.one("x-b3-spanid").unwrap(), format!("{:016x}", place.context.span_id()));
    assert_eq!(headers.one("x-b3-sampled").unwrap(), "0");
    assert_eq!(headers.one("b3"), None, "it would contradict");
    let (_, headers) = pass(&[Format::B3], &lines[..2], 1.0);
    assert!(headers.one("b3").unwrap().ends_with("-1-00f067aa0ba902b7"), "nobody had decided");
    assert_eq!(headers.one("x-b3-traceid"), None);
}

#[test]
fn decisions_of_b3_travel() {
    for (value, ratio, sampled, debug) in
        [("0", 1.0, "0", None), ("1", 0.0, "1", None), ("d", 0.0, "", Some("1"))]
    {
        let (place, headers) = pass(&[Format::B3Multi, Format::W3c], &[("b3", value)], ratio);
        assert_eq!(headers.one("x-b3-sampled").unwrap_or_default(), sampled);
        assert_eq!(headers.one("x-b3-flags").as_deref(), debug);
        assert_eq!(place.parent, None);
        assert_eq!(headers.one("x-b3-parentspanid"), None);
        assert_eq!(place.context.is_sampled(), value != "0");
    }
}

#[test]
fn headers_of_other_formats_are_strangers() {
    let lines = [("b3", OTHER), ("x-b3-traceid", "anything")];
    let (place, headers) = pass(&[Format::W3c], &lines, 0.0);
    assert_ne!(format!("{:032x}", place.context.trace_id()), OTHER_TRACE);
    assert_eq!(headers.one("b3").unwrap(), OTHER);
    assert_eq!(headers.one("x-b3-traceid").unwrap(), "anything");
    let (_, headers) = pass(&[Format::B3], &[("traceparent", "anything"), ("tracestate", "?")], 0.0);
    assert_eq!(
        (headers.one("traceparent").unwrap(), headers.one("tracestate").unwrap()),
        ("anything".into(), "?".into())
    );
}

#[test]
fn below_is_the_same_trace() {
    let mut ids = Ids::seeded(1);
    let place = Place::begin(&Given::default(), &Sampler::of(1.0), &mut ids);
    let below = place.below(&mut ids);
    assert_eq!(below.parent, Some(place.context.span_id()));
    assert_eq!(below.context.trace_id(), place.context.trace_id());
    assert!(below.context.is_sampled());
}

#[test]
fn names_are_known() {
    assert!(Format::ALL.into_iter().all(|format| Format::named(format.name()) == Some(format)));
    assert_eq!(Propagation::of([]), None);
    assert_eq!(formats(&[Format::W3c, Format::W3c]), Propagation::default());
}
