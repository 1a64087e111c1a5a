//! Faults that routes inject.

use std::time::{Duration, Instant};

use leno_model::fault::{Abort, AbortStatus, Delay, FaultInjection, WHOLE};
use leno_model::retry::{Condition, RetryPolicy};
use leno_model::route::Forward;
use leno_model::service::Protocol;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::apps::{App, Does};
use crate::ask::{Got, ask};
use crate::routes::{forward, routed};
use crate::world::World;

const PAUSE: Duration = Duration::from_millis(200);

const GRPC: &str = "content-type: application/grpc\r\nte: trailers\r\n";

fn faulty(delay: Option<Duration>, abort: Option<AbortStatus>) -> Forward {
    let fault = FaultInjection {
        delay: delay.map(|time| Delay { share: WHOLE, time }),
        abort: abort.map(|status| Abort { share: WHOLE, status }),
    };
    // What Envoy would have retried most readily.
    let on = [Condition::ServerError, Condition::Reset, Condition::Unavailable].into_iter().collect();
    let retry = RetryPolicy { on, ..RetryPolicy::IMPLICIT };
    Forward { fault: Some(fault), retry: Some(retry), repeatable: true, ..forward() }
}

/// What a client gets of an app behind a route, how long that takes, and the app and its mesh.
async fn asked(protocol: Protocol, forward: Forward, fields: &str) -> (Got, Duration, App, World) {
    let app = App::new(protocol, Does::Answer(200)).await;
    let world = World::new();
    let web = world.web(routed(protocol, &[app.address], forward), 1).await;
    let began = Instant::now();
    let got = ask(web, "POST", fields, "order").await;
    (got, began.elapsed(), app, world)
}

#[tokio::test]
async fn an_abort_is_answered_here_and_not_tried_again() {
    let cases = [
        (AbortStatus::Http(418), "", 418, None),
        (AbortStatus::Http(503), "", 503, None),
        (AbortStatus::Http(503), GRPC, 200, Some("14")),
        (AbortStatus::Http(418), GRPC, 200, Some("2")),
        (AbortStatus::Grpc(8), GRPC, 200, Some("8")),
        (AbortStatus::Grpc(8), "", 200, None),
    ];
    for (status, fields, http, grpc) in cases {
        let (got, _, app, world) = asked(Protocol::Http2, faulty(None, Some(status)), fields).await;
        assert_eq!((got.status, app.hits()), (http, 0), "{status:?} {got:?}");
        match grpc {
            Some(grpc) => {
                assert!(got.head.contains(&format!("grpc-status: {grpc}\r\n")), "{got:?}");
                assert!(got.head.contains("grpc-message: fault filter abort\r\n"), "{got:?}");
            }
            None => assert_eq!(got.body, "fault filter abort"),
        }
        let code = http.to_string();
        let labels = [("response_code", code.as_str()), ("response_flags", "FI"), ("reporter", "source")];
        world.counted("web", "istio_requests_total", &labels, 1.0).await;
        world.counted("web", "istio_requests_total", &[], 1.0).await;
        world.counted("web", "leno_faults_total", &[("fault", "abort")], 1.0).await;
        assert_eq!(world.count("web", "leno_retries_total", &[]).await, 0.0);
    }
}

/// The route's time begins after the delay, as with Envoy.
#[tokio::test]
async fn a_delay_comes_before_everything_else() {
    for timeout in [None, Some(PAUSE / 2)] {
        let forward = Forward { timeout, ..faulty(Some(PAUSE), None) };
        let (got, took, app, world) = asked(Protocol::Http, forward, "").await;
        assert_eq!((got.status, app.hits()), (200, 1), "{got:?}");
        assert!(took >= PAUSE, "{took:?}");
        world.counted("web", "istio_requests_total", &[("response_flags", "DI")], 1.0).await;
        world.counted("web", "istio_requests_total", &[], 1.0).await;
        world.counted("web", "leno_faults_total", &[("fault", "delay")], 1.0).await;
    }
    let (got, took, app, world) =
        asked(Protocol::Http, faulty(Some(PAUSE), Some(AbortStatus::Http(500))), "").await;
    assert_eq!((got.status, app.hits()), (500, 0), "{got:?}");
    assert!(took >= PAUSE, "{took:?}");
    world.counted("web", "istio_requests_total", &[("response_flags", "DI,FI")], 1.0).await;
}

/// Who waits with a deadline has waited: what is left of it goes on, and nothing does when nothing is left.
#[tokio::test]
async fn a_caller_s_deadline_goes_by_during_a_delay() {
    let long = format!("{GRPC}grpc-timeout: 60S\r\nx-envoy-expected-rq-timeout-ms: 50000\r\n");
    let (got, _, app, _world) = asked(Protocol::Grpc, faulty(Some(PAUSE), None), &long).await;
    assert_eq!((got.status, app.hits()), (200, 1), "{got:?}");
    let told = got.body.lines().find_map(|line| line.strip_prefix("x-envoy-expected-rq-timeout-ms: "));
    let told: u64 = told.expect("the next hop is told").parse().unwrap();
    assert!(told <= 49_800 && told > 40_000, "{told}");
    for fields in [format!("{GRPC}grpc-timeout: 100m\r\n"), "x-envoy-expected-rq-timeout-ms: 100\r\n".into()]
    {
        let (got, _, app, world) = asked(Protocol::Grpc, faulty(Some(PAUSE), None), &fields).await;
        assert_eq!(app.hits(), 0, "{got:?}");
        world.counted("web", "istio_requests_total", &[("response_flags", "UT,DI")], 1.0).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_a_delay_sends_nothing_on() {
    let app = App::new(Protocol::Http, Does::Answer(200)).await;
    let world = World::new();
    let delayed = faulty(Some(Duration::from_secs(600)), None);
    let web = world.web(routed(Protocol::Http, &[app.address], delayed), 1).await;
    let mut stream = TcpStream::connect(web).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n").await.unwrap();
    world.counted("web", "leno_faults_total", &[("fault", "delay")], 1.0).await;
    drop(stream);
    world.counted("web", "istio_requests_total", &[("response_flags", "DI,DC")], 1.0).await;
    assert_eq!(app.hits(), 0);
}

#[tokio::test]
async fn a_share_of_the_requests_has_the_fault() {
    let app = App::new(Protocol::Http, Does::Answer(200)).await;
    let abort = Abort { share: WHOLE / 2, status: AbortStatus::Http(500) };
    let fault = Some(FaultInjection { delay: None, abort: Some(abort) });
    let world = World::new();
    let web = world.web(routed(Protocol::Http, &[app.address], Forward { fault, ..forward() }), 1).await;
    let mut aborted = 0;
    for _ in 0..200 {
        aborted += u32::from(ask(web, "GET", "", "").await.status == 500);
    }
    assert!((50..150).contains(&aborted), "{aborted} of 200");
    assert_eq!(app.hits(), 200 - usize::try_from(aborted).unwrap());
}
