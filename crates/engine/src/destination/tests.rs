use std::time::Duration;

use leno_model::destination::Balancer;

use super::*;
use crate::explain::{Event, Silent, Transcript};
use crate::rng::Rng;
use crate::state::Outcome;
use crate::testing::mesh::{endpoint, host, unit};

fn cluster(
    policy: TrafficPolicy,
    endpoints: Vec<Endpoint>,
    port: u16,
    subset: Option<&str>,
) -> Result<Cluster, Failure> {
    let states = StateTable::new(Instant::now(), 1);
    Cluster::compile(Arc::new(host(policy)), unit(endpoints), port, subset, &states)
}

fn pick_failure(cluster: &Cluster) -> Option<Failure> {
    cluster.pick(Instant::now(), 7, &[], &mut Silent).err()
}

#[test]
fn what_does_not_exist_and_what_is_empty_have_names() {
    let all = || vec![endpoint(1)];
    let compile = |port, subset| cluster(TrafficPolicy::default(), all(), port, subset);
    assert_eq!(compile(81, None).err(), Some(Failure::NoDestination));
    assert_eq!(compile(80, Some("v7")).err(), Some(Failure::NoDestination));
    assert_eq!(pick_failure(&compile(80, Some("v1")).unwrap()), None);
    assert_eq!(pick_failure(&compile(80, Some("v9")).unwrap()), Some(Failure::NoEndpoint));
    assert_eq!(pick_failure(&compile(90, None).unwrap()), Some(Failure::NoEndpoint));
    let waiting = Endpoint { ready: false, ..endpoint(1) };
    let cluster = cluster(TrafficPolicy::default(), vec![waiting], 80, None).unwrap();
    assert_eq!(pick_failure(&cluster), Some(Failure::NoEndpoint));
    let by_uid = cluster.pick_by_uid("default/reviews-1", &mut Silent).unwrap();
    assert_eq!(by_uid.target, ([10, 0, 0, 1], 8080).into());
}

#[test]
fn a_subset_is_told_by_labels() {
    let other = Endpoint { labels: [("version", "v2")].into_iter().collect(), ..endpoint(2) };
    let cluster = cluster(TrafficPolicy::default(), vec![endpoint(1), other], 80, Some("v2")).unwrap();
    for draw in 0..20_u64 {
        let pick = cluster.pick(Instant::now(), draw << 59, &[], &mut Silent).unwrap();
        assert_eq!(&*pick.endpoint.uid, "default/reviews-2");
    }
    assert_eq!(cluster.pick_by_uid("default/reviews-1", &mut Silent).err(), Some(Failure::NoEndpoint));
    assert_eq!((cluster.subset(), cluster.port(), cluster.endpoints().count()), (Some("v2"), 80, 1));
}

#[test]
fn the_way_to_an_endpoint_follows_mode_and_transport() {
    let address = || Address::Unix("/run/leno/reviews.sock".into());
    let transports =
        [Transport::Plain, Transport::Native(address()), Transport::Hbone(address()), Transport::IstioMtls];
    let external = TlsMode::External(ExternalTls::default());
    for (mode, expected) in [
        (None, ["plain", "native", "hbone", "istio"]),
        (Some(TlsMode::Auto), ["plain", "native", "hbone", "istio"]),
        (Some(TlsMode::Disable), ["plain", "plain", "plain", "plain"]),
        (Some(TlsMode::Mesh), ["TlsFailed", "native", "hbone", "istio"]),
        (Some(external), ["external", "external", "external", "external"]),
    ] {
        for (transport, expected) in transports.iter().zip(expected) {
            let endpoint = Endpoint { transport: transport.clone(), ..endpoint(1) };
            let policy = TrafficPolicy { tls: mode.clone(), ..TrafficPolicy::default() };
            let cluster = cluster(policy, vec![endpoint], 80, None).unwrap();
            let word = match cluster.pick(Instant::now(), 7, &[], &mut Silent).map(|pick| pick.connect) {
                Ok(Connect::Plain) => "plain",
                Ok(Connect::Native { .. }) => "native",
                Ok(Connect::Hbone { .. }) => "hbone",
                Ok(Connect::IstioMtls { .. }) => "istio",
                Ok(Connect::External(_)) => "external",
                Err(failure) => failure.name(),
            };
            assert_eq!(word, expected, "{mode:?} {transport:?}");
        }
    }
}

#[test]
fn an_endpoint_of_unknown_identity_is_never_picked() {
    let unknown = Endpoint { identity: None, ..endpoint(1) };
    let policy = TrafficPolicy::default;
    let alone = cluster(policy(), vec![unknown.clone()], 80, None).unwrap();
    assert_eq!(pick_failure(&alone), Some(Failure::TlsFailed));
    let beside = cluster(policy(), vec![unknown, endpoint(2)], 80, None).unwrap();
    let mut transcript = Transcript::default();
    let pick = beside.pick(Instant::now(), 7, &[], &mut transcript).unwrap();
    assert_eq!(&*pick.endpoint.uid, "default/reviews-2");
    let event = |uid: &str, outcome| Event::Endpoint { uid: uid.into(), outcome };
    assert_eq!(
        transcript.events,
        [
            event("default/reviews-1", EndpointOutcome::Unreachable(Failure::TlsFailed)),
            event("default/reviews-2", EndpointOutcome::Picked),
        ]
    );
}

#[test]
fn ports_and_subsets_bring_their_settings() {
    let mut unit_host = host(TrafficPolicy { balancer: Some(Balancer::Random), ..TrafficPolicy::default() });
    let round_robin = TrafficPolicy { balancer: Some(Balancer::RoundRobin), ..TrafficPolicy::default() };
    unit_host.destination.subsets[0].policy = round_robin;
    let states = StateTable::new(Instant::now(), 1);
    let unit_host = Arc::new(unit_host);
    for (subset, expected) in [(None, Balancer::Random), (Some("v1"), Balancer::RoundRobin)] {
        let cluster =
            Cluster::compile(Arc::clone(&unit_host), unit(vec![endpoint(1)]), 80, subset, &states).unwrap();
        assert_eq!(cluster.policy().balancer, Some(expected));
    }
}

#[test]
fn a_port_is_named_or_the_only_one_or_the_one_dialled() {
    let two = host(TrafficPolicy::default());
    let mut one = two.clone();
    one.ports.truncate(1);
    for (host, named, dialled, expected) in [
        (&two, Some(90), 80, Some(90)),
        (&two, Some(91), 80, None),
        (&two, None, 80, Some(80)),
        (&two, None, 81, None),
        (&one, None, 81, Some(80)),
        (&one, Some(90), 80, None),
    ] {
        assert_eq!(service_port(host, named, dialled), expected);
    }
}

#[test]
fn a_restored_cluster_picks_as_the_exported_one() {
    let now = Instant::now();
    for balancer in [Balancer::PeakEwma, Balancer::RoundRobin, Balancer::Random] {
        let policy = || TrafficPolicy { balancer: Some(balancer.clone()), ..TrafficPolicy::default() };
        let endpoints = || (1..=5).map(endpoint).collect();
        let served = cluster(policy(), endpoints(), 80, None).unwrap();
        let mut rng = Rng::new(2);
        let mut under_way = Vec::new();
        for round in 0..42 {
            let pick = served.pick(now, rng.draw(), &[], &mut Silent).unwrap();
            let request = pick.state.start();
            if round % 3 == 0 {
                request.finish(now, Outcome::Answered(Duration::from_millis(round + 1)));
            } else {
                under_way.push(request);
            }
        }
        let restored = cluster(policy(), endpoints(), 80, None).unwrap();
        restored.restore(&served.export(now), now);
        for _ in 0..200 {
            let draw = rng.draw();
            let uid = |cluster: &Cluster| {
                cluster.pick(now, draw, &[], &mut Silent).unwrap().endpoint.uid.to_string()
            };
            assert_eq!(uid(&served), uid(&restored), "{balancer:?}");
        }
    }
}
