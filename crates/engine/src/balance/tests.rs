use std::collections::BTreeMap;
use std::time::Duration;

use leno_model::destination::TrafficPolicy;
use leno_model::service::Endpoint;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;

use super::*;
use crate::explain::{Silent, Transcript};
use crate::rng::Rng;
use crate::state::{Outcome, StateTable};
use crate::testing::cases;
use crate::testing::mesh::{endpoint, host, unit};

fn cluster(balancer: Balancer, endpoints: Vec<Endpoint>) -> (Cluster, Instant) {
    let now = Instant::now();
    let policy = TrafficPolicy { balancer: Some(balancer), ..TrafficPolicy::default() };
    let states = StateTable::new(now, 5);
    (Cluster::compile(Arc::new(host(policy)), unit(endpoints), 80, None, &states).unwrap(), now)
}

fn weighted(number: u8, weight: u32) -> Endpoint {
    Endpoint { weight, ..endpoint(number) }
}

/// How often each endpoint is picked, by its number.
fn counts(picks: impl Iterator<Item = String>) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for uid in picks {
        *counts.entry(uid.trim_start_matches("default/reviews-").to_owned()).or_insert(0) += 1;
    }
    counts
}

fn idle_picks(balancer: Balancer, endpoints: Vec<Endpoint>, rounds: u32) -> BTreeMap<String, u32> {
    let (cluster, now) = cluster(balancer, endpoints);
    let mut rng = Rng::new(11);
    counts((0..rounds).map(|_| {
        let pick = cluster.pick(now, rng.draw(), &[], &mut Silent).unwrap();
        pick.endpoint.uid.to_string()
    }))
}

#[test]
fn round_robin_gives_exact_shares() {
    let shares = idle_picks(Balancer::RoundRobin, vec![weighted(1, 3), weighted(2, 1), weighted(3, 1)], 500);
    assert_eq!(shares.values().copied().collect::<Vec<_>>(), [300, 100, 100]);
}

#[test]
fn random_gives_shares_by_weight() {
    let shares = idle_picks(Balancer::Random, vec![weighted(1, 90), weighted(2, 10)], 10_000);
    assert!((8_900..=9_100).contains(&shares["1"]), "{shares:?}");
}

#[test]
fn endpoints_that_are_not_ready_get_nothing() {
    for balancer in [Balancer::PeakEwma, Balancer::RoundRobin, Balancer::Random] {
        let waiting = Endpoint { ready: false, ..endpoint(1) };
        let shares = idle_picks(balancer, vec![waiting, endpoint(2), endpoint(3)], 300);
        assert_eq!(shares.keys().collect::<Vec<_>>(), ["2", "3"], "{balancer:?}");
    }
}

/// Serves requests one by one, `spacing` apart; an endpoint's answer takes `latency`, or fails at once for `None`.
fn served(
    balancer: Balancer,
    latencies: &[Option<Duration>],
    spacing: Duration,
    rounds: u32,
) -> BTreeMap<String, u32> {
    let numbers = 1..=u8::try_from(latencies.len()).unwrap();
    let (cluster, start) = cluster(balancer, numbers.map(endpoint).collect());
    let mut rng = Rng::new(3);
    let mut under_way = Vec::new();
    counts((0..rounds).map(|round| {
        let now = start + spacing * round;
        let due = |entry: &mut (Instant, _, _)| entry.0 <= now;
        for (end, request, outcome) in under_way.extract_if(.., due) {
            crate::state::InFlight::finish(request, end, outcome);
        }
        let pick = cluster.pick(now, rng.draw(), &[], &mut Silent).unwrap();
        let number = usize::from(pick.endpoint.uid.as_bytes().last().unwrap() - b'1');
        let (end, outcome) = match latencies[number] {
            Some(latency) => (now + latency, Outcome::Answered(latency)),
            None => (now, Outcome::Failed),
        };
        under_way.push((end, pick.state.start(), outcome));
        pick.endpoint.uid.to_string()
    }))
}

#[test]
fn a_slow_endpoint_gets_less() {
    let milliseconds = |count| Some(Duration::from_millis(count));
    let latencies = [milliseconds(2), milliseconds(2), milliseconds(200)];
    let shares = served(Balancer::PeakEwma, &latencies, Duration::from_millis(1), 30_000);
    assert!(shares["3"] < 1_000, "{shares:?}");
    assert!(shares["1"].abs_diff(shares["2"]) < 6_000, "{shares:?}");
    let even = served(Balancer::RoundRobin, &latencies, Duration::from_millis(1), 30_000);
    assert_eq!(even["3"], 10_000);
}

#[test]
fn an_endpoint_that_fails_at_once_attracts_nothing() {
    let milliseconds = |count| Some(Duration::from_millis(count));
    for spacing in [Duration::from_micros(100), Duration::from_millis(1), Duration::from_millis(20)] {
        let latencies = [milliseconds(10), milliseconds(10), None];
        let shares = served(Balancer::PeakEwma, &latencies, spacing, 30_000);
        assert!(shares["3"] < 300, "{spacing:?} {shares:?}");
    }
}

#[test]
fn what_was_tried_is_picked_again_only_when_nothing_else_is_left() {
    for balancer in [Balancer::PeakEwma, Balancer::RoundRobin, Balancer::Random] {
        let (cluster, now) = cluster(balancer, (1..=4).map(endpoint).collect());
        let mut rng = Rng::new(9);
        for _ in 0..200 {
            let mut tried: Vec<Arc<str>> = Vec::new();
            for _ in 0..4 {
                let pick = cluster.pick(now, rng.draw(), &tried, &mut Silent).unwrap();
                assert!(!tried.contains(&pick.endpoint.uid), "{balancer:?} {tried:?}");
                tried.push(Arc::clone(&pick.endpoint.uid));
            }
            assert!(cluster.pick(now, rng.draw(), &tried, &mut Silent).is_ok());
        }
    }
}

#[test]
fn retries_of_one_endpoint_spread_over_the_others() {
    for balancer in [Balancer::PeakEwma, Balancer::RoundRobin, Balancer::Random] {
        let (cluster, now) = cluster(balancer, (1..=5).map(endpoint).collect());
        let mut rng = Rng::new(4);
        let tried = [endpoint(1).uid];
        let shares =
            counts((0..4_000).map(|_| {
                cluster.pick(now, rng.draw(), &tried, &mut Silent).unwrap().endpoint.uid.to_string()
            }));
        assert!(shares.values().all(|share| (700..1_350).contains(share)), "{balancer:?} {shares:?}");
    }
}

#[test]
fn a_transcript_names_whom_the_winner_was_compared_with() {
    let (cluster, now) = cluster(Balancer::PeakEwma, vec![endpoint(1), endpoint(2)]);
    for (number, (_, state)) in (1_u64..).zip(cluster.endpoints()) {
        state.start().finish(now, Outcome::Answered(Duration::from_millis(number)));
    }
    let mut transcript = Transcript::default();
    let pick = cluster.pick(now, 1, &[], &mut transcript).unwrap();
    assert_eq!(&*pick.endpoint.uid, "default/reviews-1");
    let event = |number: u8, outcome| Event::Endpoint { uid: endpoint(number).uid, outcome };
    let costlier = EndpointOutcome::Costlier { cost: 2_000_000, picked: 1_000_000 };
    assert_eq!(transcript.events, [event(1, EndpointOutcome::Picked), event(2, costlier)]);
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_pick_is_always_a_ready_endpoint_and_a_listener_changes_nothing(
        weights in proptest::collection::vec((any::<u32>(), any::<bool>()), 0..6),
        balancer in select(vec![Balancer::PeakEwma, Balancer::RoundRobin, Balancer::Random]),
        draws in proptest::collection::vec(any::<u64>(), 1..20),
        tried in select(vec![vec![], vec![endpoint(1).uid], vec![endpoint(1).uid, endpoint(2).uid]]),
    ) {
        let endpoints = || (1..).zip(&weights).map(|(number, (weight, ready))| {
            Endpoint { ready: *ready, ..weighted(number, *weight) }
        });
        let ready = endpoints().filter(|endpoint| endpoint.ready).count();
        let (silent, now) = cluster(balancer, endpoints().collect());
        let (told, _) = cluster(balancer, endpoints().collect());
        for draw in draws {
            let pick = silent.pick(now, draw, &tried, &mut Silent).map(|pick| &*pick.endpoint.uid);
            let mut transcript = Transcript::default();
            let again = told.pick(now, draw, &tried, &mut transcript).map(|pick| &*pick.endpoint.uid);
            prop_assert_eq!(pick, again);
            prop_assert_eq!(transcript.events.len(), weights.len());
            match pick {
                Ok(uid) => prop_assert!(endpoints().any(|endpoint| endpoint.ready && &*endpoint.uid == uid)),
                Err(failure) => prop_assert_eq!((failure, ready), (Failure::NoEndpoint, 0)),
            }
        }
    }
}
