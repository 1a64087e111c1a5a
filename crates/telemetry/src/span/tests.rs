use std::collections::BTreeMap;

use super::*;
use crate::b3::{Given, Wish};
use crate::id::Ids;
use crate::propagation::Place;
use crate::sampling::Sampler;

/// A span as most are.
pub(crate) fn span(ids: &mut Ids) -> Span<'static> {
    let place = Place::begin(&Given { parent: None, wish: Wish::Record }, &Sampler::of(1.0), ids);
    Span {
        context: place.context,
        parent: Some(7),
        is_parent_remote: true,
        kind: Kind::Client,
        start: UNIX_EPOCH + Duration::from_secs(1_000),
        duration: Duration::from_millis(12),
        method: b"GET",
        scheme: "http",
        authority: b"reviews:9080",
        target: b"/reviews/1?token=secret",
        protocol: "HTTP/1.1",
        is_grpc: false,
        user_agent: Some(b"curl/8"),
        request_id: Some(b"5b1f"),
        client: None,
        upstream: Some("10.0.0.1:9080".parse().unwrap()),
        service: Some("reviews.default.svc.cluster.local"),
        cluster: Some("outbound|9080||reviews.default.svc.cluster.local"),
        status: 200,
        grpc_status: None,
        failure: None,
        flags: "-",
        request_bytes: 0,
        response_bytes: 20,
        resent: 0,
        events: &[],
        common: &[],
    }
}

/// A message's fields, in order of their numbers.
type Message = BTreeMap<u32, Vec<Vec<u8>>>;

#[derive(Debug, Default)]
struct Read {
    fields: Message,
    attributes: BTreeMap<String, String>,
}

impl Read {
    fn name(&self) -> String {
        String::from_utf8_lossy(&self.fields[&NAME][0]).into_owned()
    }

    fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).map(String::as_str)
    }

    /// Whether it is an error, and what is said of it.
    fn status(&self) -> (bool, String) {
        let Some(status) = self.fields.get(&STATUS) else { return (false, String::new()) };
        let status = message(&status[0]);
        let said = status.get(&2).map(|text| String::from_utf8(text[0].clone()).unwrap());
        (status[&3][0] == [2], said.unwrap_or_default())
    }
}

/// Reads a message, sharing nothing with the writer.
fn message(bytes: &[u8]) -> Message {
    let mut rest = bytes;
    let mut fields = Message::new();
    let number = |rest: &mut &[u8]| {
        let length = rest.iter().position(|byte| *byte < 0x80).unwrap() + 1;
        let (digits, left) = rest.split_at(length);
        *rest = left;
        digits.iter().rev().fold(0_u64, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
    };
    while !rest.is_empty() {
        let key = number(&mut rest);
        let length = match key & 7 {
            0 => {
                let value = number(&mut rest).to_be_bytes();
                let short = value.iter().copied().skip_while(|byte| *byte == 0).collect();
                fields.entry(u32::try_from(key >> 3).unwrap()).or_default().push(short);
                continue;
            }
            1 => 8,
            2 => usize::try_from(number(&mut rest)).unwrap(),
            5 => 4,
            kind => panic!("{kind}"),
        };
        let (value, left) = rest.split_at(length);
        rest = left;
        fields.entry(u32::try_from(key >> 3).unwrap()).or_default().push(value.to_vec());
    }
    fields
}

fn pair(bytes: &[u8]) -> (String, String) {
    let pair = message(bytes);
    let any = message(&pair[&2][0]);
    let value = match (any.get(&1), any.get(&3)) {
        (Some(text), None) => String::from_utf8(text[0].clone()).unwrap(),
        (None, Some(number)) => {
            number[0].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)).to_string()
        }
        other => panic!("{other:?}"),
    };
    (String::from_utf8(pair[&1][0].clone()).unwrap(), value)
}

fn read(span: &Span<'_>) -> Read {
    let mut bytes = Vec::new();
    span.encode(&mut bytes);
    let outer = message(&bytes);
    assert_eq!(outer.len(), 1);
    let fields = message(&outer[&2][0]);
    let attributes = fields.get(&ATTRIBUTES).into_iter().flatten().map(|bytes| pair(bytes)).collect();
    Read { fields, attributes }
}

#[test]
fn a_span_says_what_happened() {
    let mut ids = Ids::seeded(1);
    let made = span(&mut ids);
    let read = read(&made);
    assert_eq!(read.fields[&TRACE_ID][0], made.context.trace_id().to_be_bytes());
    assert_eq!(read.fields[&SPAN_ID][0], made.context.span_id().to_be_bytes());
    assert_eq!(read.fields[&PARENT_SPAN_ID][0], 7_u64.to_be_bytes());
    assert_eq!(read.name(), "GET reviews.default.svc.cluster.local");
    assert_eq!(read.fields[&KIND][0], [3]);
    assert_eq!(read.fields[&START][0], 1_000_000_000_000_u64.to_le_bytes());
    assert_eq!(read.fields[&END][0], 1_000_012_000_000_u64.to_le_bytes());
    assert_eq!(read.fields[&FLAGS][0], (0x303_u32).to_le_bytes());
    assert_eq!(read.status(), (false, String::new()));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.scheme", "http"),
        ("url.path", "/reviews/1"),
        ("url.full", "http://reviews:9080/reviews/1"),
        ("server.address", "reviews"),
        ("server.port", "9080"),
        ("network.protocol.version", "1.1"),
        ("network.peer.address", "10.0.0.1"),
        ("network.peer.port", "9080"),
        ("http.response.status_code", "200"),
        ("http.response.body.size", "20"),
        ("http.request.body.size", "0"),
        ("upstream_cluster", "outbound|9080||reviews.default.svc.cluster.local"),
        ("response_flags", "-"),
        ("guid:x-request-id", "5b1f"),
        ("user_agent.original", "curl/8"),
    ] {
        assert_eq!(read.attribute(key), Some(value), "{key}");
    }
    assert!(!format!("{read:?}").contains("secret"), "queries aren't told");
}

#[test]
fn errors_are_those_of_the_side() {
    let mut ids = Ids::seeded(1);
    let failed = Some(("ConnectFailed", "upstream_reset_before_response_started"));
    for (kind, status, grpc, failure, error, is_error) in [
        (Kind::Server, 200, None, None, None, false),
        (Kind::Server, 404, None, None, None, false),
        (Kind::Client, 404, None, None, Some("404"), true),
        (Kind::Server, 500, None, None, Some("500"), true),
        (Kind::Client, 503, None, failed, Some("ConnectFailed"), true),
        (Kind::Server, 403, None, Some(("Denied", "rbac")), Some("Denied"), false),
        (Kind::Server, 0, None, Some(("ClientGone", "gone")), Some("ClientGone"), true),
        (Kind::Server, 200, Some(0), None, None, false),
        (Kind::Server, 200, Some(5), None, None, false),
        (Kind::Client, 200, Some(5), None, Some("5"), true),
        (Kind::Server, 200, Some(14), None, Some("14"), true),
    ] {
        let is_grpc = grpc.is_some();
        let made = Span { kind, status, grpc_status: grpc, is_grpc, failure, ..span(&mut ids) };
        let read = read(&made);
        assert_eq!(read.attribute("error.type"), error, "{made:?}");
        let said = failure.filter(|_| is_error).map(|(_, details)| details.to_owned());
        assert_eq!(read.status(), (is_error, said.unwrap_or_default()), "{made:?}");
    }
}

#[test]
fn names_have_few_values() {
    let mut ids = Ids::seeded(1);
    let call = read(&Span { is_grpc: true, method: b"POST", target: b"/shop.Stock/Take", ..span(&mut ids) });
    assert_eq!(call.name(), "shop.Stock/Take");
    let rpc = ["rpc.system", "rpc.service", "rpc.method"].map(|key| call.attribute(key).unwrap());
    assert_eq!(rpc, ["grpc", "shop.Stock", "Take"]);
    let odd = read(&Span { method: b"BREW", service: None, ..span(&mut ids) });
    assert_eq!(odd.name(), "HTTP");
    assert_eq!(odd.attribute("http.request.method"), Some("_OTHER"));
    assert_eq!(odd.attribute("http.request.method_original"), Some("BREW"));
    let long = "x".repeat(5_000);
    let path = format!("/{long}?{long}");
    let cut = read(&Span { target: path.as_bytes(), user_agent: Some(long.as_bytes()), ..span(&mut ids) });
    assert!(cut.attributes.values().all(|value| value.len() <= SPAN_VALUE), "{cut:?}");
}

#[test]
fn servers_know_their_clients_and_events_their_time() {
    let mut ids = Ids::seeded(1);
    let events = [Event {
        name: "retry",
        after: Duration::from_millis(5),
        attributes: vec![("error.type", "ConnectFailed".to_owned())],
    }];
    let client = Some("192.0.2.1".parse().unwrap());
    let made =
        Span { kind: Kind::Server, parent: None, client, events: &events, resent: 1, ..span(&mut ids) };
    let read = read(&made);
    assert_eq!(read.attribute("client.address"), Some("192.0.2.1"));
    assert_eq!(read.attribute("http.request.resend_count"), Some("1"));
    assert_eq!(read.attribute("url.full"), None);
    assert!(!read.fields.contains_key(&PARENT_SPAN_ID));
    let event = message(&read.fields[&EVENTS][0]);
    assert_eq!(event[&1][0], 1_000_005_000_000_u64.to_le_bytes());
    assert_eq!(event[&2][0], b"retry");
    assert_eq!(pair(&event[&3][0]), ("error.type".to_owned(), "ConnectFailed".to_owned()));
}
