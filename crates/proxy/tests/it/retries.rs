//! Requests that are tried again, and those that are not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_model::pool::ConnectionPool;
use leno_model::retry::{Condition, Conditions, RepeatRule, RetryPolicy};
use leno_model::route::Forward;
use leno_model::service::{Address, Protocol, Transport};
use leno_model::unit::HostUnit;
use leno_wire::Unit;

use crate::apps::{App, Does, refusing};
use crate::ask::ask;
use crate::routes::{forward, routed};
use crate::world::{OWN, World, service, workload};

fn policy(on: &[Condition]) -> Option<RetryPolicy> {
    let on: Conditions = on.iter().copied().collect();
    Some(RetryPolicy { on, ..RetryPolicy::IMPLICIT })
}

const ALL: [Condition; 4] =
    [Condition::ServerError, Condition::Reset, Condition::ConnectFailure, Condition::RefusedStream];

/// The ways to fail, over each protocol that a service may speak.
const WAYS: [(Protocol, Does); 8] = [
    (Protocol::Http, Does::Answer(503)),
    (Protocol::Http, Does::Reset),
    (Protocol::Http, Does::ResetMidBody),
    (Protocol::Http, Does::Hang),
    (Protocol::Http2, Does::Answer(503)),
    (Protocol::Http2, Does::Reset),
    (Protocol::Http2, Does::ResetMidBody),
    (Protocol::Http2, Does::Hang),
];

#[tokio::test]
async fn what_a_policy_names_is_tried_elsewhere_with_the_same_body() {
    for (protocol, does) in WAYS {
        let (bad, good) = (App::new(protocol, does).await, App::new(protocol, Does::Answer(200)).await);
        let forward = Forward {
            retry: policy(&ALL),
            repeatable: true,
            per_try_timeout: Some(Duration::from_millis(200)),
            ..forward()
        };
        let world = World::new();
        let web = world.web(routed(protocol, &[bad.address, good.address], forward), 1).await;
        for number in 0..4 {
            let body = format!("order {number}");
            let got = ask(web, "POST", "", &body).await;
            assert_eq!((got.status, got.body.ends_with(&body)), (200, true), "{protocol:?} {does:?} {got:?}");
        }
        assert!(bad.hits() > 0, "{protocol:?} {does:?}");
        assert_eq!(good.hits(), 4, "{protocol:?} {does:?}");
        world.counted("web", "leno_retries_total", &[("outcome", "again")], bad.hits() as f64).await;
    }
}

#[tokio::test]
async fn what_may_have_taken_effect_is_sent_once() {
    for (protocol, does) in WAYS {
        let apps = [App::new(protocol, does).await, App::new(protocol, does).await];
        let forward = Forward { retry: policy(&ALL), timeout: Some(Duration::from_millis(200)), ..forward() };
        let world = World::new();
        let targets = [apps[0].address, apps[1].address];
        let web = world.web(routed(protocol, &targets, forward), 1).await;
        for _ in 0..4 {
            let got = ask(web, "POST", "", "order").await;
            assert!(got.status >= 503, "{protocol:?} {does:?} {got:?}");
        }
        assert_eq!(apps[0].hits() + apps[1].hits(), 4, "{protocol:?} {does:?}");
    }
}

#[tokio::test]
async fn a_mesh_may_repeat_everything() {
    let (bad, good) =
        (App::new(Protocol::Http, Does::Reset).await, App::new(Protocol::Http, Does::Answer(200)).await);
    let forward = Forward { retry: policy(&ALL), ..forward() };
    let world = World::new();
    world.repeat(RepeatRule::Any);
    let web = world.web(routed(Protocol::Http, &[bad.address, good.address], forward), 1).await;
    for _ in 0..4 {
        assert_eq!(ask(web, "POST", "", "order").await.status, 200);
    }
    assert!(bad.hits() > 0);
}

#[tokio::test]
async fn what_was_not_processed_is_tried_elsewhere_without_a_policy() {
    for protocol in [Protocol::Http, Protocol::Http2] {
        let good = App::new(protocol, Does::Answer(200)).await;
        let (refusing, _held) = refusing();
        let world = World::new();
        let web = world.web(routed(protocol, &[refusing, good.address], forward()), 1).await;
        for _ in 0..4 {
            assert_eq!(ask(web, "POST", "", "order").await.status, 200, "{protocol:?}");
        }
        assert_eq!(good.hits(), 4);
    }
    let (refusing, good) =
        (App::new(Protocol::Http2, Does::Refuse).await, App::new(Protocol::Http2, Does::Answer(200)).await);
    let world = World::new();
    let web = world.web(routed(Protocol::Http2, &[refusing.address, good.address], forward()), 1).await;
    for _ in 0..4 {
        let got = ask(web, "POST", "", "order").await;
        assert_eq!((got.status, got.body.ends_with("order")), (200, true), "{got:?}");
    }
    assert!(refusing.hits() > 0, "its streams were refused after their bodies had come");
}

#[tokio::test]
async fn a_policy_without_tries_tries_nothing() {
    let good = App::new(Protocol::Http, Does::Answer(200)).await;
    let (refusing, _held) = refusing();
    let none = RetryPolicy { attempts: 0, ..RetryPolicy::IMPLICIT };
    let world = World::new();
    let forward = Forward { retry: Some(none), ..forward() };
    let web = world.web(routed(Protocol::Http, &[refusing, good.address], forward), 1).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(web, "GET", "", "").await.status);
    }
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    assert_eq!(world.count("web", "istio_requests_total", &[("response_flags", "URX")]).await, 0.0);
}

/// A gRPC answer without a body has its status in the head.
#[tokio::test]
async fn a_status_in_the_head_of_a_grpc_answer_counts() {
    let (bad, good) =
        (App::new(Protocol::Grpc, Does::Grpc(14)).await, App::new(Protocol::Grpc, Does::Answer(200)).await);
    for (repeatable, expected) in [(true, 4), (false, 2)] {
        let world = World::new();
        let forward = Forward { retry: policy(&[Condition::Unavailable]), repeatable, ..forward() };
        let web = world.web(routed(Protocol::Grpc, &[bad.address, good.address], forward), 1).await;
        let before = good.hits();
        for _ in 0..4 {
            ask(web, "POST", "content-type: application/grpc\r\nte: trailers\r\n", "message").await;
        }
        assert_eq!(good.hits() - before, expected, "repeatable: {repeatable}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_to_keep_is_sent_once() {
    let (bad, good) = (
        App::new(Protocol::Http, Does::Answer(503)).await,
        App::new(Protocol::Http, Does::Answer(200)).await,
    );
    let forward = Forward { retry: policy(&ALL), repeatable: true, ..forward() };
    let world = World::new();
    let web = world.web(routed(Protocol::Http, &[bad.address, good.address], forward), 1).await;
    let large = "x".repeat(leno_http::limits::REPLAY_BYTES + 1);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(web, "PUT", "", &large).await.status);
    }
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    let kept = "x".repeat(leno_http::limits::REPLAY_BYTES / 2);
    for _ in 0..4 {
        let got = ask(web, "PUT", "", &kept).await;
        assert_eq!((got.status, got.body.ends_with(&kept)), (200, true));
    }
    assert!(world.count("web", "leno_retries_total", &[("outcome", "body")]).await >= 1.0);
    assert_eq!(world.count("web", "leno_buffered_bytes", &[]).await, 0.0);
}

#[tokio::test]
async fn tries_and_time_run_out_with_their_flags() {
    let cases = [(Does::Answer(503), "URX", 503), (Does::Reset, "UC,URX", 503), (Does::Hang, "UT,URX", 504)];
    for (does, flags, status) in cases {
        let bad = App::new(Protocol::Http, does).await;
        let forward =
            Forward { retry: policy(&ALL), per_try_timeout: Some(Duration::from_millis(100)), ..forward() };
        let world = World::new();
        let web = world.web(routed(Protocol::Http, &[bad.address], forward), 1).await;
        let got = ask(web, "GET", "", "").await;
        assert_eq!((got.status, bad.hits()), (status, 3), "{does:?} {got:?}");
        // However many tries: one request at the source, and none more than was asked.
        world.counted("web", "istio_requests_total", &[("response_flags", flags)], 1.0).await;
        world.counted("web", "istio_requests_total", &[], 1.0).await;
        world.counted("web", "leno_retries_total", &[("outcome", "exhausted")], 1.0).await;
    }
    let hanging = App::new(Protocol::Http, Does::Hang).await;
    let forward = Forward { retry: policy(&ALL), timeout: Some(Duration::from_millis(100)), ..forward() };
    let world = World::new();
    let web = world.web(routed(Protocol::Http, &[hanging.address], forward), 1).await;
    let got = ask(web, "GET", "", "").await;
    assert_eq!((got.status, hanging.hits()), (504, 1), "the time for all tries is over");
    world.counted("web", "istio_requests_total", &[("response_flags", "UT")], 1.0).await;
}

#[tokio::test]
async fn an_endpoint_has_all_of_its_time_however_long_there_was_no_connection() {
    let (pause, limit) = (Duration::from_millis(300), Duration::from_millis(450));
    let slow = App::new(Protocol::Http, Does::AnswerLate(200, pause)).await;
    let forward = Forward { per_try_timeout: Some(limit), ..forward() };
    let [Unit::Host(unit), endpoints] = routed(Protocol::Http, &[slow.address], forward) else {
        panic!("a host");
    };
    let mut unit = HostUnit::clone(&unit);
    let pool = ConnectionPool { connections: Some(1), ..ConnectionPool::default() };
    unit.destination.policy.pool = Some(pool);
    let world = World::new();
    let web = world.web([Unit::Host(Arc::new(unit)), endpoints], 1).await;
    let began = Instant::now();
    // The second one waits for the only connection for as long as the first one takes.
    let (one, other) = tokio::join!(ask(web, "POST", "", "order"), ask(web, "POST", "", "order"));
    assert_eq!((one.status, other.status, slow.hits()), (200, 200, 2), "{one:?} {other:?}");
    assert!(began.elapsed() > limit, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_budget_that_is_used_up_says_so() {
    let bad = App::new(Protocol::Http, Does::Answer(503)).await;
    let forward = Forward { retry: policy(&ALL), ..forward() };
    let world = World::new();
    let [Unit::Host(unit), endpoints] = routed(Protocol::Http, &[bad.address], forward) else {
        panic!("a host");
    };
    let mut unit = HostUnit::clone(&unit);
    let budget = leno_model::retry::RetryBudget { share: 0, minimum: 0, interval: None };
    unit.destination.policy.retry_budget = Some(budget);
    let web = world.web([Unit::Host(Arc::new(unit)), endpoints], 1).await;
    assert_eq!(ask(web, "GET", "", "").await.status, 503);
    assert_eq!(bad.hits(), 1);
    world.counted("web", "istio_requests_total", &[("response_flags", "UO")], 1.0).await;
    world.counted("web", "leno_retries_total", &[("outcome", "budget")], 1.0).await;
}

#[tokio::test]
async fn tries_are_numbered_and_wishes_end_here() {
    let (bad, good) = (
        App::new(Protocol::Http, Does::Answer(503)).await,
        App::new(Protocol::Http, Does::Answer(200)).await,
    );
    let world = World::new();
    let web = world.web(routed(Protocol::Http, &[bad.address, good.address], forward()), 1).await;
    let wishes = "x-envoy-retry-on: 5xx\r\nX-Envoy-Max-Retries: 1\r\nx-envoy-attempt-count: 9\r\n";
    let mut counts = Vec::new();
    for _ in 0..2 {
        let got = ask(web, "GET", wishes, "").await;
        assert_eq!(got.status, 200);
        let seen = got.body.to_ascii_lowercase();
        assert!(!seen.contains("retry-on") && !seen.contains("max-retries"), "{seen}");
        assert!(!seen.contains("expected-rq-timeout"), "nobody waits for a certain time: {seen}");
        let count = seen.lines().filter_map(|line| line.strip_prefix("x-envoy-attempt-count: "));
        counts.extend(count.map(ToOwned::to_owned));
    }
    counts.sort_unstable();
    assert_eq!(counts, ["1", "2"]);
}

/// The value of a field in a head that an app has sent back.
fn milliseconds(seen: &str, name: &str) -> Option<u64> {
    let value = seen.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
    match value.split_at(value.len().checked_sub(1)?) {
        (digits, "n") => digits.parse::<u64>().ok().map(|count| count / 1_000_000),
        (digits, "u") => digits.parse::<u64>().ok().map(|count| count / 1000),
        (digits, "m") => digits.parse().ok(),
        (digits, "S") => digits.parse::<u64>().ok().map(|count| count * 1000),
        _ => value.parse().ok(),
    }
}

#[tokio::test]
async fn deadlines_shrink_on_their_way() {
    let app = App::new(Protocol::Grpc, Does::Answer(200)).await;
    let world = World::new();
    let timed = Forward { timeout: Some(Duration::from_secs(5)), ..forward() };
    let web = world.web(routed(Protocol::Grpc, &[app.address], timed), 1).await;
    let expected = "x-envoy-expected-rq-timeout-ms";
    let grpc = "content-type: application/grpc\r\nte: trailers\r\n";
    let cases: [(String, Option<u64>, u64); 5] = [
        (String::new(), None, 5000),
        (format!("{grpc}grpc-timeout: 2S\r\n"), Some(2000), 2000),
        (format!("{grpc}grpc-timeout: 9S\r\n"), Some(5000), 5000),
        (format!("{grpc}grpc-timeout: 2S\r\n{expected}: 1000\r\n"), Some(1000), 1000),
        (format!("{expected}: 1000\r\n"), None, 1000),
    ];
    for (fields, grpc_most, most) in cases {
        let got = ask(web, "POST", &fields, "message").await;
        let told = milliseconds(&got.body, expected).expect("the next hop is told");
        assert!(told <= most && told > most / 2, "{fields:?} {told}");
        let grpc_told = milliseconds(&got.body, "grpc-timeout");
        assert_eq!(grpc_told.is_some(), grpc_most.is_some(), "{fields:?}");
        if let (Some(told), Some(most)) = (grpc_told, grpc_most) {
            assert!(told <= most && told > most / 2, "{fields:?} {told}");
        }
    }
    // What is no deadline is the application's business.
    let got = ask(web, "POST", &format!("{grpc}grpc-timeout: soon\r\n"), "message").await;
    assert!(got.body.contains("grpc-timeout: soon"), "{got:?}");
    let late = ask(web, "POST", &format!("{grpc}grpc-timeout: 0m\r\n"), "message").await;
    assert!(late.head.contains("grpc-status: 4"), "{late:?}");
}

#[tokio::test]
async fn a_second_try_is_told_what_the_first_has_left() {
    const LOST: u64 = 400;
    let late = Does::AnswerLate(503, Duration::from_millis(LOST));
    let (bad, good) =
        (App::new(Protocol::Grpc, late).await, App::new(Protocol::Grpc, Does::Answer(200)).await);
    let forward =
        Forward { retry: policy(&ALL), repeatable: true, timeout: Some(Duration::from_secs(9)), ..forward() };
    let world = World::new();
    let web = world.web(routed(Protocol::Grpc, &[bad.address, good.address], forward), 1).await;
    let deadlines = ["grpc-timeout", "x-envoy-expected-rq-timeout-ms"];
    let fields = "content-type: application/grpc\r\nte: trailers\r\ngrpc-timeout: 4S\r\nx-envoy-expected-rq-timeout-ms: 4000\r\n";
    for number in 0..4 {
        let got = ask(web, "POST", fields, &format!("order {number}")).await;
        assert_eq!(got.status, 200, "{got:?}");
    }
    let firsts = bad.seen();
    assert!(!firsts.is_empty());
    for first in firsts {
        let (_, order) = first.rsplit_once("order ").unwrap();
        let second = good.seen().into_iter().find(|seen| seen.ends_with(&format!("order {order}"))).unwrap();
        for name in deadlines {
            let [before, after] = [&first, &second].map(|seen| milliseconds(seen, name).unwrap());
            assert!(
                before <= 4000 && after <= before - LOST && after > 2000,
                "{name}: {before}, then {after}"
            );
        }
    }
}

#[tokio::test]
async fn a_second_try_beside_a_slow_one_is_for_what_is_repeatable() {
    for protocol in [Protocol::Http, Protocol::Http2] {
        for repeatable in [true, false] {
            let (slow, fast) =
                (App::new(protocol, Does::Hang).await, App::new(protocol, Does::Answer(200)).await);
            let forward = Forward {
                repeatable,
                hedge_after: Some(Duration::from_millis(50)),
                timeout: Some(Duration::from_secs(2)),
                ..forward()
            };
            let world = World::new();
            let web = world.web(routed(protocol, &[slow.address, fast.address], forward), 1).await;
            let mut statuses = Vec::new();
            for _ in 0..2 {
                let began = Instant::now();
                let got = ask(web, "POST", "", "order").await;
                assert!(got.status != 200 || got.body.ends_with("order"), "{got:?}");
                statuses.push((got.status, began.elapsed() < Duration::from_secs(2)));
            }
            statuses.sort_unstable();
            statuses.dedup();
            if repeatable {
                assert_eq!(statuses, [(200, true)], "{protocol:?}");
                let slow = slow.hits();
                assert!(slow > 0 && fast.hits() == 2, "{slow} went to the slow one first");
                world.counted("web", "leno_retries_total", &[("outcome", "hedged")], slow as f64).await;
                world.counted("web", "istio_requests_total", &[("response_code", "200")], 2.0).await;
                world.counted("web", "istio_requests_total", &[], 2.0).await;
            } else {
                assert_eq!(statuses, [(200, true), (504, false)], "{protocol:?}");
                assert_eq!(world.count("web", "leno_retries_total", &[("outcome", "hedged")]).await, 0.0);
            }
        }
    }
}

/// A bad answer leaves it to the other try.
#[tokio::test]
async fn of_two_tries_the_first_good_answer_counts() {
    let (slow, bad) = (
        App::new(Protocol::Http, Does::AnswerLate(200, Duration::from_millis(300))).await,
        App::new(Protocol::Http, Does::Answer(503)).await,
    );
    let forward = Forward {
        retry: policy(&[Condition::ServerError]),
        hedge_after: Some(Duration::from_millis(50)),
        ..forward()
    };
    let world = World::new();
    let web = world.web(routed(Protocol::Http, &[slow.address, bad.address], forward), 1).await;
    for _ in 0..4 {
        assert_eq!(ask(web, "GET", "", "").await.status, 200);
    }
    assert!(bad.hits() > 0);
}

/// A kept connection that has died says nothing about the server.
#[tokio::test]
async fn a_stale_connection_is_no_error() {
    for protocol in [Protocol::Http, Protocol::Http2] {
        let none = RetryPolicy { attempts: 0, ..RetryPolicy::IMPLICIT };
        for does in [Does::CloseAfterAnswer, Does::DieOnSecond] {
            let app = App::new(protocol, does).await;
            let world = World::new();
            let forward = Forward { retry: Some(none.clone()), ..forward() };
            let web = world.web(routed(protocol, &[app.address], forward), 1).await;
            for number in 0..6 {
                let got = ask(web, "GET", "", "").await;
                assert_eq!(got.status, 200, "{protocol:?} {does:?} request {number} {got:?}");
            }
            world.counted("web", "istio_requests_total", &[("response_code", "200")], 6.0).await;
        }
    }
}

/// The application's own proxy says that it got nothing; what the application itself says is not believed.
#[tokio::test]
async fn a_proxy_of_the_mesh_says_what_was_not_processed() {
    let (dead, _held) = refusing();
    let world = World::new();
    let path = world.app(workload(&[(dead.port(), Protocol::Http)], Vec::new())).await;
    let native = Transport::Native(Address::Unix(path));
    let web = world.web(service(Protocol::Http, native, (OWN, dead.port()).into()), 2).await;
    let got = ask(web, "POST", "", "order").await;
    assert_eq!(got.status, 503);
    assert!(!got.head.contains("x-leno-"), "{got:?}");
    // One request for its sender, and one for each try where they arrived.
    world.counted("web", "istio_requests_total", &[("reporter", "source")], 1.0).await;
    world.counted("app", "istio_requests_total", &[("reporter", "destination")], 3.0).await;

    let liar = App::new(Protocol::Http, Does::Claim("untouched")).await;
    let world = World::new();
    let forward = Forward { retry: policy(&ALL), ..forward() };
    let web = world.web(routed(Protocol::Http, &[liar.address], forward), 1).await;
    let got = ask(web, "POST", "", "order").await;
    assert_eq!((got.status, liar.hits()), (503, 1), "{got:?}");
    assert!(!got.head.contains("x-leno-"), "{got:?}");
}

/// The same behind the application's own proxy, which takes the claim off.
#[tokio::test]
async fn an_application_can_not_ask_for_repetition_or_forbid_it() {
    for claim in ["untouched", "settled"] {
        let app = App::on(OWN, Protocol::Http, Does::Claim(claim)).await;
        let world = World::new();
        let path = world.app(workload(&[(app.address.port(), Protocol::Http)], Vec::new())).await;
        let native = Transport::Native(Address::Unix(path));
        let [Unit::Host(unit), endpoints] = service(Protocol::Http, native, app.address) else {
            panic!("a host");
        };
        let mut unit = HostUnit::clone(&unit);
        let [Unit::Host(with_routes), _] =
            routed(Protocol::Http, &[app.address], Forward { retry: policy(&ALL), ..forward() })
        else {
            panic!("a host");
        };
        unit.routes.clone_from(&with_routes.routes);
        let web = world.web([Unit::Host(Arc::new(unit)), endpoints], 2).await;
        assert_eq!(ask(web, "POST", "", "order").await.status, 503);
        assert_eq!(app.hits(), 1, "{claim}: a POST is not repeated");
        assert_eq!(ask(web, "GET", "", "").await.status, 503);
        assert_eq!(app.hits(), 4, "{claim}: a GET is");
    }
}
