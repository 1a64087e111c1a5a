//! Arbitrary well-formed units, for property tests.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use leno_model::fault::{Abort, AbortStatus, Delay, FaultInjection, WHOLE};
use leno_model::gateway::ListenerProtocol;
use leno_model::labels::Labels;
use leno_model::name::{Host, WorkloadName};
use leno_model::policy::{
    Clause, Condition, ConditionKey, ConditionValue, Mtls, MtlsMode, Operation, Policy, PolicyAction,
    PolicyRule, Source,
};
use leno_model::retry::{self, RepeatRule, RetryPolicy};
use leno_model::route::{
    Action, Backend, FixedResponse, Forward, HeaderEdits, HeaderMatch, Match, MatchOrder, Mirror,
    PathRewrite, QueryMatch, Redirect, RedirectPort, Rewrite, RouteTable, Rule, Scope, StreamMatch, Target,
};
use leno_model::secret::{SecretBytes, TlsSecret};
use leno_model::service::{Address, Endpoint, Locality, Protocol, ServicePort, TargetPort, Transport};
use leno_model::span::{Location, ObjectRef, Origin};
use leno_model::spiffe::{SpiffeId, TrustDomain};
use leno_model::text::{PathMatch, Pattern, TextMatch};
use leno_model::unit::{
    Answer, BundleUnit, Egress, EndpointUnit, GatewayUnit, HostUnit, InboundPort, ListenerUnit, MeshSettings,
    OutboundMode, Question, WorkloadUnit,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;

use crate::unit::Unit;
use destination::destination;

mod destination;

pub(crate) fn unit() -> BoxedStrategy<Unit> {
    prop_oneof![
        settings().prop_map(|unit| Unit::Mesh(unit.into())),
        bundle().prop_map(|unit| Unit::Bundle(unit.into())),
        endpoints().prop_map(|unit| Unit::Endpoints(unit.into())),
        host_unit().prop_map(|unit| Unit::Host(unit.into())),
        workload().prop_map(|unit| Unit::Workload(unit.into())),
        gateway().prop_map(|unit| Unit::Gateway(unit.into())),
        (question(), answer()).prop_map(|(question, answer)| Unit::Answer(question, answer)),
    ]
    .boxed()
}

fn word() -> BoxedStrategy<Arc<str>> {
    "[a-z][a-z0-9-]{0,8}".prop_map(Arc::from).boxed()
}

/// Any text, also an empty one.
fn text() -> BoxedStrategy<Arc<str>> {
    prop_oneof![Just(String::new()), "[ -~]{1,12}", "\\PC{1,6}"].prop_map(Arc::from).boxed()
}

fn target_text() -> BoxedStrategy<Arc<str>> {
    "/[!-~é]{0,12}".prop_map(Arc::from).boxed()
}

fn host() -> BoxedStrategy<Host> {
    "(\\*\\.)?[a-z]{1,8}(\\.[a-z0-9]{1,5}){0,3}".prop_map(|text| text.parse().unwrap()).boxed()
}

fn port() -> std::ops::RangeInclusive<u16> {
    1..=u16::MAX
}

fn ip() -> BoxedStrategy<IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)].boxed()
}

fn net() -> BoxedStrategy<IpNet> {
    prop_oneof![
        (any::<[u8; 4]>(), 0..=32u8).prop_map(|(ip, bits)| IpNet::new(ip.into(), bits).unwrap()),
        (any::<[u8; 16]>(), 0..=128u8).prop_map(|(ip, bits)| IpNet::new(ip.into(), bits).unwrap()),
    ]
    .boxed()
}

fn duration() -> BoxedStrategy<Duration> {
    any::<u64>().prop_map(Duration::from_nanos).boxed()
}

fn trust_domain() -> BoxedStrategy<TrustDomain> {
    "[a-z]{1,8}(\\.[a-z]{1,5})?".prop_map(|text| text.parse().unwrap()).boxed()
}

fn identity() -> BoxedStrategy<SpiffeId> {
    (trust_domain(), word(), word())
        .prop_map(|(domain, ns, sa)| SpiffeId::for_service_account(&domain, &ns, &sa).unwrap())
        .boxed()
}

fn labels() -> BoxedStrategy<Labels> {
    btree_map(word(), text(), 0..4).prop_map(Labels).boxed()
}

fn origin() -> BoxedStrategy<Origin> {
    (word(), word(), word(), text(), any::<(u32, u32)>())
        .prop_map(|(kind, namespace, name, file, (line, column))| Origin {
            object: ObjectRef { kind, namespace, name },
            location: Location { file, line, column },
        })
        .boxed()
}

fn pattern() -> BoxedStrategy<Pattern> {
    "[a-z]{1,4}(\\.\\*|\\[0-9\\]\\+)?".prop_map(|text| Pattern::new(&text).unwrap()).boxed()
}

fn text_match() -> BoxedStrategy<TextMatch> {
    prop_oneof![
        text().prop_map(TextMatch::Exact),
        text().prop_map(TextMatch::Prefix),
        text().prop_map(TextMatch::Suffix),
        pattern().prop_map(TextMatch::Regex),
        Just(TextMatch::Present),
    ]
    .boxed()
}

fn path_match() -> BoxedStrategy<PathMatch> {
    prop_oneof![
        text().prop_map(PathMatch::Exact),
        text().prop_map(PathMatch::Prefix),
        "(/[a-z]{1,4}){0,3}".prop_map(|text| PathMatch::Segments(text.into())),
        text().prop_map(PathMatch::Suffix),
        pattern().prop_map(PathMatch::Regex),
        text().prop_map(PathMatch::Template),
        Just(PathMatch::Any),
    ]
    .boxed()
}

fn protocol() -> BoxedStrategy<Protocol> {
    prop_oneof![
        Just(Protocol::Auto),
        Just(Protocol::Http),
        Just(Protocol::Http2),
        Just(Protocol::Grpc),
        Just(Protocol::Tls),
        Just(Protocol::Tcp),
    ]
    .boxed()
}

fn settings() -> BoxedStrategy<MeshSettings> {
    let wildcard = host().prop_filter("a wildcard", Host::is_wildcard);
    let outbound = prop_oneof![Just(OutboundMode::AllowAny), Just(OutboundMode::RegistryOnly)];
    let egress = of((address(), identity()).prop_map(|(address, identity)| Egress { address, identity }));
    let repeat = prop_oneof![Just(RepeatRule::Safe), Just(RepeatRule::Any)];
    let names = (trust_domain(), word(), word());
    (names, vec(net(), 0..4), vec(wildcard, 0..2), outbound, egress, repeat)
        .prop_map(|(names, ranges, wildcard_hosts, outbound, egress, repeat)| {
            let (trust_domain, cluster_domain, root_namespace) = names;
            MeshSettings {
                trust_domain,
                cluster_domain,
                root_namespace,
                ranges,
                wildcard_hosts,
                outbound,
                egress,
                repeat,
            }
        })
        .boxed()
}

fn bundle() -> BoxedStrategy<BundleUnit> {
    let root = vec(any::<u8>(), 0..20).prop_map(|mut bytes| {
        bytes.insert(0, 0x30);
        Arc::from(bytes)
    });
    (trust_domain(), vec(root, 0..3), any::<u64>())
        .prop_map(|(trust_domain, roots, sequence)| BundleUnit { trust_domain, roots, sequence })
        .boxed()
}

fn address() -> BoxedStrategy<Address> {
    prop_oneof![
        (ip(), port()).prop_map(|(ip, port)| Address::Tcp(SocketAddr::new(ip, port))),
        "(/[a-z.]{1,10}){1,4}".prop_map(|path| Address::Unix(PathBuf::from(path))),
    ]
    .boxed()
}

fn transport() -> BoxedStrategy<Transport> {
    prop_oneof![
        Just(Transport::Plain),
        address().prop_map(Transport::Native),
        address().prop_map(Transport::Hbone),
        Just(Transport::IstioMtls),
    ]
    .boxed()
}

fn endpoint() -> BoxedStrategy<Endpoint> {
    let place = (word(), word(), 1..=u32::MAX, text(), text(), any::<bool>(), of(text()));
    let locality =
        (text(), text(), text()).prop_map(|(region, zone, subzone)| Locality { region, zone, subzone });
    let ports = btree_map(port(), port(), 0..4).prop_map(|ports| ports.into_iter().collect());
    (word(), ip(), ports, transport(), of(identity()), labels(), place, locality)
        .prop_map(|(uid, ip, ports, transport, identity, labels, place, locality)| {
            let (owner, namespace, weight, network, cluster, ready, hostname) = place;
            Endpoint {
                uid,
                ip,
                ports,
                transport,
                identity,
                labels,
                owner,
                namespace,
                weight,
                locality,
                network,
                cluster,
                ready,
                hostname,
            }
        })
        .boxed()
}

fn endpoints() -> BoxedStrategy<EndpointUnit> {
    (host(), vec(endpoint(), 0..5))
        .prop_map(|(host, mut endpoints)| {
            endpoints.sort_by(|a, b| a.uid.cmp(&b.uid));
            endpoints.dedup_by(|a, b| a.uid == b.uid);
            EndpointUnit { host, endpoints }
        })
        .boxed()
}

fn match_() -> BoxedStrategy<Match> {
    let header = ("[a-z][a-z0-9-]{0,8}", text_match(), any::<bool>())
        .prop_map(|(name, value, invert)| HeaderMatch { name: name.into(), value, invert });
    let query = (text(), text_match()).prop_map(|(name, value)| QueryMatch { name, value });
    let scope = prop_oneof![
        Just(Scope::Mesh),
        (text(), word()).prop_map(|(namespace, name)| Scope::Gateway { namespace, name }),
    ];
    let request = (
        of(path_match()),
        any::<bool>(),
        of(text_match()),
        of(text_match()),
        of(text_match()),
        vec(header, 0..3),
        vec(query, 0..3),
    );
    let subnet = prop_oneof![Just("10.0.0.0/8"), Just("2001:db8::/32")].prop_map(|net| net.parse().unwrap());
    let stream = (vec(host(), 0..2), vec(subnet, 0..2))
        .prop_map(|(server_names, subnets)| StreamMatch { server_names, subnets });
    (request, of(port()), labels(), of(word()), of(vec(scope, 0..3)), of(stream))
        .prop_map(|(request, port, source_labels, source_namespace, scopes, stream)| {
            let (path, path_ignore_case, method, scheme, authority, headers, query) = request;
            Match {
                path,
                path_ignore_case,
                method,
                scheme,
                authority,
                headers,
                query,
                port,
                source_labels,
                source_namespace,
                scopes,
                stream,
            }
        })
        .boxed()
}

fn edits() -> BoxedStrategy<HeaderEdits> {
    let name = || "x-[a-z0-9_.!~-]{1,8}".prop_map(Arc::<str>::from);
    let pair = || (name(), "[ -~\té]{0,12}".prop_map(Arc::<str>::from));
    (vec(name(), 0..3), vec(pair(), 0..3), vec(pair(), 0..3))
        .prop_map(|(remove, set, add)| HeaderEdits { remove, set, add })
        .boxed()
}

fn path_rewrite() -> BoxedStrategy<PathRewrite> {
    prop_oneof![
        target_text().prop_map(PathRewrite::Full),
        target_text().prop_map(PathRewrite::Matched),
        (pattern(), target_text())
            .prop_map(|(pattern, substitution)| PathRewrite::Regex { pattern, substitution }),
    ]
    .boxed()
}

fn action() -> BoxedStrategy<Action> {
    let target = prop_oneof![
        4 => (host(), of(port()), of(word()))
            .prop_map(|(host, port, subset)| Target::Service { host, port, subset }),
        1 => text().prop_map(|reason| Target::Invalid { reason }),
    ];
    let mirror = (target.clone(), 0..=WHOLE, origin()).prop_map(|(target, share, origin)| Mirror {
        target,
        share,
        origin,
    });
    let backend = (target, any::<u32>(), edits(), edits(), origin()).prop_map(
        |(target, weight, request_headers, response_headers, origin)| Backend {
            target,
            weight,
            request_headers,
            response_headers,
            origin,
        },
    );
    let timeouts = (of(duration()), of(duration()), of(duration()));
    let again = (of(retry_policy()), any::<bool>(), of(fault_injection()), vec(mirror, 0..3));
    let forward = (vec(backend, 0..3), of(target_text()), of(path_rewrite()), timeouts, again);
    let redirect_port = prop_oneof![
        Just(RedirectPort::Derived),
        Just(RedirectPort::Request),
        Just(RedirectPort::SchemeDefault),
        port().prop_map(RedirectPort::Fixed),
    ];
    let status = prop_oneof![Just(301), Just(302), Just(303), Just(307), Just(308)];
    let redirect = (of(target_text()), of(target_text()), redirect_port, of(path_rewrite()), status);
    prop_oneof![
        3 => forward.prop_map(|(backends, authority, path, timeouts, (retry, repeatable, fault, mirrors))| {
            let rewrite = Rewrite { authority, path };
            let (timeout, per_try_timeout, hedge_after) = timeouts;
            Action::Forward(Forward {
                backends,
                rewrite,
                timeout,
                per_try_timeout,
                retry,
                repeatable,
                hedge_after,
                fault,
                mirrors,
            })
        }),
        1 => redirect.prop_map(|(scheme, host, port, path, status)| {
            Action::Redirect(Redirect { scheme, host, port, path, status })
        }),
        1 => (200..=599u16, vec(any::<u8>(), 0..9))
            .prop_map(|(status, body)| Action::Respond(FixedResponse { status, body: body.into() })),
    ]
    .boxed()
}

fn fault_injection() -> BoxedStrategy<FaultInjection> {
    let delay = (0..=WHOLE, duration()).prop_map(|(share, time)| Delay { share, time });
    let status =
        prop_oneof![(200..=599_u16).prop_map(AbortStatus::Http), (0..=16_u8).prop_map(AbortStatus::Grpc),];
    let abort = (0..=WHOLE, status).prop_map(|(share, status)| Abort { share, status });
    (of(delay), of(abort)).prop_map(|(delay, abort)| FaultInjection { delay, abort }).boxed()
}

fn retry_policy() -> BoxedStrategy<RetryPolicy> {
    let on = vec(proptest::sample::select(retry::Condition::ALL.to_vec()), 0..4);
    (any::<u32>(), on, vec(any::<u16>(), 0..3), vec(word(), 0..3), duration(), of(any::<bool>()))
        .prop_map(|(attempts, on, statuses, headers, backoff, skip_previous)| RetryPolicy {
            attempts,
            on: on.into_iter().collect(),
            statuses,
            headers,
            backoff,
            skip_previous,
        })
        .boxed()
}

fn table() -> BoxedStrategy<RouteTable> {
    let order = prop_oneof![
        Just(MatchOrder::FirstMatch),
        Just(MatchOrder::MostSpecific),
        Just(MatchOrder::Priority),
    ];
    let rule = (of(text()), origin(), vec(match_(), 0..3), any::<u32>(), action(), edits(), edits())
        .prop_map(|(name, origin, matches, priority, action, request_headers, response_headers)| Rule {
            name,
            origin,
            matches,
            priority,
            action,
            request_headers,
            response_headers,
        });
    (order, vec(rule, 0..3)).prop_map(|(order, rules)| RouteTable { order, rules }).boxed()
}

fn host_unit() -> BoxedStrategy<HostUnit> {
    let target = prop_oneof![port().prop_map(TargetPort::Number), word().prop_map(TargetPort::Name)];
    let ports = btree_map(port(), (text(), protocol(), target), 0..4).prop_map(|ports| {
        let port = |(port, (name, protocol, target))| ServicePort { port, name, protocol, target };
        ports.into_iter().map(port).collect::<Vec<_>>()
    });
    let routes = btree_map(any::<u16>(), table(), 0..3).prop_map(|routes| routes.into_iter().collect());
    let flags = any::<(bool, bool)>();
    (host(), text(), text(), vec(ip(), 0..3), ports, flags, routes, destination())
        .prop_map(|(host, namespace, name, vips, ports, (headless, external), routes, destination)| {
            HostUnit { host, namespace, name, vips, ports, headless, external, routes, destination }
        })
        .boxed()
}

fn clause<T: Clone + std::fmt::Debug + 'static>(value: BoxedStrategy<T>) -> BoxedStrategy<Clause<T>> {
    (vec(value.clone(), 0..3), vec(value, 0..2)).prop_map(|(any, none)| Clause { any, none }).boxed()
}

fn condition() -> BoxedStrategy<Condition> {
    let text_key = prop_oneof![
        word().prop_map(ConditionKey::Header),
        Just(ConditionKey::SourceNamespace),
        Just(ConditionKey::SourcePrincipal),
        Just(ConditionKey::SourceServiceAccount),
        Just(ConditionKey::SourceTrustDomain),
        Just(ConditionKey::ConnectionSni),
    ];
    let net_key = prop_oneof![
        Just(ConditionKey::SourceIp),
        Just(ConditionKey::RemoteIp),
        Just(ConditionKey::DestinationIp),
    ];
    let texts = clause(text_match().prop_map(ConditionValue::Text).boxed());
    let nets = clause(net().prop_map(ConditionValue::Net).boxed());
    let ports = clause(port().prop_map(ConditionValue::Port).boxed());
    prop_oneof![
        (text_key, texts).prop_map(|(key, values)| Condition { key, values }),
        (net_key, nets).prop_map(|(key, values)| Condition { key, values }),
        ports.prop_map(|values| Condition { key: ConditionKey::DestinationPort, values }),
    ]
    .boxed()
}

fn policies() -> BoxedStrategy<Vec<Arc<Policy>>> {
    let texts = || clause(text_match());
    let nets = || clause(net());
    let accounts = clause((text(), text()).boxed());
    let source = (texts(), texts(), accounts, texts(), nets(), nets()).prop_map(
        |(principals, namespaces, service_accounts, trust_domains, ips, remote_ips)| Source {
            principals,
            namespaces,
            service_accounts,
            trust_domains,
            ips,
            remote_ips,
        },
    );
    let operation = (texts(), clause(port().boxed()), texts(), clause(path_match()))
        .prop_map(|(hosts, ports, methods, paths)| Operation { hosts, ports, methods, paths });
    let rule = (origin(), vec(source, 0..2), vec(operation, 0..2), vec(condition(), 0..3), any::<bool>())
        .prop_map(|(origin, sources, operations, conditions, incomplete)| PolicyRule {
            origin,
            sources,
            operations,
            conditions,
            incomplete,
        });
    let action = prop_oneof![Just(PolicyAction::Allow), Just(PolicyAction::Deny)];
    let policy = (origin(), action, any::<bool>(), vec(rule, 0..2))
        .prop_map(|(origin, action, dry_run, rules)| Arc::new(Policy { origin, action, dry_run, rules }));
    vec(policy, 0..3).boxed()
}

fn workload() -> BoxedStrategy<WorkloadUnit> {
    let mode = || prop_oneof![Just(MtlsMode::Permissive), Just(MtlsMode::Strict), Just(MtlsMode::Disable)];
    let mtls = (mode(), vec((port(), mode()), 0..3), of(origin())).prop_map(|(mode, ports, origin)| Mtls {
        mode,
        ports,
        origin,
    });
    let ports = (btree_set(port(), 0..4), protocol(), of((host(), text(), text()))).prop_map(
        |(ports, protocol, service)| {
            let port = |port| InboundPort { port, protocol, service: service.clone() };
            ports.into_iter().map(port).collect::<Vec<_>>()
        },
    );
    (word(), word(), identity(), labels(), (text(), text()), vec(ip(), 0..3), ports, mtls, policies())
        .prop_map(
            |(namespace, name, identity, labels, (owner, cluster), addresses, ports, mtls, policies)| {
                let name = WorkloadName { namespace, name };
                WorkloadUnit { name, identity, labels, owner, addresses, cluster, ports, mtls, policies }
            },
        )
        .boxed()
}

fn gateway() -> BoxedStrategy<GatewayUnit> {
    let secret = ("[A-Z]{1,9}", vec(any::<u8>(), 1..9), of(text())).prop_map(|(chain, key, client_roots)| {
        Arc::new(TlsSecret { chain: chain.into(), key: SecretBytes::new(key), client_roots })
    });
    let protocol = prop_oneof![
        Just(ListenerProtocol::Http),
        Just(ListenerProtocol::Https),
        Just(ListenerProtocol::Tls),
        Just(ListenerProtocol::Tcp),
    ];
    let how = (protocol, any::<bool>());
    let listener = (word(), port(), how, of(host()), vec(secret, 0..2), vec((host(), table()), 0..2))
        .prop_map(|(name, port, (protocol, proxy_protocol), hostname, certificates, hosts)| ListenerUnit {
            name,
            port,
            protocol,
            hostname,
            certificates,
            proxy_protocol,
            hosts,
        });
    (word(), word(), vec(listener, 0..3), policies())
        .prop_map(|(namespace, name, listeners, policies)| GatewayUnit {
            namespace,
            name,
            listeners,
            policies,
        })
        .boxed()
}

fn question() -> BoxedStrategy<Question> {
    let name = "[a-z]{1,8}(\\.[a-z0-9]{1,5}){0,3}";
    prop_oneof![
        name.prop_map(|name| Question::Name(name.into())),
        (ip(), port()).prop_map(|(ip, port)| Question::Address(ip, port)),
        ("[a-z]{1,8}", "[a-z]{1,8}-[0-9]").prop_map(|(namespace, name)| {
            Question::Workload(WorkloadName { namespace: namespace.into(), name: name.into() })
        }),
    ]
    .boxed()
}

fn answer() -> BoxedStrategy<Answer> {
    prop_oneof![
        host().prop_map(Answer::Service),
        (of(host()), word()).prop_map(|(host, uid)| Answer::Endpoint { host, uid }),
        (identity(), vec(ip(), 0..3))
            .prop_map(|(identity, addresses)| Answer::Workload { identity, addresses }),
        word().prop_map(|under| Answer::Absent { under }),
    ]
    .boxed()
}
