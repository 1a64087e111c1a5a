use super::*;

#[test]
fn mistakes_are_listed_and_not_shown() {
    let registry = Registry::new();
    registry.counter("good_total", "Good.").inc();
    registry.counter("good_total", "Good.").inc();
    assert!(registry.problems().is_empty());

    registry.counter("good_total", "Another meaning.").inc();
    registry.counter("bad", "Without the suffix.").inc();
    registry.gauge("bad_total", "With the suffix.").set(1);
    registry.gauge("2bad", "Not a name.").set(1);
    registry.gauges("bad_label", "L.", &["le"]).with(["x"]).set(1);
    registry.gauges("good_total", "Another kind.", &["a"]).with(["x"]).set(1);
    assert_eq!(
        registry.problems(),
        [
            "good_total is registered twice, and differently",
            "bad is a counter: counters and only they end in _total",
            "bad_total is a gauge: counters and only they end in _total",
            "2bad is not a metric name",
            "bad_label can't have a label le",
            "good_total is registered twice, and differently",
        ]
    );
    let names: Vec<_> = registry.describe().iter().map(|desc| desc.name).collect();
    assert_eq!(names, ["good_total", "leno_metrics_overflow_total"]);
    assert!(registry.encode_to_string(Format::Text).contains("\ngood_total 2\n"));
}

#[test]
fn each_shard_is_another() {
    let registry = Registry::new();
    let (first, second) = (registry.shard(), registry.shard());
    assert_ne!(first.index, second.index);
    assert_eq!(first.clone().index, first.index);
}

#[test]
fn an_error_of_the_reader_is_told() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = Registry::new().encode(Format::Text, &mut Full).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}
