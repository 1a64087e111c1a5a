use std::collections::BTreeMap;
use std::time::Duration;

use leno_model::destination::{TrafficPolicy, Warmup};
use leno_model::outlier::OutlierDetection;
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
    let policy = TrafficPolicy { balancer: Some(balancer.clone()), ..TrafficPolicy::default() };
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
    let (cluster, now) = cluster(balancer.clone(), endpoints);
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
        let shares = idle_picks(balancer.clone(), vec![waiting, endpoint(2), endpoint(3)], 300);
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
    let (cluster, start) = cluster(balancer.clone(), numbers.map(endpoint).collect());
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
        under_way.push((end, pick.start(), outcome));
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
        let (cluster, now) = cluster(balancer.clone(), (1..=4).map(endpoint).collect());
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
        let (cluster, now) = cluster(balancer.clone(), (1..=5).map(endpoint).collect());
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
        let (silent, now) = cluster(balancer.clone(), endpoints().collect());
        let (told, _) = cluster(balancer.clone(), endpoints().collect());
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

/// How an endpoint serves from some moment on.
#[derive(Clone, Copy, Debug)]
enum Serves {
    /// It answers after this time.
    After(Duration),
    /// It answers 503 at once.
    Errors,
    /// It can't be connected to.
    Refuses,
    /// It takes requests and never answers.
    Hangs,
}

/// Serves `rate` requests a second; all endpoints answer after `latency` in the first two seconds, then endpoint 1
/// serves as `turned`. Returns its share from the fourth second to the twelfth, and how many requests it got at all.
fn share_of_turned(endpoints: u8, rate: u32, latency: Duration, turned: Serves) -> (f64, u32) {
    let (cluster, start) = cluster(Balancer::PeakEwma, (1..=endpoints).map(endpoint).collect());
    let mut rng = Rng::new(u64::from(rate));
    let mut under_way: Vec<(Instant, crate::state::InFlight, Outcome)> = Vec::new();
    let (mut late, mut late_turned, mut all_turned) = (0_u32, 0_u32, 0);
    for request in 0..rate * 12 {
        let since = Duration::from_secs(1) * request / rate;
        let now = start + since;
        for (end, request, outcome) in under_way.extract_if(.., |entry| entry.0 <= now) {
            request.finish(end, outcome);
        }
        let pick = cluster.pick(now, rng.draw(), &[], &mut Silent).unwrap();
        let is_turned = &*pick.endpoint.uid == "default/reviews-1" && since >= Duration::from_secs(2);
        all_turned += u32::from(is_turned);
        if since >= Duration::from_secs(3) {
            late += 1;
            late_turned += u32::from(is_turned);
        }
        let (took, outcome) = match if is_turned { turned } else { Serves::After(latency) } {
            Serves::After(latency) => (latency, Outcome::Status { status: 200, latency }),
            Serves::Errors => (Duration::ZERO, Outcome::Status { status: 503, latency: Duration::ZERO }),
            Serves::Refuses => (Duration::ZERO, Outcome::Failed),
            Serves::Hangs => (Duration::from_secs(3600), Outcome::Failed),
        };
        under_way.push((now + took, pick.start(), outcome));
    }
    (f64::from(late_turned) / f64::from(late), all_turned)
}

#[test]
fn an_endpoint_that_turns_bad_keeps_less_than_a_hundredth_after_a_second() {
    let milliseconds = Duration::from_millis;
    let bad = [Serves::Errors, Serves::Refuses, Serves::Hangs, Serves::After(milliseconds(10_000))];
    for turned in bad {
        for endpoints in [2, 3, 10] {
            for latency in [milliseconds(1), milliseconds(20), milliseconds(100)] {
                let (share, requests) = share_of_turned(endpoints, 500, latency, turned);
                assert!(share < 0.01, "{turned:?} of {endpoints} at {latency:?}: {share}, {requests} in all");
            }
        }
    }
}

fn cluster_with(policy: TrafficPolicy, endpoints: Vec<Endpoint>) -> (Cluster, Instant) {
    let now = Instant::now();
    let states = StateTable::new(now, 5);
    (Cluster::compile(Arc::new(host(policy)), unit(endpoints), 80, None, &states).unwrap(), now)
}

const ALL: [Balancer; 3] = [Balancer::PeakEwma, Balancer::RoundRobin, Balancer::Random];

#[test]
fn an_ejected_endpoint_gets_nothing_and_comes_back_by_itself() {
    for balancer in ALL {
        let outlier = Some(OutlierDetection { most_percent: 100, ..OutlierDetection::default() });
        let policy = TrafficPolicy { balancer: Some(balancer.clone()), outlier, ..TrafficPolicy::default() };
        let (cluster, now) = cluster_with(policy, (1..=3).map(endpoint).collect());
        let fail = |number: u8| {
            let pick = cluster.pick_by_uid(&endpoint(number).uid, &mut Silent).unwrap();
            (0..5).for_each(|_| pick.start().finish(now, Outcome::Failed));
        };
        fail(1);
        let mut rng = Rng::new(1);
        let mut picked = |tried: &[Arc<str>], now: Instant| {
            let uid = |_| {
                let pick = cluster.pick(now, rng.draw(), tried, &mut Silent).unwrap();
                pick.endpoint.uid.trim_start_matches("default/reviews-").to_owned()
            };
            (0..200).map(uid).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(picked(&[], now), ["2".into(), "3".into()].into(), "{balancer:?}");
        assert_eq!(picked(&[endpoint(2).uid, endpoint(3).uid], now), ["2".into(), "3".into()].into());
        fail(2);
        assert_eq!(picked(&[], now), ["3".into()].into(), "{balancer:?}");
        let mut transcript = Transcript::default();
        cluster.pick(now, 1, &[], &mut transcript).unwrap();
        let left = Duration::from_secs(30);
        let ejected = Event::Endpoint { uid: endpoint(1).uid, outcome: EndpointOutcome::Ejected { left } };
        assert!(transcript.events.contains(&ejected), "{transcript:?}");
        fail(3);
        assert_eq!(cluster.pick(now, 1, &[], &mut Silent).err(), Some(Failure::NoEndpoint));
        assert!(cluster.pick_by_uid(&endpoint(1).uid, &mut Silent).is_ok(), "who means it gets it");
        assert_eq!(cluster.ejections(), 3);
        let back = now + left;
        assert!(cluster.pick(back, 1, &[], &mut Silent).is_ok());
    }
}

#[test]
fn ejections_survive_a_change_of_configuration() {
    let outlier = Some(OutlierDetection::default());
    let host = Arc::new(host(TrafficPolicy { outlier, ..TrafficPolicy::default() }));
    let now = Instant::now();
    let states = StateTable::new(now, 5);
    let compile =
        |endpoints| Cluster::compile(Arc::clone(&host), unit(endpoints), 80, None, &states).unwrap();
    let before = compile(vec![endpoint(1), endpoint(2)]);
    let pick = before.pick_by_uid(&endpoint(1).uid, &mut Silent).unwrap();
    (0..5).for_each(|_| pick.start().finish(now, Outcome::Failed));
    let after = compile(vec![endpoint(1), endpoint(2), endpoint(3)]);
    for draw in 0..100 {
        let pick = after.pick(now, mix(draw), &[], &mut Silent).unwrap();
        assert_ne!(pick.endpoint.uid, endpoint(1).uid);
    }
    let exported = after.export(now);
    let (copy, _) = cluster_with(after.policy().clone(), vec![endpoint(1), endpoint(2), endpoint(3)]);
    copy.restore(&exported, now);
    assert_eq!(copy.export(now), exported);
}

#[test]
fn a_new_endpoint_gets_its_share_slowly() {
    let warmup = Some(Warmup { duration: Duration::from_secs(100), minimum: 100_000, aggression: 1000 });
    for balancer in ALL {
        let policy = TrafficPolicy { balancer: Some(balancer.clone()), warmup, ..TrafficPolicy::default() };
        let host = Arc::new(host(policy));
        let start = Instant::now();
        let states = StateTable::new(start, 5);
        let compile = |count| {
            let endpoints = (1..=count).map(endpoint).collect();
            Cluster::compile(Arc::clone(&host), unit(endpoints), 80, None, &states).unwrap()
        };
        let mut rng = Rng::new(2);
        let mut share = |cluster: &Cluster, now: Instant| {
            let is_new = |_: &u32| {
                let pick = cluster.pick(now, rng.draw(), &[], &mut Silent).unwrap();
                pick.endpoint.uid == endpoint(3).uid
            };
            (0..10_000_u32).filter(is_new).count()
        };
        let old = compile(2);
        share(&old, start);
        let all = compile(3);
        let later = start + Duration::from_secs(200);
        for (after, low, high) in [(0, 300, 700), (50, 1_700, 2_300), (100, 3_000, 3_700)] {
            let share = share(&all, later + Duration::from_secs(after));
            assert!((low..high).contains(&share), "{balancer:?} after {after} s: {share}");
        }
    }
}
