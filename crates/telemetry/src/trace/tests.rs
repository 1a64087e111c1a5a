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
fn one_parent_counts() {
    let received = |parents: &[&'static str]| TraceContext::received(parents.iter().map(|p| p.as_bytes()));
    assert!(received(&[PARENT]).is_some());
    assert_eq!(received(&[PARENT, PARENT]), None);
    assert_eq!(received(&[]), None);
}

#[test]
fn tracestate_is_strict() {
    let long = |n: usize| "x".repeat(n);
    let many = |n: usize| (0..n).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
    for (value, kept) in [
        ("", false),
        (" ,, ", false),
        ("a=1", true),
        (" a=1 ,\tb=2, ,", true),
        ("fw529a3039@dt=FfYI;0/1-2 x,1a-_*/=~!", true),
        ("foo@=1,foo@@bar=1,a@b@c=2", true),
        ("a", false),
        ("a=", false),
        ("=1", false),
        ("a=1=2", false),
        ("A=1", false),
        ("@a=1,b=2", false),
        ("a.b=1", false),
        ("a =1", false),
        ("a b=1", false),
        ("a=1,a=2", true),
        ("a=\u{7f}", false),
        ("a=é", false),
        (&format!("{}=1", long(256)), true),
        (&format!("{}=1", long(257)), false),
        (&format!("a={}", long(256)), true),
        (&format!("a={}", long(257)), false),
        (&many(TRACESTATE_MEMBERS), true),
        (&many(TRACESTATE_MEMBERS + 1), false),
    ] {
        let expected = if kept { TraceState::AsItCame } else { TraceState::Dropped };
        assert_eq!(TraceState::read([value.as_bytes()]), expected, "{value}");
    }
    let big = (0..31).map(|i| format!("{}{i}=v{}", long(250), long(250))).collect::<Vec<_>>().join(",");
    assert!(big.len() > TRACESTATE_BYTES);
    assert_eq!(TraceState::read([big.as_bytes()]), TraceState::Dropped);
}

#[test]
fn several_tracestate_fields_are_one_list() {
    let read = |values: &[&'static str]| TraceState::read(values.iter().map(|value| value.as_bytes()));
    let joined = |text: &str| TraceState::Joined(text.to_owned());
    assert_eq!(read(&[]), TraceState::Absent);
    assert_eq!(read(&["a=1,b=2", "c=3", "d=4"]), joined("a=1,b=2,c=3,d=4"));
    assert_eq!(read(&["", "a=1", ""]), joined("a=1"));
    assert_eq!(read(&["", ""]), TraceState::Dropped);
    assert_eq!(read(&["a=1", "B=2"]), TraceState::Dropped);
    let half: String = (0..17).map(|i| format!("k{i}=v,")).collect();
    let both = [half.as_bytes(), half.as_bytes()];
    assert_eq!(TraceState::read(both), TraceState::Dropped, "34 members");
}
