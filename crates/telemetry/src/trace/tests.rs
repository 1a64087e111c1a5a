use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn traceparent_is_strict() {
    for (value, accepted) in [
        (PARENT, true),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true),
        // Level 2's flags, and such as nobody knows.
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", true),
        // A later version, with and without more.
        ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-brings", true),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", false),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01", false),
        (" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
        ("0é-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
        ("", false),
    ] {
        assert_eq!(TraceContext::parse(value.as_bytes()).is_some(), accepted, "{value}");
    }
}

#[test]
fn every_single_change_is_noticed_or_read() {
    let parent = TraceContext::parse(PARENT.as_bytes()).unwrap();
    for at in 0..PARENT.len() {
        for byte in 0..=u8::MAX {
            let mut changed = PARENT.as_bytes().to_vec();
            changed[at] = byte;
            if let Some(read) = TraceContext::parse(&changed) {
                let hex = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                assert!(hex || changed == PARENT.as_bytes(), "{at} {byte}");
                let irrelevant = !(2..53).contains(&at);
                assert!(irrelevant || (read == parent) == (changed == PARENT.as_bytes()), "{at} {byte}");
            }
        }
        assert!(TraceContext::parse(&PARENT.as_bytes()[..at]).is_none());
    }
}

#[test]
fn a_child_keeps_the_trace() {
    let mut ids = Ids::seeded(1);
    let parent = TraceContext::parse(PARENT.as_bytes()).unwrap();
    assert_eq!(parent.header().as_str(), PARENT);
    let child = parent.child(&mut ids);
    assert_eq!((child.trace_id(), child.is_sampled()), (parent.trace_id(), true));
    assert_ne!(child.span_id(), parent.span_id());
    assert_eq!(TraceContext::parse(child.header().as_bytes()), Some(child));
}

#[test]
fn unknown_flags_are_not_passed_on() {
    let value = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe-more";
    let context = TraceContext::parse(value.as_bytes()).unwrap();
    assert_eq!(context.header().as_str(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02");
}

#[test]
fn a_root_is_valid() {
    let mut ids = Ids::seeded(2);
    for sampled in [true, false] {
        let root = TraceContext::root(&mut ids, sampled);
        assert_eq!(root.is_sampled(), sampled);
        assert_eq!(TraceContext::parse(root.header().as_bytes()), Some(root));
        assert!(root.header().as_str().ends_with(if sampled { "-03" } else { "-02" }));
    }
}

#[test]
fn state_comes_only_with_a_parent() {
    let received = |parents: &[&'static str], states: &[&'static str]| {
        let bytes = |values: &[&'static str]| values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>();
        TraceContext::received(bytes(parents), bytes(states)).map(|(_, state)| state.as_str().to_owned())
    };
    assert_eq!(received(&[PARENT], &["a=1", "b=2"]), Some("a=1,b=2".to_owned()));
    assert_eq!(received(&[PARENT], &["a=1", "B=2"]), Some(String::new()));
    assert_eq!(received(&[PARENT, PARENT], &["a=1"]), None);
    assert_eq!(received(&[], &["a=1"]), None);
    assert_eq!(received(&["00"], &["a=1"]), None);
}

#[test]
fn tracestate_is_strict() {
    let long = |n: usize| "x".repeat(n);
    let many = |n: usize| (0..n).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
    for (value, read) in [
        ("", Some("")),
        ("a=1", Some("a=1")),
        (" a=1 ,\tb=2, ,", Some("a=1,b=2")),
        ("fw529a3039@dt=FfYI;0/1-2 x,1a-_*/=~!", Some("fw529a3039@dt=FfYI;0/1-2 x,1a-_*/=~!")),
        ("a", None),
        ("a=", None),
        ("=1", None),
        ("a=1=2", None),
        ("A=1", None),
        ("@a=1", None),
        ("a b=1", None),
        ("a=1,a=2", None),
        ("a=\u{7f}", None),
        ("a=é", None),
        (&format!("{}=1", long(256)), Some(format!("{}=1", long(256)).as_str())),
        (&format!("{}=1", long(257)), None),
        (&format!("a={}", long(256)), Some(format!("a={}", long(256)).as_str())),
        (&format!("a={}", long(257)), None),
        (&many(TRACESTATE_MEMBERS), Some(many(TRACESTATE_MEMBERS).as_str())),
        (&many(TRACESTATE_MEMBERS + 1), None),
    ] {
        let state = TraceState::parse([value.as_bytes()]);
        assert_eq!(state.as_ref().map(TraceState::as_str), read, "{value}");
    }
    let big = (0..31).map(|i| format!("{}{i}=v{}", long(250), long(250))).collect::<Vec<_>>().join(",");
    assert!(big.len() > TRACESTATE_BYTES && TraceState::parse([big.as_bytes()]).is_none());
}
