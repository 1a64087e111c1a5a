//! Discovery messages, saved states and first flights.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use leno_fuzz::discovery::sample;
use leno_wire::open::{Machine, Open, Protocol, Source};
use leno_wire::proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Resource, Status};
use leno_wire::proto::google::protobuf::Any;
use leno_wire::proto::units::{Commit, Reference, Rejection};
use leno_wire::state::State;
use leno_wire::{Key, Kind, Unit, Version};
use prost::Message;

use super::Seeds;

const COMMIT: &str = "type.googleapis.com/leno.discovery.v1alpha1.Commit";
const REJECTION: &str = "type.googleapis.com/leno.discovery.v1alpha1.Rejection";

fn seeds<const N: usize>(seeds: [(&str, Vec<u8>); N]) -> Seeds {
    seeds.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}

pub(super) fn opens() -> Seeds {
    let open = Open {
        ip: "10.0.0.1".parse().unwrap(),
        port: 80,
        service: Some("reviews.default.svc.cluster.local".parse().unwrap()),
        protocol: Protocol::Http1,
        source: Source::default(),
        machine: None,
    };
    let labels =
        [("app", "web"), ("version", "v1")].into_iter().map(|(k, v)| (Arc::from(k), Arc::from(v))).collect();
    let source = Source {
        namespace: "shop".into(),
        workload: "web-0".into(),
        owner: "web".into(),
        cluster: "a".into(),
        labels,
    };
    let full = Open {
        ip: "fd00::1".parse().unwrap(),
        protocol: Protocol::Opaque,
        source,
        machine: Some(Machine { salt: 1, code: 2 }),
        ..open.clone()
    };
    let with_bytes = [&open.encode()[..], b"GET / HTTP/1.1\r\n"].concat();
    seeds([
        ("ok-small", open.encode()),
        ("ok-full", full.encode()),
        ("ok-with-bytes-behind", with_bytes),
        ("bad-cut", full.encode()[..40].to_vec()),
        ("bad-length", b"\0\0\x10\x01 and too long".to_vec()),
        ("bad-port", Open { port: 0, ..open }.encode()),
        ("bad-tls", b"\x16\x03\x01\x02\0".to_vec()),
    ])
}

pub(super) fn units() -> Seeds {
    let named = |kind: Kind, name: &str, content: &[u8]| {
        let number = Kind::ALL.iter().position(|own| *own == kind).unwrap();
        [&[u8::try_from(number).unwrap(), u8::try_from(name.len()).unwrap()], name.as_bytes(), content]
            .concat()
    };
    let mut all: Seeds = sample::units()
        .iter()
        .map(|(key, content)| {
            let name = format!("ok-{}", key.kind().as_str());
            (name, named(key.kind(), &key.name(), content))
        })
        .collect();
    let host = &sample::units()[3].1;
    all.extend(seeds([
        ("bad-other-name", named(Kind::Host, "other.example", host)),
        ("bad-name", named(Kind::Host, "Reviews", host)),
        ("bad-kind", named(Kind::Gateway, "a/b", host)),
        ("bad-cut", named(Kind::Host, sample::HOST, &host[..host.len() / 2])),
        ("bad-empty", named(Kind::Workload, "a/b", b"")),
    ]));
    all
}

fn content(state: &State) -> Vec<u8> {
    let blob = state.encode();
    blob[5..blob.len() - 32].to_vec()
}

/// Contents of saved states, and a whole one.
pub(super) fn states() -> Seeds {
    let ready =
        |(key, content): (Key, Vec<u8>)| (Version::of(&content), Unit::decode(&key, &content).unwrap());
    let state = State { snapshot: 7, units: sample::units().into_iter().map(ready).collect() };
    let mut damaged = state.encode();
    damaged[20] ^= 1;
    let mut newer = State::default().encode();
    newer[4] = 9;
    let covered = newer.len() - 32;
    let checksum = digest(&SHA256, &newer[..covered]);
    newer[covered..].copy_from_slice(checksum.as_ref());
    seeds([
        ("ok-blob", state.encode()),
        ("ok-content", content(&state)),
        ("ok-small-content", content(&State { units: state.units[..1].to_vec(), ..state.clone() })),
        ("bad-damaged", damaged),
        ("bad-newer", newer),
        ("bad-content", b"\x12\x03\x0a\x01x".to_vec()),
    ])
}

/// Messages one after the other, each with its length before it.
fn stream<M: Message>(messages: &[M]) -> Vec<u8> {
    let framed = messages.iter().map(|message| {
        let bytes = message.encode_to_vec();
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat()
    });
    framed.collect::<Vec<_>>().concat()
}

fn response(kind: Kind, snapshot: u64) -> DeltaDiscoveryResponse {
    let resources =
        sample::units().into_iter().filter(|(key, _)| key.kind() == kind).map(|(key, content)| Resource {
            version: Version::of(&content).to_string(),
            name: key.name(),
            resource: Some(Any { type_url: kind.type_url(), value: content.into() }),
        });
    DeltaDiscoveryResponse {
        system_version_info: snapshot.to_string(),
        resources: resources.collect(),
        type_url: kind.type_url(),
        nonce: "1.1".into(),
        removed_resources: Vec::new(),
    }
}

fn commit(snapshot: u64, changes: u32, absent: &[(Kind, &str)]) -> DeltaDiscoveryResponse {
    let absent =
        absent.iter().map(|(kind, name)| Reference { type_url: kind.type_url(), name: (*name).into() });
    let commit = Commit { snapshot, changes, absent: absent.collect() };
    DeltaDiscoveryResponse {
        system_version_info: snapshot.to_string(),
        resources: vec![Resource {
            version: snapshot.to_string(),
            name: "commit".into(),
            resource: Some(Any { type_url: COMMIT.into(), value: commit.encode_to_vec().into() }),
        }],
        type_url: COMMIT.into(),
        nonce: "1.9".into(),
        removed_resources: Vec::new(),
    }
}

/// Streams of responses.
pub(super) fn responses() -> Seeds {
    let removal = DeltaDiscoveryResponse {
        resources: Vec::new(),
        removed_resources: vec!["mesh".into()],
        ..response(Kind::Mesh, 8)
    };
    let all: Vec<_> =
        Kind::ALL.into_iter().map(|kind| response(kind, 7)).chain([commit(7, 7, &[])]).collect();
    let absent = [(Kind::Host, sample::HOST)];
    seeds([
        ("ok-everything", stream(&all)),
        (
            "ok-mesh-and-back",
            stream(&[response(Kind::Mesh, 7), commit(7, 1, &[]), removal, commit(8, 1, &[])]),
        ),
        ("ok-absent", stream(&[response(Kind::Answer, 7), commit(7, 1, &absent)])),
        ("bad-dangling", stream(&[response(Kind::Answer, 7), commit(7, 1, &[])])),
        ("bad-count", stream(&[response(Kind::Mesh, 7), commit(7, 2, &[])])),
        ("bad-two-snapshots", stream(&[response(Kind::Mesh, 7), response(Kind::Bundle, 8)])),
        ("bad-twice", stream(&[response(Kind::Mesh, 7), response(Kind::Mesh, 7), commit(7, 1, &[])])),
    ])
}

/// Streams of requests.
pub(super) fn requests() -> Seeds {
    let first = DeltaDiscoveryRequest {
        node: Some(Node { id: "workload:default/web-0".into(), ..Node::default() }),
        type_url: Kind::Answer.type_url(),
        resource_names_subscribe: vec!["name:reviews".into(), "address:10.0.0.1:80".into()],
        ..DeltaDiscoveryRequest::default()
    };
    let held = DeltaDiscoveryRequest {
        type_url: Kind::Mesh.type_url(),
        initial_resource_versions: [("mesh".to_owned(), Version::of(b"old").to_string())].into(),
        ..DeltaDiscoveryRequest::default()
    };
    let opened = DeltaDiscoveryRequest { type_url: COMMIT.into(), ..DeltaDiscoveryRequest::default() };
    // A batch has one response per kind, and this mesh six of them.
    let ack = DeltaDiscoveryRequest { response_nonce: "1.6".into(), ..opened.clone() };
    let rejection =
        Rejection { type_url: Kind::Mesh.type_url(), name: "mesh".into(), reason: "not here".into() };
    let details = vec![Any { type_url: REJECTION.into(), value: rejection.encode_to_vec().into() }];
    let status = Status { code: 3, message: "no".into(), details };
    let nack = DeltaDiscoveryRequest { error_detail: Some(status), ..ack.clone() };
    let more = DeltaDiscoveryRequest {
        resource_names_unsubscribe: vec!["name:reviews".into()],
        resource_names_subscribe: vec!["name:nobody".into()],
        ..first.clone()
    };
    let wrong = DeltaDiscoveryRequest { type_url: Kind::Host.type_url(), ..first.clone() };
    seeds([
        ("ok-fresh", stream(&[first.clone(), opened.clone(), ack.clone()])),
        ("ok-again", stream(&[held.clone(), first.clone(), opened.clone(), ack.clone(), more])),
        ("ok-refused", stream(&[first.clone(), opened.clone(), nack])),
        ("bad-unopened", stream(&[first.clone(), held])),
        ("bad-twice-opened", stream(&[opened.clone(), opened.clone()])),
        ("bad-subscription", stream(&[wrong, opened.clone()])),
        (
            "bad-nonce",
            stream(&[first, opened, DeltaDiscoveryRequest { response_nonce: "9.9".into(), ..ack }]),
        ),
    ])
}
