//! Tables of requests from outside, and of certificates forwarded.

use http::Method;

use super::xfcc::{Element, Mode};
use super::*;
use crate::head::Scheme;
use crate::limits::XFCC_BYTES;

fn request(fields: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::new(Method::GET, Scheme::Https, "a", "/").expect("well-formed");
    for (name, value) in fields {
        head.fields_mut().append(name, value.as_bytes()).expect("well-formed");
    }
    head
}

fn left(head: &RequestHead) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    head.fields().iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
}

#[test]
fn claims_from_outside_are_not_believed() {
    let mut head = request(&[
        ("x-forwarded-for", "1.1.1.1, 2.2.2.2"),
        ("x-forwarded-for", "3.3.3.3"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-proto", "http"),
        ("x-real-ip", "1.1.1.1"),
        ("x_forwarded_for", "1.1.1.1"),
        ("forwarded", "for=1.1.1.1"),
        ("x-envoy-internal", "true"),
        ("x-envoy-retry-on", "5xx"),
        ("x_envoy_internal", "true"),
        ("x-istio-source", "waypoint"),
        ("x-forwarded-foresight", "kept"),
        ("x-request-id", "kept"),
    ]);
    let client = from_outside(&mut head, [9, 9, 9, 9].into(), 0).expect("set");
    assert_eq!(client, IpAddr::from([9, 9, 9, 9]));
    let kept = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        left(&head),
        [
            kept("x-forwarded-foresight", "kept"),
            kept("x-request-id", "kept"),
            kept("x-forwarded-for", "9.9.9.9"),
            kept("x-forwarded-proto", "https"),
        ]
    );
}

#[test]
fn trusted_hops_vouch_for_what_they_appended() {
    let connection = IpAddr::from([9, 9, 9, 9]);
    for (chain, hops, client, written) in [
        ("1.1.1.1,2.2.2.2,3.3.3.3", 1, "3.3.3.3", "3.3.3.3,9.9.9.9"),
        ("1.1.1.1, 2.2.2.2 ,3.3.3.3", 2, "2.2.2.2", "2.2.2.2,3.3.3.3,9.9.9.9"),
        ("2001:db8::1", 1, "2001:db8::1", "2001:db8::1,9.9.9.9"),
        ("1.1.1.1", 3, "1.1.1.1", "1.1.1.1,9.9.9.9"),
        ("1.1.1.1,junk,3.3.3.3", 3, "3.3.3.3", "3.3.3.3,9.9.9.9"),
        ("junk", 1, "9.9.9.9", "9.9.9.9"),
    ] {
        let mut head =
            request(&[("x-forwarded-for", chain), ("x-forwarded-proto", "http"), ("x-envoy-x", "1")]);
        let found = from_outside(&mut head, connection, hops).expect("set");
        assert_eq!(found.to_string(), client, "{chain} {hops}");
        assert_eq!(head.fields().get("x-forwarded-for"), Some(written.as_bytes()), "{chain} {hops}");
        assert_eq!(head.fields().get("x-forwarded-proto"), Some(&b"http"[..]));
        assert!(head.fields().get("x-envoy-x").is_none());
    }
    let mut head = request(&[("x-forwarded-proto", "gopher")]);
    from_outside(&mut head, connection, 1).expect("set");
    assert_eq!(head.fields().get("x-forwarded-proto"), Some(&b"https"[..]));
}

#[test]
fn certificates_are_forwarded_by_mode() {
    let element = Element {
        by: "spiffe://td/ns/a/sa/server",
        hash: "00ff",
        subject: "",
        uri: "spiffe://td/ns/a/sa/client",
        dns: &[],
    };
    let own = "By=spiffe://td/ns/a/sa/server;Hash=00ff;Subject=\"\";URI=spiffe://td/ns/a/sa/client";
    let both = format!("By=x,By=y,{own}");
    for (mode, with, without) in [
        (Mode::Sanitize, None, None),
        (Mode::ForwardOnly, Some("By=x"), None),
        (Mode::AppendForward, Some(&both[..]), None),
        (Mode::SanitizeSet, Some(own), None),
        (Mode::AlwaysForwardOnly, Some("By=x"), Some("By=x")),
    ] {
        for (presented, expected) in [(Some(&element.write()), with), (None, without)] {
            let mut head = request(&[
                (xfcc::NAME, "By=x"),
                (xfcc::NAME, "By=y"),
                ("x_forwarded_client_cert", "By=forged"),
            ]);
            xfcc::apply(&mut head, mode, presented).expect("set");
            assert_eq!(head.fields().get(xfcc::NAME), expected.map(str::as_bytes), "{mode:?} {presented:?}");
            assert!(!head.fields().iter().any(|(name, _)| name.contains('_')));
        }
    }
}

#[test]
fn values_are_quoted_and_chains_bounded() {
    let element = Element { by: "a=b", hash: "00", subject: "CN=\"x\",O=y", uri: "u", dns: &["d1", "d;2"] };
    let text = "By=\"a=b\";Hash=00;Subject=\"CN=\\\"x\\\",O=y\";URI=u;DNS=d1;DNS=\"d;2\"";
    assert_eq!(element.to_string(), text);

    let mut head = request(&[(xfcc::NAME, &"x".repeat(XFCC_BYTES))]);
    xfcc::apply(&mut head, Mode::AppendForward, Some(&element.write())).expect("set");
    assert_eq!(head.fields().get(xfcc::NAME), Some(text.as_bytes()));

    let mut head = request(&[(xfcc::NAME, "By=x")]);
    let hostile = Element { uri: "u\r\nX: y", ..Element::default() };
    assert!(xfcc::apply(&mut head, Mode::SanitizeSet, Some(&hostile.write())).is_err());
    assert!(head.fields().get(xfcc::NAME).is_none());
}
