use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};

use tokio::task::coop;
use tokio::time::Instant;

use super::*;
use crate::spawn;

const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn nothing_held_is_over_at_once() {
    let (trigger, drain) = new();
    assert!(!drain.is_begun() && drain.is_open());
    assert_eq!(trigger.run(DEADLINE).await, Outcome::Graceful);
    assert!(drain.is_begun() && !drain.is_forced() && !drain.is_open());
    drain.begun().await;
    drain.drained().await;
}

#[tokio::test(start_paused = true)]
async fn waits_for_the_last_guard() {
    let (trigger, drain) = new();
    let (first, second) = (drain.guard(), drain.guard());
    assert_eq!(drain.held(), 2);
    let started = Instant::now();
    let finish = spawn("finish", {
        let drain = drain.clone();
        async move {
            drain.begun().await;
            drop(first);
            time::sleep(Duration::from_secs(3)).await;
            drop(second);
        }
    });
    assert_eq!(trigger.run(DEADLINE).await, Outcome::Graceful);
    assert_eq!(started.elapsed(), Duration::from_secs(3));
    assert_eq!(finish.await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn is_forced_at_the_deadline() {
    let (trigger, drain) = new();
    let (obeys, stuck) = (drain.guard(), drain.guard());
    let cut = spawn("cut", {
        let drain = drain.clone();
        async move {
            drain.forced().await;
            drop(obeys);
        }
    });
    let started = Instant::now();
    assert_eq!(trigger.run(DEADLINE).await, Outcome::Forced { cut: 2, stuck: 1 });
    assert_eq!(started.elapsed(), DEADLINE + FORCED_GRACE);
    assert_eq!(cut.await, Ok(()));
    drop(stuck);
    drain.drained().await;
}

#[tokio::test(start_paused = true)]
async fn somebody_loses_patience() {
    let (trigger, drain) = new();
    let guard = drain.guard();
    let started = Instant::now();
    let (outcome, ()) = tokio::join!(trigger.run(DEADLINE), async {
        time::sleep(Duration::from_secs(2)).await;
        trigger.force();
        drain.forced().await;
        drop(guard);
    });
    assert_eq!(outcome, Outcome::Forced { cut: 1, stuck: 0 });
    assert_eq!(started.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn without_its_trigger_it_never_begins() {
    let (trigger, drain) = new();
    drop(trigger);
    assert!(time::timeout(DEADLINE, drain.begun()).await.is_err());
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn one_poll_registers_whatever_the_task_did_before() {
    let (trigger, drain) = new();
    let (mut begun, mut forced) = (pin!(drain.begun()), pin!(drain.forced()));
    let woken = Arc::<Woken>::default();
    poll_fn(|cx| {
        while let Poll::Ready(spent) = coop::poll_proceed(cx) {
            spent.made_progress();
        }
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        assert!(begun.as_mut().poll(&mut cx).is_pending() && forced.as_mut().poll(&mut cx).is_pending());
        Poll::Ready(())
    })
    .await;
    // What was put off until the task rests has happened by then.
    tokio::task::yield_now().await;
    let before = woken.0.load(Ordering::Relaxed);
    trigger.force();
    assert_eq!(woken.0.load(Ordering::Relaxed) - before, 2);
}
