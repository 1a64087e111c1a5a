use super::*;
use crate::limits::EXPOSITION_PIECE;

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
fn pieces_are_read_when_they_are_asked_for() {
    let registry = Registry::new();
    let filler: &'static str = "x".repeat(EXPOSITION_PIECE).leak();
    let [one, two] = ["leno_a_total", "leno_b_total"].map(|name| registry.counter(name, filler));
    let mut pieces = registry.pieces(Format::OpenMetrics);
    one.add(3);
    assert_eq!(pieces.next().unwrap(), format!("# HELP leno_a {filler}\n# TYPE leno_a counter\n"));
    // Its family is read already, the next one isn't.
    one.add(3);
    two.add(2);
    let second = format!("leno_a_total 3\n# HELP leno_b {filler}\n# TYPE leno_b counter\n");
    assert_eq!(pieces.next().unwrap(), second);
    let third = pieces.next().unwrap();
    assert!(third.starts_with("leno_b_total 2\n# HELP leno_metrics_overflow "), "{third}");
    assert!(third.ends_with("\n# EOF\n"), "{third}");
    assert_eq!(pieces.next(), None);
}

#[test]
fn a_large_family_comes_in_several_pieces() {
    let registry = Registry::new();
    let sizes = registry.histograms("leno_size_bytes", "Sizes.", &["of"], Buckets::BYTES);
    for of in 0..100 {
        sizes.with([&of.to_string()]).observe(of);
    }
    let mut pieces: Vec<String> = registry.pieces(Format::Text).collect();
    let text = pieces.concat();
    for (part, times) in [("# TYPE ", 2), ("_bucket{", 2_000), ("_sum{", 100), ("_count{", 100)] {
        assert_eq!(text.matches(part).count(), times, "{part}");
    }
    let rest = pieces.pop().unwrap();
    assert!(pieces.len() > 3 && rest.len() < EXPOSITION_PIECE);
    for piece in pieces {
        let full = EXPOSITION_PIECE..EXPOSITION_PIECE + 2_048;
        assert!(full.contains(&piece.len()) && piece.ends_with('\n'), "{} bytes", piece.len());
    }
}
