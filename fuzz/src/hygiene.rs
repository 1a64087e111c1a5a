//! Header hygiene: whatever a request from outside claims about itself, what goes in says only what this proxy saw and
//! what trusted hops vouch for, also to applications that can't tell underscores from dashes.
//!
//! The first byte is the number of trusted hops; the second says whether the client has a certificate (its lowest bit)
//! and what becomes of it. The rest is a request head.

use std::net::IpAddr;

use leno_http::h1::parse::{Limits, Parsed, request};
use leno_http::head::RequestHead;
use leno_http::hygiene::from_outside;
use leno_http::hygiene::xfcc::{self, Element, Mode};
use leno_model::request::RequestView;

use crate::Outcome;

const CONNECTION: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

const MODES: [Mode; 5] =
    [Mode::Sanitize, Mode::ForwardOnly, Mode::AppendForward, Mode::SanitizeSet, Mode::AlwaysForwardOnly];

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Some(([hops, certificates], bytes)) = data.split_first_chunk::<2>() else { return Outcome::Refused };
    let Parsed::Complete(parsed, _) = request(bytes, Limits::default()) else { return Outcome::Refused };
    let hops = usize::from(*hops % 4);
    let mut head = parsed.head;
    let before = head.clone();
    let client = from_outside(&mut head, CONNECTION, hops).expect("addresses can be written");
    origin_is_true(&before, &head, client, hops);
    certificates_are_true(head, *certificates);
    Outcome::Accepted
}

/// Names as an application behind a CGI-like interface sees them.
fn cgi(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn all<'a>(head: &'a RequestHead, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    head.fields().iter().filter(move |(own, _)| cgi(own) == name).map(|(_, value)| value)
}

fn origin_is_true(before: &RequestHead, head: &RequestHead, client: IpAddr, hops: usize) {
    let chains: Vec<&[u8]> = all(head, "x-forwarded-for").collect();
    let [chain] = chains.as_slice() else { panic!("{} chains of addresses", chains.len()) };
    let chain = std::str::from_utf8(chain).expect("addresses are ASCII");
    let chain: Vec<IpAddr> = chain.split(',').map(|it| it.parse().expect("an address")).collect();
    assert_eq!(chain.last(), Some(&CONNECTION), "the connection's own address");
    assert_eq!(chain.first(), Some(&client));
    assert!(chain.len() <= hops + 1, "more addresses than are vouched for");
    // Each is what the last lines of that very name end with.
    let joined = before.fields().joined("x-forwarded-for").unwrap_or_default().into_owned();
    let mut claimed = joined.rsplit(|byte| *byte == b',');
    for address in chain.iter().rev().skip(1) {
        let claim = claimed.next().and_then(|claim| std::str::from_utf8(claim).ok()).map(str::trim);
        assert_eq!(claim.and_then(|claim| claim.parse().ok()).as_ref(), Some(address), "a made up address");
    }
    let protos: Vec<&[u8]> = all(head, "x-forwarded-proto").collect();
    let is_own = protos == [head.scheme().as_bytes()];
    assert!(is_own || (hops > 0 && matches!(protos.as_slice(), [b"http" | b"https"])), "{protos:?}");
    for (name, _) in head.fields().iter().map(|(name, value)| (cgi(name), value)) {
        let is_private = ["x-envoy-", "x-istio-", "x-leno-"].iter().any(|prefix| name.starts_with(prefix));
        assert!(!is_private, "{name} came in from outside");
        let tells_origin = ["forwarded", "x-real-ip", "x-forwarded-host", "x-forwarded-port"];
        assert!(hops > 0 || !tells_origin.contains(&name.as_str()), "{name} came in from outside");
    }
}

fn certificates_are_true(mut head: RequestHead, choice: u8) {
    let own = Element { by: "spiffe://td/b", hash: "00", uri: "spiffe://td/a", ..Element::default() };
    let written = own.write();
    let presented = (choice & 1 == 1).then_some(&written);
    let mode = MODES[usize::from(choice >> 1) % MODES.len()];
    let before = head.fields().joined(xfcc::NAME).unwrap_or_default().into_owned();
    xfcc::apply(&mut head, mode, presented).expect("an element can be written");
    let values: Vec<&[u8]> = all(&head, xfcc::NAME).collect();
    let element = own.to_string();
    match (mode, presented) {
        (Mode::AlwaysForwardOnly, _) | (Mode::ForwardOnly, Some(_)) => {
            assert_eq!(values.join(&b','), before, "what is forwarded changes");
        }
        (Mode::Sanitize, _) | (_, None) => assert!(values.is_empty(), "a claim is forwarded"),
        (Mode::AppendForward, Some(_)) => {
            let [value] = values.as_slice() else { panic!("{} values", values.len()) };
            let rest = value.strip_suffix(element.as_bytes()).expect("the own element comes last");
            assert!(rest.is_empty() || rest.strip_suffix(b",") == Some(&before), "the chain changes");
        }
        (Mode::SanitizeSet, Some(_)) => assert_eq!(values, [element.as_bytes()]),
    }
}
