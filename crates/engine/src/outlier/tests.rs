use std::collections::HashMap;

use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::state::StateTable;
use crate::testing::cases;

const SECOND: Duration = Duration::from_secs(1);

struct World {
    now: Instant,
    detector: Detector,
}

impl World {
    fn new(settings: OutlierDetection, endpoints: usize) -> Self {
        let now = Instant::now();
        let states = StateTable::new(now, 1);
        let host = "a.example.com".parse().unwrap();
        let endpoints = (0..endpoints).map(|number| states.endpoint(&host, 80, &number.to_string().into()));
        let detector = Detector::new(settings, now, endpoints.collect(), Arc::default());
        Self { now, detector }
    }

    fn see(&self, endpoint: usize, outcome: Outcome) {
        self.detector.observe(&self.detector.endpoints[endpoint], self.now, outcome);
    }

    fn fail(&self, endpoint: usize, times: u32) {
        (0..times).for_each(|_| self.see(endpoint, status(500)));
    }

    fn left(&self, endpoint: usize) -> Option<Duration> {
        let elapsed = self.now.duration_since(self.detector.epoch);
        self.detector.endpoints[endpoint].health.ejected(elapsed)
    }

    fn ejected(&self) -> Vec<usize> {
        (0..self.detector.endpoints.len()).filter(|endpoint| self.left(*endpoint).is_some()).collect()
    }
}

const fn status(status: u16) -> Outcome {
    Outcome::Status { status, latency: Duration::from_millis(1) }
}

fn settings() -> OutlierDetection {
    OutlierDetection { most_percent: 100, ..OutlierDetection::default() }
}

#[test]
fn so_many_errors_in_a_row_eject_for_the_base_time() {
    let mut world = World::new(settings(), 3);
    world.fail(1, 4);
    world.see(1, status(404));
    world.fail(1, 4);
    assert!(world.ejected().is_empty(), "an answer that is no error ends the row");
    world.fail(1, 1);
    assert_eq!(world.left(1), Some(30 * SECOND));
    assert!(world.detector.is_active(world.now));
    world.now += 30 * SECOND;
    assert!(world.ejected().is_empty() && !world.detector.is_active(world.now));
}

#[test]
fn each_ejection_is_longer_until_it_is_forgotten() {
    let mut world = World::new(settings(), 3);
    for expected in [30, 60, 90] {
        world.fail(0, 5);
        assert_eq!(world.left(0), Some(expected * SECOND));
        world.now += expected * SECOND;
    }
    world.now += 25 * SECOND;
    world.fail(0, 5);
    assert_eq!(world.left(0), Some(60 * SECOND), "two intervals have passed: two are forgotten");
    world.now += 1_000 * SECOND;
    world.fail(0, 5);
    assert_eq!(world.left(0), Some(30 * SECOND));
    for _ in 0..20 {
        world.now += world.left(0).unwrap();
        world.fail(0, 5);
    }
    assert_eq!(world.left(0), Some(LONGEST_EJECTION));
}

#[test]
fn one_may_be_ejected_and_further_ones_within_the_share() {
    for (endpoints, percent, expected) in [
        (1, 10, 1),
        (3, 10, 1),
        (3, 50, 1),
        (4, 50, 2),
        (10, 10, 1),
        (10, 25, 2),
        (20, 10, 2),
        (3, 100, 3),
        (5, 0, 1),
    ] {
        let world = World::new(OutlierDetection { most_percent: percent, ..settings() }, endpoints);
        (0..endpoints).for_each(|endpoint| world.fail(endpoint, 5));
        assert_eq!(world.ejected().len(), expected, "{percent} % of {endpoints}");
    }
}

#[test]
fn too_few_healthy_ones_make_ejections_ignored() {
    let world = World::new(OutlierDetection { least_healthy_percent: 50, ..settings() }, 4);
    world.fail(0, 5);
    world.fail(1, 5);
    assert!(world.detector.is_active(world.now), "half of them is enough");
    world.fail(2, 5);
    assert!(!world.detector.is_active(world.now));
    assert_eq!(world.ejected(), [0, 1, 2], "they count as ejected all the same");
}

#[test]
fn failures_without_an_answer_are_told_apart_where_that_is_asked_for() {
    let split = OutlierDetection { server_errors: 2, local_failures: Some(3), ..settings() };
    let world = World::new(split, 2);
    [Outcome::Failed, status(500), Outcome::Failed, Outcome::Failed]
        .into_iter()
        .for_each(|outcome| world.see(0, outcome));
    assert!(world.ejected().is_empty(), "an answer, even an error, ends the row of failures to connect");
    world.see(0, Outcome::Failed);
    assert_eq!(world.ejected(), [0]);
    let world = World::new(OutlierDetection { server_errors: 0, gateway_errors: 3, ..settings() }, 2);
    [Outcome::Failed, status(502), status(504)].into_iter().for_each(|outcome| world.see(0, outcome));
    [status(503), status(500), status(503), status(503)]
        .into_iter()
        .for_each(|outcome| world.see(1, outcome));
    assert_eq!(world.ejected(), [0], "what does not answer counts as 503, and 500 is no gateway error");
}

#[test]
fn statuses_of_ones_own_replace_the_usual_ones() {
    let world = World::new(OutlierDetection { statuses: [429].into(), ..settings() }, 2);
    world.fail(0, 10);
    (0..5).for_each(|_| world.see(1, status(429)));
    assert_eq!(world.ejected(), [1]);
}

#[test]
fn a_success_rate_far_below_the_others_ejects_after_the_interval() {
    let mut world =
        World::new(OutlierDetection { success_rate: Some(1900), server_errors: 0, ..settings() }, 6);
    for request in 0..RATED_REQUESTS {
        for endpoint in 0..6 {
            let fails = endpoint == 4 && request % 3 == 0 || request % 50 == 0;
            world.see(endpoint, status(if fails { 500 } else { 200 }));
        }
    }
    assert!(world.ejected().is_empty(), "the interval goes on");
    world.now += 11 * SECOND;
    world.see(0, status(200));
    assert_eq!(world.ejected(), [4]);
}

#[test]
fn an_endpoint_much_slower_than_the_median_is_ejected_after_the_interval() {
    let observe = |slow: u64, usual: u64| {
        let mut world = World::new(OutlierDetection { latency: Some(3000), ..settings() }, 4);
        for _ in 0..LATENCY_ANSWERS {
            for endpoint in 0..4 {
                let latency = Duration::from_millis(if endpoint == 2 { slow } else { usual });
                world.see(endpoint, Outcome::Status { status: 200, latency });
            }
        }
        world.now += 11 * SECOND;
        world.see(0, status(200));
        world.ejected()
    };
    assert_eq!(observe(200, 10), [2]);
    assert!(observe(25, 10).is_empty(), "less than three times as slow");
    assert!(observe(5, 1).is_empty(), "a difference that nobody feels");
}

/// What an endpoint is known by, written down as plainly as it can be.
#[derive(Default)]
struct Plain {
    server: u32,
    gateway: u32,
    local: u32,
    until: u64,
    ejections: u64,
}

/// Ejections by the rules as they are documented; times in seconds.
fn oracle(
    settings: &OutlierDetection,
    endpoints: usize,
    events: &[(u64, usize, Outcome)],
) -> Vec<Vec<usize>> {
    let mut known: HashMap<usize, Plain> =
        (0..endpoints).map(|endpoint| (endpoint, Plain::default())).collect();
    let mut now = 0;
    let mut out = Vec::new();
    for (pause, endpoint, outcome) in events {
        now += pause;
        let ejected = known.values().filter(|plain| plain.until > now).count();
        let plain = known.get_mut(endpoint).unwrap();
        let (mut server, mut gateway, mut local) = (false, false, false);
        match outcome {
            Outcome::Failed if settings.local_failures.is_some() => local = true,
            Outcome::Failed => (server, gateway) = (true, true),
            Outcome::Status { status, .. } => {
                (server, gateway) = (*status >= 500, (502..=504).contains(status))
            }
            Outcome::Answered(_) => {}
        }
        if local {
            plain.local += 1;
        } else {
            plain.local = 0;
            plain.server = if server { plain.server + 1 } else { 0 };
            plain.gateway = if gateway { plain.gateway + 1 } else { 0 };
        }
        let mut enough = false;
        let limits = [settings.server_errors, settings.gateway_errors, settings.local_failures.unwrap_or(0)];
        for (count, most) in [&mut plain.server, &mut plain.gateway, &mut plain.local].into_iter().zip(limits)
        {
            if most > 0 && *count >= most {
                *count = 0;
                enough = true;
            }
        }
        let share = 100 * (ejected + 1) <= endpoints * settings.most_percent as usize;
        if enough && plain.until <= now && (ejected == 0 || share) {
            let forgotten = (now - plain.until) / settings.interval.as_secs();
            plain.ejections = plain.ejections.saturating_sub(forgotten) + 1;
            plain.until = now + (settings.base.as_secs() * plain.ejections).min(300);
        }
        out.push((0..endpoints).filter(|endpoint| known[endpoint].until > now).collect());
    }
    out
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn ejections_are_those_of_the_rules(
        limits in (0..4_u32, 0..4_u32, proptest::option::of(1..4_u32), 0..=100_u32),
        times in (1..20_u64, 1..60_u64),
        endpoints in 1..6_usize,
        events in proptest::collection::vec((0..20_u64, 0..6_usize, outcome()), 1..120),
    ) {
        let (server_errors, gateway_errors, local_failures, most_percent) = limits;
        let settings = OutlierDetection {
            server_errors,
            gateway_errors,
            local_failures,
            most_percent,
            interval: Duration::from_secs(times.0),
            base: Duration::from_secs(times.1),
            ..OutlierDetection::default()
        };
        let events: Vec<_> = events.into_iter().map(|(pause, at, outcome)| (pause, at % endpoints, outcome)).collect();
        let expected = oracle(&settings, endpoints, &events);
        let mut world = World::new(settings, endpoints);
        for ((pause, endpoint, outcome), expected) in events.into_iter().zip(expected) {
            world.now += Duration::from_secs(pause);
            world.see(endpoint, outcome);
            prop_assert_eq!(world.ejected(), expected);
        }
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => proptest::strategy::Just(status(500)),
        3 => proptest::strategy::Just(status(503)),
        2 => proptest::strategy::Just(Outcome::Failed),
        1 => any::<bool>().prop_map(|quick| if quick { status(200) } else { Outcome::Answered(SECOND) }),
    ]
}
