use std::collections::BTreeSet;
use std::sync::Arc;

use leno_model::destination::TrafficPolicy;
use leno_model::retry::{Conditions, RepeatRule, RetryBudget, RetryPolicy};

use super::*;
use crate::explain::{Silent, Transcript};
use crate::rng::Rng;

fn policy(on: &str, attempts: u32) -> RetryPolicy {
    let on = on.split(',').filter_map(Condition::from_name).collect();
    RetryPolicy {
        on,
        attempts,
        statuses: vec![418],
        headers: vec!["x-again".into()],
        ..RetryPolicy::IMPLICIT
    }
}

fn settings(policy: &RetryPolicy) -> Settings<'_> {
    Settings { policy: Some(policy), ..Settings::IMPLICIT }
}

fn no_field(_name: &str) -> bool {
    false
}

fn answered(status: u16) -> End<'static> {
    End::Answered(Answer { status, grpc_status: None, has_field: &no_field, mark: None })
}

fn first(end: End<'_>) -> Tried<'_> {
    Tried { end, tries: 1, replayable: true, left: None }
}

fn reason(terms: &Terms<'_>, tried: &Tried<'_>) -> Option<Reason> {
    match decide(terms, tried, None, Instant::now(), 0, &mut Silent) {
        Verdict::Again { .. } => None,
        Verdict::Enough(reason) => Some(reason),
    }
}

/// What a condition means, word by word of Envoy's documentation.
fn condition_holds(name: &str, end: &End<'_>) -> bool {
    let (status, grpc, fields): (u16, u16, &[&str]) = match end {
        End::Answered(answer) => {
            let named: &[&str] = if (answer.has_field)("x-again") { &["x-again"] } else { &[] };
            (answer.status, answer.grpc_status.unwrap_or(0), named)
        }
        End::Failed(..) => (0, 0, &[]),
    };
    let nothing = matches!(end, End::Failed(..));
    let not_sent = matches!(end, End::Failed(_, Progress::NotSent));
    match name {
        "5xx" => nothing || status / 100 == 5,
        "gateway-error" => nothing || [502, 503, 504].contains(&status),
        "reset" => nothing,
        "reset-before-request" | "connect-failure" => not_sent,
        "refused-stream" => matches!(end, End::Failed(_, Progress::Refused)),
        "retriable-4xx" => status == 409,
        "retriable-status-codes" => status == 418,
        "retriable-headers" => fields.contains(&"x-again"),
        "envoy-ratelimited" => false,
        "cancelled" => grpc == 1,
        "deadline-exceeded" => grpc == 4,
        "resource-exhausted" => grpc == 8,
        "internal" => grpc == 13,
        "unavailable" => grpc == 14,
        _ => panic!("{name}"),
    }
}

#[test]
fn decisions_are_those_of_the_oracle() {
    let mut rng = Rng::new(11);
    let mut seen = BTreeSet::new();
    let failures = [
        Failure::ConnectFailed,
        Failure::UpstreamReset,
        Failure::UpstreamClosed,
        Failure::TryTimeout,
        Failure::UpstreamTimeout,
        Failure::NoEndpoint,
        Failure::DownstreamGone,
        Failure::Denied,
    ];
    let progresses = [Progress::NotSent, Progress::Refused, Progress::Sent, Progress::ResponseStarted];
    let again = |name: &str| name == "x-again";
    for _ in 0..100_000 {
        let mut draw = |bound: usize| usize::try_from(below(rng.draw(), bound as u64)).unwrap();
        let names: Vec<&str> = (0..draw(4)).map(|_| Condition::ALL[draw(15)].name()).collect();
        let policy = policy(&names.join(","), u32::try_from(draw(4)).unwrap());
        let method = ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "get"][draw(6)];
        let declared = draw(4) == 0;
        let rule = if draw(4) == 0 { RepeatRule::Any } else { RepeatRule::Safe };
        let end = if draw(2) == 0 {
            End::Failed(failures[draw(8)], progresses[draw(4)])
        } else {
            End::Answered(Answer {
                status: [200, 409, 418, 429, 500, 501, 502, 503, 504][draw(9)],
                grpc_status: [None, Some(0), Some(1), Some(4), Some(8), Some(13), Some(14)][draw(7)],
                has_field: if draw(2) == 0 { &again } else { &no_field },
                mark: [None, None, Some(Mark::Settled)][draw(3)],
            })
        };
        let tries = 1 + u32::try_from(draw(4)).unwrap();
        let tried = Tried { end, tries, replayable: draw(4) > 0, left: None };
        let settings = Settings { repeatable: declared, ..settings(&policy) };
        let terms = Terms::new(&settings, method, rule, None);

        let over = matches!(
            end,
            End::Failed(
                Failure::UpstreamTimeout | Failure::NoEndpoint | Failure::DownstreamGone | Failure::Denied,
                _
            )
        );
        let wrong = !over && names.iter().any(|name| condition_holds(name, &end));
        let settled = matches!(end, End::Answered(Answer { mark: Some(Mark::Settled), .. }));
        let clean = matches!(end, End::Failed(_, Progress::NotSent | Progress::Refused));
        let harmless =
            clean || declared || rule == RepeatRule::Any || ["GET", "HEAD", "OPTIONS"].contains(&method);
        let expected = wrong && !settled && tries <= policy.attempts && harmless && tried.replayable;
        let reason = reason(&terms, &tried);
        assert_eq!(reason.is_none(), expected, "{names:?} {method} {tried:?} {reason:?}");
        seen.extend(reason.map(|reason| format!("{reason:?}")));
    }
    let all = ["BodyNotKept", "Exhausted", "MayHaveTakenEffect", "NotNamed", "Off", "Settled"];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), all);
}

#[test]
fn good_answers_meet_the_conditions_that_any_answer_meets() {
    let fields =
        |present: bool| move |name: &str| present && matches!(name, "x-again" | "x-envoy-ratelimited");
    for condition in Condition::ALL {
        let policy = RetryPolicy { statuses: vec![200, 418], ..policy(condition.name(), 1) };
        let terms = Terms::new(&settings(&policy), "GET", RepeatRule::Safe, None);
        for status in [200, 204, 304, 399, 400, 409, 418, 429, 500, 503] {
            for grpc_status in (0..17).map(Some).chain([None]) {
                for mark in [None, Some(Mark::Settled), Some(Mark::Untouched)] {
                    for present in [false, true] {
                        let answer = Answer { status, grpc_status, has_field: &fields(present), mark };
                        let met = meets(&terms, &answer, condition);
                        assert_eq!(names_answer(&terms, &answer), met, "{condition:?} {answer:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_implicit_policy_repeats_only_what_was_not_processed() {
    let terms = |method, rule| Terms::new(&Settings::IMPLICIT, method, rule, None);
    let unavailable =
        End::Answered(Answer { status: 200, grpc_status: Some(14), has_field: &no_field, mark: None });
    let untouched = End::Answered(Answer {
        status: 503,
        grpc_status: None,
        has_field: &no_field,
        mark: Some(Mark::Untouched),
    });
    let cases = [
        ("POST", End::Failed(Failure::ConnectFailed, Progress::NotSent), None, None),
        ("POST", End::Failed(Failure::UpstreamRefused, Progress::Refused), None, None),
        ("POST", untouched, None, None),
        ("POST", unavailable, Some(Reason::MayHaveTakenEffect), None),
        ("GET", unavailable, None, None),
        ("POST", answered(503), Some(Reason::NotNamed), Some(Reason::NotNamed)),
        (
            "GET",
            End::Failed(Failure::UpstreamReset, Progress::Sent),
            Some(Reason::NotNamed),
            Some(Reason::NotNamed),
        ),
    ];
    for (method, end, safe, any) in cases {
        assert_eq!(reason(&terms(method, RepeatRule::Safe), &first(end)), safe, "{method} {end:?}");
        assert_eq!(reason(&terms(method, RepeatRule::Any), &first(end)), any, "{method} {end:?}");
    }
}

#[test]
fn pauses_grow_and_are_bounded_by_time() {
    let policy = policy("5xx", 20);
    let terms = Terms::new(&settings(&policy), "GET", RepeatRule::Safe, None);
    let pause = |tries, draw| {
        let tried = Tried { tries, ..first(answered(503)) };
        match decide(&terms, &tried, None, Instant::now(), draw, &mut Silent) {
            Verdict::Again { pause, .. } => pause.as_micros(),
            Verdict::Enough(reason) => panic!("{reason:?}"),
        }
    };
    let most: Vec<u128> = (1..=7).map(|tries| pause(tries, u64::MAX)).collect();
    assert_eq!(most, [24_999, 49_999, 99_999, 199_999, 249_999, 249_999, 249_999]);
    assert_eq!(pause(20, 0), 0);

    let unprocessed = End::Failed(Failure::ConnectFailed, Progress::NotSent);
    let verdict = decide(&terms, &first(unprocessed), None, Instant::now(), u64::MAX, &mut Silent);
    assert!(matches!(verdict, Verdict::Again { pause: Duration::ZERO, .. }), "{verdict:?}");

    let late = Tried { left: Some(Duration::from_millis(5)), ..first(answered(503)) };
    let verdict = decide(&terms, &late, None, Instant::now(), u64::MAX, &mut Silent);
    assert!(matches!(verdict, Verdict::Enough(Reason::NoTime)), "{verdict:?}");
}

#[test]
fn budgets_pay_for_what_cost_something() {
    let (policy, now) = (policy("5xx", 5), Instant::now());
    let terms = Terms::new(&settings(&policy), "GET", RepeatRule::Safe, None);
    let budget = Arc::new(Budget::new(now));
    let none = RetryBudget { share: 0, minimum: 0, interval: None };
    let mut limits = Limits::of(&TrafficPolicy { retry_budget: Some(none), ..TrafficPolicy::default() });
    let later = now + Duration::from_secs(1);
    let verdict = |end, limits| {
        let purse = Some(Purse { budget: &budget, limits });
        decide(&terms, &first(end), purse, later, 0, &mut Silent)
    };
    let refused = verdict(answered(503), limits);
    assert!(matches!(refused, Verdict::Enough(Reason::Budget)), "{refused:?}");
    let free = verdict(End::Failed(Failure::ConnectFailed, Progress::NotSent), limits);
    assert!(matches!(free, Verdict::Again { permit: None, .. }), "{free:?}");
    limits = Limits::of(&TrafficPolicy {
        retry_budget: Some(RetryBudget { minimum: 1, ..none }),
        ..TrafficPolicy::default()
    });
    let paid = verdict(answered(503), limits);
    assert!(matches!(paid, Verdict::Again { permit: Some(_), .. }), "{paid:?}");
}

#[test]
fn trusted_callers_have_wishes() {
    let wishes = |fields: &[(&str, &str)]| {
        let mut wishes = Wishes::default();
        for (name, value) in fields {
            let (_, wish) = Wish::FIELDS.into_iter().find(|(known, _)| known == name).expect(name);
            wishes.note(wish, value.as_bytes());
        }
        wishes
    };
    let none = policy("", 0);
    let asked = wishes(&[("x-envoy-retry-on", "5xx, nonsense"), ("x-envoy-retry-grpc-on", "internal")]);
    let terms = Terms::new(&settings(&none), "GET", RepeatRule::Safe, Some(&asked));
    assert_eq!((terms.attempts, terms.on.to_string().as_str()), (1, "5xx,internal"));
    let terms = Terms::new(&Settings::IMPLICIT, "GET", RepeatRule::Safe, Some(&asked));
    assert_eq!(
        (terms.attempts, terms.on),
        (2, Conditions::DEFAULT.union([Condition::ServerError, Condition::Internal].into_iter().collect()))
    );

    let codes = wishes(&[
        ("x-envoy-retry-on", "retriable-status-codes,retriable-headers"),
        ("x-envoy-max-retries", "7"),
        ("x-envoy-retriable-status-codes", "404,x,  429"),
        ("x-envoy-retriable-header-names", "X-Later"),
    ]);
    let terms = Terms::new(&Settings::IMPLICIT, "GET", RepeatRule::Safe, Some(&codes));
    assert_eq!(terms.attempts, 7);
    assert_eq!(reason(&terms, &first(answered(429))), None);
    assert_eq!(reason(&terms, &first(answered(400))), Some(Reason::NotNamed));
    let later = |name: &str| name == "x-later";
    let named = End::Answered(Answer { status: 200, grpc_status: None, has_field: &later, mark: None });
    assert_eq!(reason(&terms, &first(named)), None);

    let times = wishes(&[
        ("x-envoy-upstream-rq-timeout-ms", "500"),
        ("x-envoy-upstream-rq-per-try-timeout-ms", "100"),
        ("x-envoy-expected-rq-timeout-ms", "400"),
        ("x-envoy-hedge-on-per-try-timeout", "true"),
    ]);
    let terms = Terms::new(&Settings::IMPLICIT, "GET", RepeatRule::Safe, Some(&times));
    assert_eq!(terms.timeout, Some(Duration::from_millis(400)), "the nearer of the two");
    assert_eq!((terms.per_try, terms.hedge_after), (None, Some(Duration::from_millis(100))));
    let terms = Terms::new(&Settings::IMPLICIT, "POST", RepeatRule::Safe, Some(&times));
    assert_eq!((terms.per_try, terms.hedge_after), (Some(Duration::from_millis(100)), None));

    let unlimited =
        wishes(&[("x-envoy-upstream-rq-timeout-ms", "0"), ("x-envoy-expected-rq-timeout-ms", "0")]);
    let route = Settings { timeout: Some(Duration::from_secs(1)), ..Settings::IMPLICIT };
    assert_eq!(Terms::new(&route, "GET", RepeatRule::Safe, Some(&unlimited)).timeout, None);
}

#[test]
fn hedges_are_for_what_is_repeatable() {
    let declared =
        Settings { repeatable: true, hedge_after: Some(Duration::from_millis(50)), ..Settings::IMPLICIT };
    let now = Instant::now();
    let terms = Terms::new(&declared, "POST", RepeatRule::Safe, None);
    assert_eq!(terms.hedge_after, Some(Duration::from_millis(50)));
    assert!(matches!(hedge(&terms, 1, true, None, now), Ok(None)));
    assert!(matches!(hedge(&terms, 3, true, None, now), Err(Reason::Exhausted)));
    assert!(matches!(hedge(&terms, 1, false, None, now), Err(Reason::BodyNotKept)));
    let undeclared = Settings { repeatable: false, ..declared };
    assert_eq!(Terms::new(&undeclared, "POST", RepeatRule::Safe, None).hedge_after, None);
    assert!(Terms::new(&undeclared, "GET", RepeatRule::Safe, None).hedge_after.is_some());
}

#[test]
fn decisions_are_told() {
    let policy = policy("5xx", 1);
    let terms = Terms::new(&settings(&policy), "POST", RepeatRule::Safe, None);
    let mut transcript = Transcript::default();
    terms.tell(&mut transcript);
    let _verdict = decide(&terms, &first(answered(503)), None, Instant::now(), 0, &mut transcript);
    let [Event::Tries(tries), Event::Retry { tries: 1, outcome }] = transcript.events.as_slice() else {
        panic!("{transcript:?}");
    };
    assert_eq!((tries.attempts, tries.repeatable), (1, Repeatable::No));
    assert_eq!(*outcome, Err(Reason::MayHaveTakenEffect));
}

#[test]
fn marks_have_one_spelling() {
    for mark in [Mark::Settled, Mark::Untouched] {
        assert_eq!(Mark::from_value(mark.value().as_bytes()), Some(mark));
    }
    assert_eq!(Mark::from_value(b"yes"), None);
}
