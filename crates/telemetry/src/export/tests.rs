use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::exposition::Format;
use crate::id::Ids;
use crate::span::tests::span;

/// A collector that does as it is told, in order, and then takes everything.
#[derive(Clone, Default)]
struct Collector {
    orders: Rc<RefCell<VecDeque<Outcome>>>,
    /// It never answers.
    hangs: bool,
    requests: Rc<RefCell<Vec<(Instant, usize)>>>,
    undelivered: Rc<RefCell<Vec<(u64, String)>>>,
}

impl Collector {
    fn told(orders: impl IntoIterator<Item = Outcome>) -> Self {
        Self { orders: Rc::new(RefCell::new(orders.into_iter().collect())), ..Self::default() }
    }
}

impl Transport for Collector {
    async fn export(&self, request: &[u8]) -> Outcome {
        self.requests.borrow_mut().push((Instant::now(), request.len()));
        if self.hangs {
            return std::future::pending().await;
        }
        self.orders.borrow_mut().pop_front().unwrap_or(Outcome::Taken { rejected: 0 })
    }

    fn undelivered(&self, spans: u64, reason: &str) {
        self.undelivered.borrow_mut().push((spans, reason.to_owned()));
    }
}

fn later(after: Option<Duration>) -> Outcome {
    Outcome::Later { after, reason: "busy".to_owned() }
}

struct World {
    registry: Registry,
    exporter: Exporter,
    resource: Arc<Resource>,
}

impl World {
    fn new() -> Self {
        let registry = Registry::new();
        let exporter = Exporter::new(&registry);
        let resource = Arc::new(Resource::new([("service.name", "a")], [("istio.mesh_id", "m")]));
        Self { registry, exporter, resource }
    }

    fn record(&self, spans: usize) {
        let mut ids = Ids::seeded(1);
        for _ in 0..spans {
            self.exporter.record(&self.resource, &span(&mut ids));
        }
    }

    fn counted(&self, series: &str) -> u64 {
        let text = self.registry.encode_to_string(Format::Text);
        let line = text.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("{series}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn spans(&self, outcome: &str) -> u64 {
        self.counted(&format!("leno_trace_spans_total{{outcome=\"{outcome}\"}}"))
    }

    /// Exports until everything is over.
    async fn finished(&self, collector: &Collector) {
        let running = self.exporter.clone().run(collector.clone());
        let (_, all) = tokio::join!(running, self.exporter.finish(Duration::from_secs(5)));
        assert!(all);
    }

    /// Exports for a while of paused time.
    async fn run_for(&self, collector: &Collector, time: Duration) {
        let _elapsed = timeout(time, self.exporter.clone().run(collector.clone())).await;
    }
}

fn pauses(collector: &Collector) -> Vec<Duration> {
    let requests = collector.requests.borrow();
    requests.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
}

#[tokio::test(start_paused = true)]
async fn spans_gather_for_a_while() {
    let (world, collector) = (World::new(), Collector::default());
    world.record(3);
    world.run_for(&collector, TRACE_FLUSH / 2).await;
    assert!(collector.requests.borrow().is_empty());
    world.run_for(&collector, TRACE_FLUSH * 2).await;
    assert_eq!(collector.requests.borrow().len(), 1, "all in one");
    assert_eq!((world.spans("exported"), world.counted("leno_trace_backlog_bytes")), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_goes_at_once() {
    let (world, collector) = (World::new(), Collector::default());
    world.record(1_000);
    world.run_for(&collector, Duration::from_millis(1)).await;
    let requests = collector.requests.borrow();
    assert!(
        !requests.is_empty() && requests.iter().all(|(_, size)| *size <= TRACE_BATCH + 1024),
        "{requests:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_collector_costs_bounded_memory() {
    for hangs in [false, true] {
        let world = World::new();
        let collector = Collector { hangs, ..Collector::told((0..100).map(|_| later(None))) };
        let running = world.exporter.clone().run(collector.clone());
        let filling = async {
            for _ in 0..10 {
                world.record(1_000);
                sleep(Duration::from_secs(1)).await;
                assert!(world.counted("leno_trace_backlog_bytes") <= TRACE_BACKLOG as u64);
            }
        };
        tokio::select! {
            () = running => panic!("it never ends"),
            () = filling => {}
        }
        let dropped = world.spans("dropped");
        assert!(dropped > 1_000, "{dropped}");
        world.record(1);
        assert_eq!(world.spans("dropped"), dropped + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_busy_is_asked_again_after_longer_and_longer_pauses() {
    let world = World::new();
    let collector = Collector::told([later(None), later(None), later(None)]);
    world.record(2);
    world.run_for(&collector, Duration::from_secs(30)).await;
    let pauses = pauses(&collector);
    assert_eq!(pauses.len(), 3);
    for (pause, longest) in pauses.iter().zip([1, 2, 4].map(|factor| TRACE_PAUSE * factor)) {
        let slack = Duration::from_millis(2);
        assert!(*pause <= longest + slack && *pause >= longest.mul_f64(0.75), "{pauses:?}");
    }
    assert_eq!((world.spans("exported"), world.spans("lost")), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn the_collector_says_how_long_it_is_busy() {
    let world = World::new();
    let collector = Collector::told([later(Some(Duration::from_secs(7))), later(Some(Duration::MAX))]);
    world.record(1);
    world.run_for(&collector, Duration::from_secs(60)).await;
    let pauses = pauses(&collector);
    assert!(pauses[0] >= Duration::from_secs(7), "{pauses:?}");
    assert!(pauses[1] <= TRACE_PAUSE_LONGEST + Duration::from_millis(2), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn patience_ends() {
    let world = World::new();
    let collector = Collector::told((0..1_000).map(|_| later(None)));
    world.record(4);
    world.run_for(&collector, TRACE_PATIENCE + TRACE_FLUSH * 2).await;
    assert_eq!((world.spans("lost"), world.counted("leno_trace_backlog_bytes")), (4, 0));
    assert_eq!(*collector.undelivered.borrow(), [(4, "busy".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_final() {
    let world = World::new();
    let collector = Collector::told([Outcome::Refused("no".to_owned()), Outcome::Taken { rejected: 2 }]);
    world.record(1);
    world.run_for(&collector, TRACE_FLUSH * 2).await;
    assert_eq!((world.spans("refused"), world.spans("exported")), (1, 0));
    world.record(5);
    world.run_for(&collector, TRACE_FLUSH * 2).await;
    assert_eq!((world.spans("refused"), world.spans("exported")), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_sent_at_the_end_without_waiting() {
    let (world, collector) = (World::new(), Collector::default());
    world.record(1_000);
    let began = Instant::now();
    world.finished(&collector).await;
    assert!(began.elapsed() < TRACE_FLUSH);
    assert_eq!(world.spans("exported"), 1_000);
    world.record(1);
    assert_eq!(world.spans("dropped"), 1, "it is over");
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_hangs_does_not_keep_the_process() {
    let world = World::new();
    let collector = Collector { hangs: true, ..Collector::default() };
    world.record(1);
    let began = Instant::now();
    let running = world.exporter.clone().run(collector.clone());
    tokio::select! {
        () = running => panic!("it can't be done"),
        all = world.exporter.finish(Duration::from_secs(2)) => assert!(!all),
    }
    assert!(began.elapsed() <= Duration::from_millis(2_010));
    // One that is busy gets no second chance.
    let world = World::new();
    world.record(1);
    world.finished(&Collector::told([later(None)])).await;
    assert_eq!(world.spans("lost"), 1);
}
