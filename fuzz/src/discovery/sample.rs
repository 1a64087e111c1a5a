//! One unit of each kind with a little of everything in it: the mesh that targets serve, and what corpora begin with.

use leno_wire::proto::units::{
    self, BundleUnit, Clause, Clauses, EndpointUnit, GatewayUnit, HostUnit, MeshSettings, WorkloadUnit,
    address, answer, backend, consistent_hash, fault_abort, match_condition, mirror, path_match,
    path_rewrite, redirect, rule, scope, service_port, text_match, tls_mode, transport, value,
};
use leno_wire::{Key, Kind};
use prost::Message;

/// The service that all samples are about.
pub const HOST: &str = "reviews.default.svc.cluster.local";

/// The units' names and bytes.
#[must_use]
pub fn units() -> Vec<(Key, Vec<u8>)> {
    let of = |kind, name: &str, bytes| (Key::parse(kind, name).expect("a name"), bytes);
    vec![
        of(Kind::Mesh, "mesh", mesh().encode_to_vec()),
        of(Kind::Bundle, "cluster.local", bundle().encode_to_vec()),
        of(Kind::Endpoints, HOST, endpoints().encode_to_vec()),
        of(Kind::Host, HOST, host().encode_to_vec()),
        of(Kind::Workload, "default/web-0", workload().encode_to_vec()),
        of(Kind::Gateway, "edge/public", gateway().encode_to_vec()),
        of(Kind::Answer, "name:reviews", answer().encode_to_vec()),
    ]
}

fn mesh() -> MeshSettings {
    MeshSettings {
        trust_domain: "cluster.local".into(),
        cluster_domain: "cluster.local".into(),
        root_namespace: "istio-system".into(),
        ranges: vec!["240.240.0.0/16".into(), "fd00::/64".into()],
        wildcard_hosts: vec!["*.example.com".into()],
        outbound: units::OutboundMode::AllowAny.into(),
        egress: Some(units::Egress {
            address: Some(tcp("127.0.0.1:15008")),
            identity: "spiffe://cluster.local/ns/edge/sa/egress".into(),
        }),
        repeat_any: true,
    }
}

fn bundle() -> BundleUnit {
    BundleUnit { trust_domain: "cluster.local".into(), roots: vec![vec![0x30, 0]], sequence: 1 }
}

fn tcp(text: &str) -> units::Address {
    units::Address { kind: Some(address::Kind::Tcp(text.into())) }
}

fn origin() -> Option<units::Origin> {
    Some(units::Origin {
        kind: "VirtualService".into(),
        namespace: "default".into(),
        name: "reviews".into(),
        file: "a.yaml".into(),
        line: 3,
        column: 1,
    })
}

fn pair(key: &str, value: &str) -> units::Pair {
    units::Pair { key: key.into(), value: value.into() }
}

fn endpoints() -> EndpointUnit {
    let endpoint = |uid: &str, kind| units::Endpoint {
        uid: uid.into(),
        ip: vec![10, 0, 0, 1],
        ports: vec![units::PortPair { service: 80, target: 8080 }],
        transport: Some(units::Transport { kind: Some(kind) }),
        identity: "spiffe://cluster.local/ns/default/sa/reviews".into(),
        labels: vec![pair("app", "reviews"), pair("version", "v1")],
        namespace: "default".into(),
        weight: 1,
        ready: true,
        locality: Some(units::Locality { region: "r".into(), ..Default::default() }),
        ..Default::default()
    };
    let unix = units::Address { kind: Some(address::Kind::Unix(b"/run/a".to_vec())) };
    EndpointUnit {
        host: HOST.into(),
        endpoints: vec![
            endpoint("a", transport::Kind::Plain(true)),
            endpoint("b", transport::Kind::Native(unix)),
            endpoint("c", transport::Kind::Hbone(tcp("[fd00::1]:15008"))),
        ],
    }
}

fn host() -> HostUnit {
    let port = |port, protocol: units::Protocol, target| units::ServicePort {
        port,
        protocol: protocol.into(),
        target: Some(target),
        ..Default::default()
    };
    let policy = units::TrafficPolicy {
        balancer: Some(units::Balancer::RoundRobin.into()),
        tls: Some(units::TlsMode { kind: Some(tls_mode::Kind::Auto(true)) }),
        connect_timeout: Some(1_000_000_000),
        retry_budget: Some(units::RetryBudget { share: 200_000, minimum: 3, interval: None }),
        max_retries: Some(7),
        ..Default::default()
    };
    HostUnit {
        host: HOST.into(),
        namespace: "default".into(),
        name: "reviews".into(),
        vips: vec![vec![240, 240, 0, 1]],
        ports: vec![
            port(80, units::Protocol::Http, service_port::Target::Number(8080)),
            port(90, units::Protocol::Auto, service_port::Target::Named("grpc".into())),
        ],
        routes: vec![units::PortRoutes { port: 0, table: Some(table()) }],
        destination: Some(units::Destination {
            policy: Some(policy.clone()),
            ports: vec![
                units::PortPolicy { port: 80, policy: Some(policy) },
                units::PortPolicy { port: 90, policy: Some(by_key()) },
            ],
            subsets: vec![units::Subset {
                name: "v1".into(),
                labels: vec![pair("version", "v1")],
                origin: origin(),
                ..Default::default()
            }],
            origin: origin(),
        }),
        ..Default::default()
    }
}

fn by_key() -> units::TrafficPolicy {
    let cookie = units::HashCookie {
        name: "user".into(),
        ttl: Some(60_000_000_000),
        path: Some("/".into()),
        attributes: vec![pair("SameSite", "Lax")],
    };
    units::TrafficPolicy {
        hash: Some(units::ConsistentHash {
            key: Some(consistent_hash::Key::Cookie(cookie)),
            table: Some(consistent_hash::Table::MaglevSize(7)),
        }),
        pool: Some(units::ConnectionPool {
            ping: Some(units::Ping { interval: 1_000_000_000, timeout: None }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn exact(text: &str) -> units::TextMatch {
    units::TextMatch { kind: Some(text_match::Kind::Exact(text.into())) }
}

fn forward() -> units::Forward {
    let backend = units::Backend {
        target: Some(backend::Target::Service(units::ServiceTarget {
            host: HOST.into(),
            port: 80,
            subset: Some("v1".into()),
        })),
        weight: 90,
        origin: origin(),
        ..Default::default()
    };
    let invalid = units::Backend {
        target: Some(backend::Target::Invalid("no such service".into())),
        weight: 10,
        origin: origin(),
        ..Default::default()
    };
    let rewrite = units::PathRewrite { kind: Some(path_rewrite::Kind::Matched("/b".into())) };
    units::Forward {
        backends: vec![backend, invalid],
        authority: Some("b.example".into()),
        path: Some(rewrite),
        timeout: Some(5_000_000_000),
        retry: Some(units::RetryPolicy {
            attempts: 2,
            on: vec!["5xx".into()],
            statuses: vec![503],
            headers: vec!["x-again".into()],
            backoff: 25_000_000,
            skip_previous: Some(true),
        }),
        fault: Some(units::FaultInjection {
            delay: Some(units::FaultDelay { share: 1, time: 1_000_000 }),
            abort: Some(units::FaultAbort { share: 1_000_000, status: Some(fault_abort::Status::Grpc(14)) }),
        }),
        mirrors: vec![units::Mirror {
            target: Some(mirror::Target::Service(units::ServiceTarget {
                host: HOST.into(),
                port: 0,
                subset: None,
            })),
            share: 500_000,
            origin: origin(),
        }],
        ..Default::default()
    }
}

fn table() -> units::RouteTable {
    use match_condition::Kind as On;
    let matched = |kinds: Vec<On>| units::Match {
        conditions: kinds.into_iter().map(|kind| units::MatchCondition { kind: Some(kind) }).collect(),
    };
    let prefix = units::PathMatch { kind: Some(path_match::Kind::Prefix("/a".into())) };
    let header = units::HeaderMatch { name: "x-v".into(), value: Some(exact("1")), invert: true };
    let query = units::QueryMatch {
        name: "q".into(),
        value: Some(units::TextMatch { kind: Some(text_match::Kind::Regex("a+".into())) }),
    };
    let scopes = units::Scopes { any: vec![units::Scope { kind: Some(scope::Kind::Mesh(true)) }] };
    let rule = |matches, action| units::Rule {
        origin: origin(),
        matches,
        action: Some(action),
        request_headers: Some(units::HeaderEdits {
            remove: vec!["x-a".into()],
            set: vec![pair("x-b", "c")],
            add: vec![pair("x-d", "e")],
        }),
        ..Default::default()
    };
    let redirect = units::Redirect {
        port: Some(redirect::Port::Fixed(443)),
        scheme: Some("https".into()),
        status: 301,
        ..Default::default()
    };
    let respond = units::FixedResponse { status: 404, body: b"no".to_vec() };
    units::RouteTable {
        order: units::MatchOrder::FirstMatch.into(),
        rules: vec![
            rule(
                vec![matched(vec![On::Path(prefix), On::Method(exact("GET"))])],
                rule::Action::Forward(forward()),
            ),
            rule(
                vec![matched(vec![On::Header(header), On::Query(query), On::Scopes(scopes)])],
                rule::Action::Redirect(redirect),
            ),
            rule(Vec::new(), rule::Action::Respond(respond)),
        ],
    }
}

fn policies() -> Vec<units::Policy> {
    let clause = |attribute: units::Attribute, kind| Clause {
        attribute: attribute.into(),
        any: vec![units::Value { kind: Some(kind) }],
        ..Default::default()
    };
    let path = units::PathMatch { kind: Some(path_match::Kind::Exact("/admin".into())) };
    let header =
        Clause { header: "x-v".into(), ..clause(units::Attribute::Header, value::Kind::Text(exact("1"))) };
    vec![units::Policy {
        origin: origin(),
        action: units::PolicyAction::Deny.into(),
        rules: vec![units::PolicyRule {
            origin: origin(),
            sources: vec![Clauses {
                all: vec![
                    clause(units::Attribute::SourcePrincipal, value::Kind::Text(exact("td/ns/a/sa/b"))),
                    clause(units::Attribute::SourceIp, value::Kind::Net("10.0.0.0/8".into())),
                ],
            }],
            operations: vec![Clauses {
                all: vec![
                    clause(units::Attribute::Path, value::Kind::Path(path)),
                    clause(units::Attribute::Port, value::Kind::Port(8080)),
                ],
            }],
            conditions: vec![header],
            incomplete: false,
        }],
        ..Default::default()
    }]
}

fn workload() -> WorkloadUnit {
    let service =
        units::InboundService { host: HOST.into(), name: "reviews".into(), namespace: "default".into() };
    WorkloadUnit {
        namespace: "default".into(),
        name: "web-0".into(),
        identity: "spiffe://cluster.local/ns/default/sa/web".into(),
        labels: vec![pair("app", "web")],
        addresses: vec![vec![10, 0, 0, 2]],
        ports: vec![units::InboundPort {
            port: 8080,
            protocol: units::Protocol::Http2.into(),
            service: Some(service),
        }],
        mtls: Some(units::Mtls {
            mode: units::MtlsMode::Strict.into(),
            ports: vec![units::PortMtls { port: 8080, mode: units::MtlsMode::Permissive.into() }],
            origin: origin(),
        }),
        policies: policies(),
        ..Default::default()
    }
}

fn gateway() -> GatewayUnit {
    GatewayUnit {
        namespace: "edge".into(),
        name: "public".into(),
        listeners: vec![units::Listener {
            name: "https".into(),
            port: 443,
            protocol: units::ListenerProtocol::Https.into(),
            hostname: "*.example.com".into(),
            certificates: vec![units::TlsSecret {
                chain: "chain".into(),
                key: b"key".to_vec(),
                client_roots: Some("roots".into()),
            }],
            proxy_protocol: false,
            hosts: vec![units::HostRoutes { host: "a.example.com".into(), table: Some(table()) }],
        }],
        policies: policies(),
    }
}

fn answer() -> units::Answer {
    units::Answer { kind: Some(answer::Kind::Service(HOST.into())) }
}
