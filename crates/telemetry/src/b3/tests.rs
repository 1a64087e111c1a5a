use super::*;

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";

#[test]
fn the_single_header_is_strict() {
    for (value, wish, has_parent) in [
        (format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90"), Some(Wish::Record), true),
        (format!("{TRACE}-{SPAN}-1"), Some(Wish::Record), true),
        (format!("{TRACE}-{SPAN}-0"), Some(Wish::Skip), true),
        (format!("{TRACE}-{SPAN}-d"), Some(Wish::Debug), true),
        (format!("{TRACE}-{SPAN}"), Some(Wish::Open), true),
        (format!("{}-{SPAN}-1", &TRACE[16..]), Some(Wish::Record), true),
        ("0".to_owned(), Some(Wish::Skip), false),
        ("1".to_owned(), Some(Wish::Record), false),
        ("d".to_owned(), Some(Wish::Debug), false),
        (String::new(), None, false),
        ("2".to_owned(), None, false),
        (TRACE.to_owned(), None, false),
        (format!("{TRACE}-"), None, false),
        (format!("{TRACE}-{SPAN}-"), None, false),
        (format!("{TRACE}-{SPAN}-true"), None, false),
        (format!("{TRACE}-{SPAN}-1-"), None, false),
        (format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b9"), None, false),
        (format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90-1"), None, false),
        (format!("{}-{SPAN}-1", &TRACE[1..]), None, false),
        (format!("{TRACE}-{}-1", &SPAN[1..]), None, false),
        (format!("{}-{SPAN}-1", TRACE.to_uppercase()), None, false),
        (format!("{}-{SPAN}-1", "0".repeat(32)), None, false),
        (format!("{TRACE}-{}-1", "0".repeat(16)), None, false),
    ] {
        let given = single(value.as_bytes());
        assert_eq!(given.map(|given| given.wish), wish, "{value}");
        assert_eq!(given.is_some_and(|given| given.parent.is_some()), has_parent, "{value}");
    }
}

#[test]
fn several_headers_say_the_same() {
    let read = |[trace, span, sampled, flags]: [&'static str; 4]| {
        let given = |text: &'static str| (!text.is_empty()).then_some(text.as_bytes());
        several(given(trace), given(span), given(sampled), given(flags))
    };
    for (headers, wish, has_parent) in [
        ([TRACE, SPAN, "1", ""], Some(Wish::Record), true),
        ([TRACE, SPAN, "0", ""], Some(Wish::Skip), true),
        ([TRACE, SPAN, "true", ""], Some(Wish::Record), true),
        ([TRACE, SPAN, "False", ""], Some(Wish::Skip), true),
        ([TRACE, SPAN, "", "1"], Some(Wish::Debug), true),
        ([TRACE, SPAN, "0", "1"], Some(Wish::Debug), true),
        ([TRACE, SPAN, "", "0"], Some(Wish::Open), true),
        ([TRACE, SPAN, "", ""], Some(Wish::Open), true),
        (["", "", "0", ""], Some(Wish::Skip), false),
        (["", "", "", "1"], Some(Wish::Debug), false),
        (["", "", "", ""], None, false),
        ([TRACE, "", "1", ""], None, false),
        (["", SPAN, "1", ""], None, false),
        ([TRACE, SPAN, "yes", ""], None, false),
        (["xyz", SPAN, "1", ""], None, false),
    ] {
        let given = read(headers);
        assert_eq!(given.map(|given| given.wish), wish, "{headers:?}");
        assert_eq!(given.is_some_and(|given| given.parent.is_some()), has_parent, "{headers:?}");
    }
}

#[test]
fn what_is_written_is_read() {
    let mut ids = crate::id::Ids::seeded(5);
    for parent in [None, Some(7)] {
        for wish in [Wish::Record, Wish::Skip, Wish::Debug] {
            let context = TraceContext::root(&mut ids, wish != Wish::Skip);
            let read = single(&write(&context, parent, wish)).unwrap();
            let place = read.parent.unwrap();
            assert_eq!((place.trace_id(), place.span_id()), (context.trace_id(), context.span_id()));
            assert_eq!(read.wish, wish);
        }
    }
    let narrow = TraceContext::named(0xabc, 1, true).unwrap();
    assert_eq!(write(&narrow, None, Wish::Record), b"0000000000000abc-0000000000000001-1");
}
