//! When each request is due, and which worker sends it.
//!
//! Open loop: arrivals follow a schedule that no answer can shift. A worker that is free takes the next arrival nobody has
//! taken, waits until it is due, and sends; when every worker is busy, the arrival waits and its latency still counts from
//! the moment it was due, so a stalled server can't hide its stall (no coordinated omission).
//! Closed loop: a request is due when a worker is free, which is what that mode is for and why its latencies flatter.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex, watch};

use crate::limits;

/// How arrivals are spread in the open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Spread {
    /// At equal distances
    Constant,
    /// At random distances (exponential), as independent users would
    Poisson,
}

/// What to send when.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Arrivals per second; `None` is the closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) spread: Spread,
    pub(crate) seed: u64,
    /// No arrival is due later than this after the start.
    pub(crate) duration: Option<Duration>,
    /// At most so many arrivals.
    pub(crate) requests: Option<u64>,
}

/// The due times of an open loop, one after the other, relative to the start.
#[derive(Debug)]
struct Arrivals {
    plan: Plan,
    taken: u64,
    /// Seconds of the last arrival; only random spreads use it.
    last: f64,
    random: fastrand::Rng,
}

impl Arrivals {
    fn new(plan: Plan) -> Self {
        let random = fastrand::Rng::with_seed(plan.seed);
        Self { plan, taken: 0, last: 0.0, random }
    }

    /// Takes the next arrival; `None` when the plan is done. In the closed loop it is due at once.
    fn take(&mut self, elapsed: Duration) -> Option<Duration> {
        if self.plan.requests.is_some_and(|most| self.taken >= most) {
            return None;
        }
        let due = match (self.plan.rate, self.plan.spread) {
            (None, _) => elapsed,
            // Multiplied rather than added up, so that no error accumulates.
            (Some(rate), Spread::Constant) => Duration::from_secs_f64(self.taken as f64 / rate),
            (Some(rate), Spread::Poisson) => {
                self.last += -(1.0 - self.random.f64()).ln() / rate;
                Duration::from_secs_f64(self.last)
            }
        };
        if self.plan.duration.is_some_and(|end| due >= end) {
            return None;
        }
        self.taken += 1;
        Some(due)
    }
}

/// A worker's permission to send one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// From when the latency counts.
    pub(crate) due: Instant,
    /// How long the request waited because no worker was free.
    pub(crate) waited: Duration,
    /// How long it waited because this process was slow.
    pub(crate) lag: Duration,
}

/// Hands out turns.
#[derive(Debug)]
pub(crate) struct Pacer {
    start: Instant,
    /// Held by the one worker that waits for the next arrival; the others queue behind it in order.
    arrivals: Mutex<Arrivals>,
    timer: Timer,
    stop: watch::Sender<bool>,
}

impl Pacer {
    /// Starts the clock.
    pub(crate) fn start(plan: Plan) -> io::Result<Self> {
        let timer = Timer::new()?;
        let (stop, _) = watch::channel(false);
        Ok(Self { start: Instant::now(), arrivals: Mutex::new(Arrivals::new(plan)), timer, stop })
    }

    pub(crate) fn started(&self) -> Instant {
        self.start
    }

    /// Ends the run; requests under way are finished.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the next arrival and returns when it is due; `None` when the run is over.
    pub(crate) async fn turn(&self) -> io::Result<Option<Turn>> {
        let came = Instant::now();
        let mut arrivals = self.arrivals.lock().await;
        let elapsed = self.start.elapsed();
        // A run that is far behind ends all the same; what it didn't send is counted by `unsent`.
        if *self.stop.borrow() || arrivals.plan.duration.is_some_and(|end| elapsed > end + limits::CATCH_UP) {
            return Ok(None);
        }
        let Some(due) = arrivals.take(elapsed) else { return Ok(None) };
        let due = self.start + due;
        let mut stop = self.stop.subscribe();
        tokio::select! {
            biased;
            slept = self.timer.sleep_until(due) => slept?,
            _ = stop.wait_for(|stop| *stop) => {
                arrivals.taken -= 1;
                return Ok(None);
            }
        }
        let now = Instant::now();
        Ok(Some(Turn {
            due,
            waited: came.saturating_duration_since(due),
            lag: now.saturating_duration_since(due.max(came)),
        }))
    }

    /// Reports the due times that were never sent, at the end of a run: they count too, or the worst would be left out.
    pub(crate) async fn unsent(&self, mut report: impl FnMut(Instant)) {
        let mut arrivals = self.arrivals.lock().await;
        // Without an end in time the plan is never cut short; a stopped one is cut short on purpose.
        if arrivals.plan.rate.is_none() || arrivals.plan.duration.is_none() || *self.stop.borrow() {
            return;
        }
        let elapsed = self.start.elapsed();
        while let Some(due) = arrivals.take(elapsed) {
            report(self.start + due);
        }
    }
}

/// A timer with the kernel's resolution; the runtime's own has one of a millisecond.
#[derive(Debug)]
struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    #[expect(
        deprecated,
        reason = "its successor is unsafe for types whose descriptor changes; an OwnedFd's doesn't"
    )]
    fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self(AsyncFd::with_interest(timer, Interest::READABLE)?))
    }

    /// Returns at once for a time that has passed. Only one sleep at a time.
    async fn sleep_until(&self, due: Instant) -> io::Result<()> {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let at = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let once = Itimerspec { it_interval: never, it_value: at };
        rustix::time::timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut expirations = [0_u8; 8];
            match ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut expirations)?)) {
                Ok(read) => return read.map(drop),
                // Armed anew since an older expiry was seen.
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rate: Option<f64>, spread: Spread, duration: Option<u64>, requests: Option<u64>) -> Plan {
        Plan { rate, spread, seed: 1, duration: duration.map(Duration::from_millis), requests }
    }

    fn all(plan: Plan) -> Vec<Duration> {
        let mut arrivals = Arrivals::new(plan);
        std::iter::from_fn(|| arrivals.take(Duration::ZERO)).take(1_000_000).collect()
    }

    #[test]
    fn constant_arrivals_are_exact_to_the_end() {
        let dues = all(plan(Some(3000.0), Spread::Constant, Some(100_000), None));
        assert_eq!(dues.len(), 300_000);
        assert_eq!(dues[299_999], Duration::from_secs_f64(299_999.0 / 3000.0));
    }

    #[test]
    fn requests_and_duration_bound_together() {
        assert_eq!(all(plan(Some(1000.0), Spread::Constant, Some(50), Some(20))).len(), 20);
        assert_eq!(all(plan(Some(1000.0), Spread::Constant, Some(50), Some(90))).len(), 50);
        assert_eq!(all(plan(None, Spread::Constant, None, Some(7))).len(), 7);
    }

    #[test]
    fn random_arrivals_keep_the_rate_and_repeat_with_the_seed() {
        let with_seed = |seed| all(Plan { seed, ..plan(Some(1000.0), Spread::Poisson, Some(20_000), None) });
        let dues = with_seed(1);
        assert!((19_000..21_000).contains(&dues.len()), "{}", dues.len());
        assert!(dues.is_sorted());
        assert_eq!(dues, with_seed(1));
        assert_ne!(dues, with_seed(2));
        // Independent arrivals: about 1/e of the distances exceed the mean.
        let wide = dues.windows(2).filter(|pair| pair[1] - pair[0] > Duration::from_millis(1)).count();
        let share = wide as f64 / dues.len() as f64;
        assert!((0.33..0.41).contains(&share), "{share}");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn turns_come_when_they_are_due() {
        let pacer = Pacer::start(plan(Some(2000.0), Spread::Constant, None, Some(100))).unwrap();
        let mut turns = Vec::new();
        while let Some(turn) = pacer.turn().await.unwrap() {
            assert!(Instant::now() >= turn.due);
            turns.push(turn);
        }
        assert_eq!(turns.len(), 100);
        assert_eq!(turns[99].due - turns[0].due, Duration::from_micros(49_500));
        // The median isn't bothered by a machine that pauses the test for a moment.
        turns.sort_by_key(|turn| turn.lag);
        assert!(turns[50].lag < Duration::from_micros(500), "{:?}", turns[50]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_late_worker_is_told_how_long_its_request_waited() {
        let pacer = Pacer::start(plan(Some(1000.0), Spread::Constant, Some(1000), None)).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let turn = pacer.turn().await.unwrap().unwrap();
        assert_eq!(turn.due, pacer.started());
        assert!(turn.waited >= Duration::from_millis(20), "{turn:?}");
        let next = pacer.turn().await.unwrap().unwrap();
        assert_eq!(next.due - turn.due, Duration::from_millis(1));
        let mut unsent = 0;
        pacer.unsent(|_| unsent += 1).await;
        assert_eq!(unsent, 998);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn stopping_wakes_the_worker_that_waits() {
        let pacer = Pacer::start(plan(Some(0.001), Spread::Constant, None, None)).unwrap();
        assert!(pacer.turn().await.unwrap().is_some());
        let (turn, ()) = tokio::join!(pacer.turn(), async { pacer.stop() });
        assert!(turn.unwrap().is_none());
    }
}
