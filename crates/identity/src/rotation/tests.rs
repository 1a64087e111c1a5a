use std::time::UNIX_EPOCH;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn settings() -> Settings {
    Settings { lifetime: 6 * HOUR, jitter: 0.0, ..Settings::default() }
}

fn rotation(settings: Settings, held: Option<Validity>) -> Rotation {
    Rotation::new(settings, held, start(), fastrand::Rng::with_seed(7))
}

fn requested(actions: &[Action]) -> Option<Attempt> {
    actions.iter().find_map(|action| match action {
        Action::Request { attempt, .. } => Some(*attempt),
        _ => None,
    })
}

fn signed(now: SystemTime, lifetime: Duration) -> Validity {
    Validity { not_before: now - (lifetime / 10).min(MINUTE), not_after: now + lifetime }
}

#[test]
fn the_first_request_comes_at_once_and_the_next_after_a_sixth_of_life() {
    let mut rotation = rotation(settings(), None);
    let attempt = requested(&rotation.handle(Event::Tick, start())).expect("a request");
    let validity = Validity { not_before: start(), not_after: start() + 6 * HOUR };
    assert_eq!(rotation.handle(Event::Issued(attempt, validity), start()), [Action::Install(attempt)]);
    assert_eq!(rotation.handle(Event::Tick, start() + HOUR - SECOND), []);
    let again = rotation.handle(Event::Tick, start() + HOUR);
    assert!(matches!(again[..], [Action::Request { lifetime, .. }] if lifetime == 6 * HOUR), "{again:?}");
}

#[test]
fn a_held_svid_is_renewed_by_its_own_dates() {
    for (age, due) in [(Duration::ZERO, HOUR), (HOUR / 2, HOUR / 2), (5 * HOUR, Duration::ZERO)] {
        let not_before = start() - age;
        let held = Validity { not_before, not_after: not_before + 6 * HOUR };
        let mut rotation = rotation(settings(), Some(held));
        assert_eq!(rotation.nap(start()), due.min(LONGEST_NAP), "{age:?}");
        if let Some(before) = due.checked_sub(SECOND) {
            assert_eq!(rotation.handle(Event::Tick, start() + before), [], "{age:?}");
        }
        assert!(requested(&rotation.handle(Event::Tick, start() + due)).is_some(), "{age:?}");
    }
}

#[test]
fn a_signer_that_backdates_much_is_not_asked_in_a_loop() {
    let mut rotation = rotation(settings(), None);
    let attempt = requested(&rotation.handle(Event::Tick, start())).expect("a request");
    let validity = Validity { not_before: start() - 100 * HOUR, not_after: start() + HOUR };
    rotation.handle(Event::Issued(attempt, validity), start());
    assert_eq!(rotation.nap(start() + 4 * MINUTE), LONGEST_NAP);
    assert!(requested(&rotation.handle(Event::Tick, start() + 4 * MINUTE)).is_none());
    assert!(requested(&rotation.handle(Event::Tick, start() + 5 * MINUTE)).is_some());
}

#[test]
fn the_end_is_told_once_and_what_ended_before_arrival_is_not_used() {
    let held = signed(start(), MINUTE);
    let mut rotation = rotation(settings(), Some(held));
    let end = start() + MINUTE + SECOND;
    let actions = rotation.handle(Event::Tick, end);
    let attempt = requested(&actions).expect("a request");
    assert!(actions.contains(&Action::Expired));
    assert_eq!(rotation.handle(Event::Tick, end + SECOND), []);
    let stale = Event::Issued(attempt, signed(start() - HOUR, MINUTE));
    assert_eq!(rotation.handle(stale, end + SECOND), []);
    let attempt = requested(&rotation.handle(Event::Tick, end + SECOND + URGENT_RETRY)).expect("a retry");
    let fresh = Event::Issued(attempt, signed(end, MINUTE));
    assert_eq!(rotation.handle(fresh, end + 2 * SECOND), [Action::Install(attempt)]);
    let again = rotation.handle(Event::Tick, end + 3 * MINUTE);
    assert!(again.contains(&Action::Expired), "a second end is told too: {again:?}");
}

#[test]
fn answers_to_given_up_requests_are_ignored() {
    let mut rotation = rotation(settings(), None);
    let first = requested(&rotation.handle(Event::Tick, start())).expect("a request");
    let mut now = start() + Settings::default().request_timeout;
    rotation.handle(Event::Tick, now);
    now += FIRST_RETRY;
    let second = requested(&rotation.handle(Event::Tick, now)).expect("a retry after the timeout");
    assert_eq!(rotation.handle(Event::Issued(first, signed(now, HOUR)), now), []);
    assert_eq!(rotation.handle(Event::Failed(first), now), []);
    assert_eq!(rotation.handle(Event::Issued(second, signed(now, HOUR)), now), [Action::Install(second)]);
    assert_eq!(rotation.handle(Event::Failed(second), now), [], "it was answered already");
}

#[test]
fn a_reachable_signer_ends_the_wait_and_a_renewal_can_be_forced() {
    let held = signed(start(), 6 * HOUR);
    let mut rotation = rotation(settings(), Some(held));
    let mut now = start() + HOUR;
    for _ in 0..8 {
        let attempt = requested(&rotation.handle(Event::Tick, now)).expect("a request");
        rotation.handle(Event::Failed(attempt), now);
        now += LONGEST_RETRY;
    }
    let attempt = requested(&rotation.handle(Event::Tick, now)).expect("a request");
    rotation.handle(Event::Failed(attempt), now);
    assert!(rotation.nap(now) > 20 * SECOND, "the wait has grown");
    rotation.handle(Event::Reachable, now);
    assert!(rotation.nap(now) <= SECOND);
    let attempt = requested(&rotation.handle(Event::Tick, now + SECOND)).expect("a request");
    rotation.handle(Event::Issued(attempt, signed(now, 6 * HOUR)), now);
    rotation.handle(Event::Reachable, now);
    assert_eq!(rotation.nap(now), LONGEST_NAP, "nothing failed, nothing to hurry");
    rotation.handle(Event::Renew, now);
    assert!(rotation.nap(now) <= SECOND);
    let attempt = requested(&rotation.handle(Event::Tick, now + SECOND)).expect("a request");
    rotation.handle(Event::Renew, now + SECOND);
    let old = Event::Issued(attempt, signed(now, HOUR));
    assert_eq!(rotation.handle(old, now + SECOND), [], "asked for before the change");
    assert!(requested(&rotation.handle(Event::Tick, now + 2 * SECOND)).is_some());
}

#[test]
fn one_that_ended_before_the_start_is_told_and_replaced_at_once() {
    let held = signed(start() - HOUR, MINUTE);
    let mut rotation = rotation(settings(), Some(held));
    assert_eq!(rotation.nap(start()), Duration::ZERO);
    let actions = rotation.handle(Event::Tick, start());
    assert!(matches!(actions[..], [Action::Request { .. }, Action::Expired]), "{actions:?}");
}

#[test]
fn a_clock_that_steps_back_does_not_stretch_waits() {
    let held = signed(start(), 6 * HOUR);
    let mut rotation = rotation(settings(), Some(held));
    let yesterday = start() - 24 * HOUR;
    assert_eq!(rotation.handle(Event::Tick, yesterday), []);
    assert!(requested(&rotation.handle(Event::Tick, yesterday + HOUR)).is_some());
}

/// A workload and a signer with clocks of their own, an outage plan, and a seed.
struct World {
    random: fastrand::Rng,
    rotation: Rotation,
    /// True time.
    now: SystemTime,
    /// The workload's clock minus true time, in seconds.
    skew: i64,
    lifetime: Duration,
    in_flight: Option<(Attempt, SystemTime)>,
    usable: Option<Validity>,
    expired: bool,
    requests: u32,
}

impl World {
    fn new(seed: u64, lifetime: Duration, skew: i64) -> Self {
        let settings = Settings { lifetime, ..Settings::default() };
        let local = shift(start(), skew);
        let rotation = Rotation::new(settings, None, local, fastrand::Rng::with_seed(seed));
        let random = fastrand::Rng::with_seed(!seed);
        let (in_flight, usable, expired, requests) = (None, None, false, 0);
        Self { random, rotation, now: start(), skew, lifetime, in_flight, usable, expired, requests }
    }

    fn local(&self) -> SystemTime {
        shift(self.now, self.skew)
    }

    fn handle(&mut self, event: Event) {
        let mut answer = None;
        if let Event::Issued(_, validity) = event {
            answer = Some(validity);
        }
        for action in self.rotation.handle(event, self.local()) {
            match action {
                Action::Request { attempt, .. } => {
                    assert!(
                        self.in_flight.is_none_or(|(old, _)| old != attempt),
                        "asked twice as {attempt:?}"
                    );
                    self.requests += 1;
                    let delay = Duration::from_millis(self.random.u64(1..3000));
                    self.in_flight = Some((attempt, self.now + delay));
                }
                Action::Install(_) => {
                    self.usable = answer;
                    self.expired = false;
                }
                Action::Expired => {
                    assert!(!self.expired, "told twice");
                    let end = self.usable.expect("nothing to expire").not_after;
                    assert!(self.local() > end, "told too early");
                    self.expired = true;
                }
            }
        }
    }

    /// Runs for a while of true time. The signer's clock is the true one.
    fn run(&mut self, duration: Duration, reachable: bool) {
        let end = self.now + duration;
        while self.now < end {
            let nap = self.rotation.nap(self.local()).max(Duration::from_millis(1));
            let mut next = (self.now + nap).min(end);
            if let Some((_, arrival)) = self.in_flight {
                next = next.min(arrival.max(self.now));
            }
            self.now = next;
            match self.in_flight {
                Some((attempt, arrival)) if arrival <= self.now => {
                    self.in_flight = None;
                    let event = if reachable {
                        Event::Issued(attempt, signed(self.now, self.lifetime))
                    } else {
                        Event::Failed(attempt)
                    };
                    self.handle(event);
                }
                _ => self.handle(Event::Tick),
            }
        }
    }

    fn usable_for_peers(&self) -> bool {
        let now = self.now;
        self.usable.is_some_and(|held| held.not_before <= now && now <= held.not_after)
    }
}

fn shift(time: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time - by } else { time + by }
}

proptest::proptest! {
    /// While the signer answers, a workload always has an SVID that peers accept, asks seldom, and its clock may be wrong
    /// by a third of the lifetime.
    #[test]
    fn skewed_clocks_never_lose_their_identity(seed: u64, minutes in 1_u64..600, skew in -30_i64..30) {
        let lifetime = Duration::from_secs(minutes * 60);
        let minute_share = i64::try_from(minutes).expect("small") * 60 / 100;
        let mut world = World::new(seed, lifetime, minute_share * skew);
        world.run(5 * SECOND, true);
        for _ in 0..100 {
            world.run(lifetime / 10, true);
            assert!(world.usable_for_peers() && !world.expired, "at {:?}", world.now);
        }
        assert!((10..=200).contains(&world.requests), "{} requests in ten lives", world.requests);
    }

    /// Outages shorter than what remains of an SVID aren't noticed; longer ones end within 5 s of the signer's return.
    #[test]
    fn outages_are_survived_or_recovered_from(seed: u64, minutes in 1_u64..60, outages in proptest::collection::vec(0.0_f64..2.0, 1..8)) {
        let lifetime = Duration::from_secs(minutes * 60);
        let mut world = World::new(seed, lifetime, 0);
        for outage in outages {
            world.run(lifetime.mul_f64(0.7) + 10 * SECOND, true);
            assert!(world.usable_for_peers(), "recovered at {:?}", world.now);
            let outage = lifetime.mul_f64(outage);
            world.run(outage, false);
            if outage < lifetime.mul_f64(0.7) {
                assert!(world.usable_for_peers() && !world.expired, "noticed an outage of {outage:?}");
            }
            if outage > lifetime + SECOND {
                assert!(world.expired, "not told after {outage:?}");
                // The answer to a last request takes up to 3 s here.
                world.run(URGENT_RETRY + 3 * SECOND, true);
                assert!(world.usable_for_peers() && !world.expired, "not back in time");
            }
        }
    }

    /// The local clock jumps at random: the workload recovers as soon as the clock is right again, and never asks in a loop.
    #[test]
    fn jumping_clocks_recover(seed: u64, jumps in proptest::collection::vec(-200_000_i64..200_000, 1..10)) {
        let lifetime = 6 * HOUR;
        let mut world = World::new(seed, lifetime, 0);
        for jump in jumps {
            world.skew = jump;
            world.run(HOUR, true);
        }
        world.skew = 0;
        let before = world.requests;
        world.run(12 * HOUR, true);
        assert!(world.usable_for_peers() && !world.expired);
        assert!(world.requests - before <= 40, "{} requests in 12 h", world.requests - before);
    }
}
