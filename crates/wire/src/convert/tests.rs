use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;

use super::values;
use crate::key::{Key, Kind};
use crate::proto::units;
use crate::unit::{Encoded, Unit};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn what_is_written_is_read_back(unit in values::unit()) {
        let bytes = unit.encode();
        let read = Unit::decode(&unit.key(), &bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(&read, &unit);
        prop_assert_eq!(read.encode(), bytes);
        prop_assert!(Encoded::new(&unit).is_ok());
    }

    #[test]
    fn names_survive_the_wire(unit in values::unit()) {
        let key = unit.key();
        prop_assert_eq!(Key::parse(key.kind(), &key.name()).unwrap(), key);
    }

    #[test]
    fn damaged_bytes_are_refused_or_another_unit(
        unit in values::unit(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut bytes = unit.encode().to_vec();
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(read) = Unit::decode(&unit.key(), &bytes) {
            let again = Unit::decode(&unit.key(), &read.encode());
            prop_assert_eq!(again, Ok(read));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (kind, name) in [
            (Kind::Mesh, "mesh"), (Kind::Bundle, "td"), (Kind::Host, "a"), (Kind::Endpoints, "a"),
            (Kind::Workload, "a/b"), (Kind::Gateway, "a/b"), (Kind::Answer, "name:a"),
        ] {
            let _result = Unit::decode(&Key::parse(kind, name).unwrap(), &bytes);
        }
    }
}

/// A host unit with one of everything, to break in one place.
fn sound() -> units::HostUnit {
    let origin = || Some(units::Origin { kind: "VirtualService".into(), ..Default::default() });
    let condition = |kind| units::MatchCondition { kind: Some(kind) };
    let exact = units::TextMatch { kind: Some(units::text_match::Kind::Exact("v1".into())) };
    let header = units::HeaderMatch { name: "x-version".into(), value: Some(exact), invert: false };
    let backend = units::Backend {
        target: Some(units::backend::Target::Service(units::ServiceTarget {
            host: "b.example".into(),
            ..Default::default()
        })),
        origin: origin(),
        ..Default::default()
    };
    let forward = units::Forward { backends: vec![backend], ..Default::default() };
    let edits = units::HeaderEdits {
        set: vec![units::Pair { key: "x-a".into(), value: "b".into() }],
        ..Default::default()
    };
    let rule = units::Rule {
        origin: origin(),
        matches: vec![units::Match {
            conditions: vec![condition(units::match_condition::Kind::Header(header))],
        }],
        action: Some(units::rule::Action::Forward(forward)),
        request_headers: Some(edits),
        ..Default::default()
    };
    let port = |port| units::ServicePort {
        port,
        protocol: units::Protocol::Http.into(),
        target: Some(units::service_port::Target::Number(8080)),
        ..Default::default()
    };
    let table = units::RouteTable { order: units::MatchOrder::FirstMatch.into(), rules: vec![rule] };
    units::HostUnit {
        host: "a.example".into(),
        ports: vec![port(80), port(81)],
        routes: vec![units::PortRoutes { port: 0, table: Some(table) }],
        destination: Some(units::Destination::default()),
        ..Default::default()
    }
}

fn rule(unit: &mut units::HostUnit) -> &mut units::Rule {
    &mut unit.routes[0].table.as_mut().unwrap().rules[0]
}

#[test]
fn what_is_wrong_is_named_with_its_field() {
    let key = Key::parse(Kind::Host, "a.example").unwrap();
    assert!(Unit::decode(&key, &sound().encode_to_vec()).is_ok());
    type Break = fn(&mut units::HostUnit);
    let cases: &[(Break, &str)] = &[
        (|u| u.host = "A.example".into(), "host: \"A.example\" is not in lower case, or has a trailing dot"),
        (|u| u.host = "b.example".into(), "the content is that of HostUnit b.example"),
        (|u| u.vips.push(vec![1, 2, 3]), "vips[0]: 3 bytes are not an IP address"),
        (|u| u.ports[1].port = 0, "ports[1].port: 0 is not a port"),
        (|u| u.ports[1].port = 65_536, "ports[1].port: 65536 is not a port"),
        (|u| u.ports[1].port = 80, "ports: not in ascending order, or given twice"),
        (|u| u.ports[0].protocol = 99, "ports[0].protocol: missing, or of a kind unknown here"),
        (|u| u.ports[0].target = None, "ports[0].target: missing, or of a kind unknown here"),
        (|u| u.routes.push(u.routes[0].clone()), "routes: a port is given twice"),
        (|u| u.destination = None, "destination: missing, or of a kind unknown here"),
        (|u| u.routes[0].table = None, "routes[0].table: missing, or of a kind unknown here"),
        (|u| rule(u).action = None, "routes[0].table.rules[0].action: missing, or of a kind unknown here"),
        (|u| rule(u).origin = None, "routes[0].table.rules[0].origin: missing, or of a kind unknown here"),
        (
            |u| rule(u).matches[0].conditions[0].kind = None,
            "routes[0].table.rules[0].matches[0].conditions[0].kind: missing, or of a kind unknown here",
        ),
        (
            |u| {
                let twice = units::match_condition::Kind::Port(80);
                let twice = units::MatchCondition { kind: Some(twice) };
                rule(u).matches[0].conditions.extend([twice.clone(), twice]);
            },
            "routes[0].table.rules[0].matches[0].conditions[2].port: given twice",
        ),
        (
            |u| rule(u).request_headers.as_mut().unwrap().set[0].value = "b\r\nx-c: d".into(),
            "routes[0].table.rules[0].request_headers.set[0].value: a header value has no control characters",
        ),
        (
            |u| rule(u).request_headers.as_mut().unwrap().set[0].key = "host".into(),
            "routes[0].table.rules[0].request_headers.set[0].key: \
             \"host\" is not a lower-case header name that may be changed",
        ),
    ];
    for (damage, message) in cases {
        let mut unit = sound();
        damage(&mut unit);
        let error = Unit::decode(&key, &unit.encode_to_vec()).unwrap_err();
        assert_eq!(error.to_string(), *message);
    }
    assert!(Unit::decode(&key, b"\xff").unwrap_err().to_string().starts_with("not readable: "));
}

#[test]
fn a_policy_clause_that_is_not_understood_is_refused() {
    let key = Key::parse(Kind::Workload, "default/web-0").unwrap();
    let text = units::TextMatch { kind: Some(units::text_match::Kind::Exact("GET".into())) };
    let clause = units::Clause {
        attribute: units::Attribute::Method.into(),
        any: vec![units::Value { kind: Some(units::value::Kind::Text(text)) }],
        ..Default::default()
    };
    let unit = |clauses: Vec<units::Clause>| units::WorkloadUnit {
        namespace: "default".into(),
        name: "web-0".into(),
        identity: "spiffe://cluster.local/ns/default/sa/web".into(),
        mtls: Some(units::Mtls { mode: units::MtlsMode::Strict.into(), ..Default::default() }),
        policies: vec![units::Policy {
            origin: Some(units::Origin::default()),
            action: units::PolicyAction::Allow.into(),
            rules: vec![units::PolicyRule {
                origin: Some(units::Origin::default()),
                operations: vec![units::Clauses { all: clauses }],
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let with = |change: fn(&mut units::Clause)| {
        let mut clause = clause.clone();
        change(&mut clause);
        vec![clause]
    };
    let at = "policies[0].rules[0].operations[0].all";
    assert!(Unit::decode(&key, &unit(vec![clause.clone()]).encode_to_vec()).is_ok());
    for (clauses, message) in [
        (with(|c| c.attribute = 99), format!("{at}[0].attribute: missing, or of a kind unknown here")),
        (with(|c| c.attribute = 1), format!("{at}[0].attribute: not an attribute of an operation")),
        (with(|c| c.any[0].kind = None), format!("{at}[0].any[0].kind: missing, or of a kind unknown here")),
        (
            with(|c| c.any[0].kind = Some(units::value::Kind::Port(1))),
            format!("{at}[0].any[0]: not a value of its attribute's kind"),
        ),
        (with(|c| c.any.clear()), format!("{at}[0]: demands nothing")),
        (with(|c| c.header = "x".into()), format!("{at}[0].header: given without the attribute for it")),
        (vec![clause.clone(), clause.clone()], format!("{at}[1].attribute: given twice")),
    ] {
        let error = Unit::decode(&key, &unit(clauses).encode_to_vec()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn equal_texts_are_one_in_memory() {
    let key = Key::parse(Kind::Endpoints, "a.example").unwrap();
    let endpoint = |uid: &str| units::Endpoint {
        uid: uid.into(),
        ip: vec![10, 0, 0, 1],
        transport: Some(units::Transport { kind: Some(units::transport::Kind::Plain(true)) }),
        namespace: "default".into(),
        weight: 1,
        ..Default::default()
    };
    let unit =
        units::EndpointUnit { host: "a.example".into(), endpoints: vec![endpoint("a"), endpoint("b")] };
    let Ok(Unit::Endpoints(unit)) = Unit::decode(&key, &unit.encode_to_vec()) else {
        panic!("not endpoints")
    };
    assert!(Arc::ptr_eq(&unit.endpoints[0].namespace, &unit.endpoints[1].namespace));
}

#[test]
fn secrets_are_not_printed() {
    let secret = units::TlsSecret { key: b"hunter2".to_vec(), ..Default::default() };
    let listener = units::Listener { certificates: vec![secret], ..Default::default() };
    assert!(!format!("{listener:?}").contains("104"), "{listener:?}");
    let any = crate::proto::google::protobuf::Any { type_url: "t".into(), value: b"hunter2"[..].into() };
    assert!(!format!("{any:?}").contains("hunter2"));
}
