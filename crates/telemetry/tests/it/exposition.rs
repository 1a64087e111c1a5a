//! Both formats: kept as golden files, and read back.

use leno_telemetry::exposition::{Format, Source, merge};
use leno_telemetry::{Buckets, Registry};
use proptest::prelude::*;

use crate::golden;
use crate::parse::{Sample, parse};

const FORMATS: [Format; 2] = [Format::Text, Format::OpenMetrics];

fn example() -> Registry {
    let registry = Registry::new();
    let requests = registry.counters("web_requests_total", "Requests, by \"path\".\nAll of them.", &["path"]);
    requests.with(["/a\"b\\c\nd"]).add(3);
    requests.with(["/"]).inc();
    registry.gauge("temperature", "Now.").set(-4);
    let sizes = registry.histogram("size_bytes", "Sizes.", Buckets::BYTES);
    [0, 1, 70, 4_000_000].iter().for_each(|size| sizes.observe(*size));
    let times = registry.histograms("took_milliseconds", "Times.", &["of"], Buckets::MILLISECONDS);
    times.with(["x"]).observe(1_250);
    registry
}

#[test]
fn formats_are_golden() {
    golden::check("tests/golden/exposition.txt", &example().encode_to_string(Format::Text));
    golden::check(
        "tests/golden/exposition.openmetrics.txt",
        &example().encode_to_string(Format::OpenMetrics),
    );
}

#[test]
fn help_comes_back() {
    for format in FORMATS {
        let families = parse(&example().encode_to_string(format), format == Format::OpenMetrics);
        let family = families.iter().find(|family| family.name.starts_with("web_requests")).unwrap();
        assert_eq!(family.help, "Requests, by \"path\".\nAll of them.");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever label values there are, each series comes back with its value.
    #[test]
    fn what_is_written_is_read(
        series in prop::collection::btree_map((".*", "[\\\\\"\n,{} a]*"), any::<u32>(), 0..20),
        observed in prop::collection::vec(0..10_000_000_000u64, 0..50),
    ) {
        let registry = Registry::new();
        let counters = registry.counters("c_total", "C.", &["a", "b"]);
        let gauges = registry.gauges("g", "G.", &["a", "b"]);
        let histograms = registry.histograms("h_milliseconds", "H.", &["a"], Buckets::MILLISECONDS);
        for ((a, b), value) in &series {
            counters.with([a, b]).add(u64::from(*value));
            gauges.with([a, b]).set(-i64::from(*value));
        }
        observed.iter().for_each(|value| histograms.with(["x"]).observe(*value));

        for format in FORMATS {
            let families = parse(&registry.encode_to_string(format), format == Format::OpenMetrics);
            let samples = |name: &str| -> Vec<Sample> {
                families.iter().flat_map(|family| family.samples.clone()).filter(|s| s.name == name).collect()
            };
            for (name, sign) in [("c_total", 1.0), ("g", -1.0)] {
                let read = samples(name);
                prop_assert_eq!(read.len(), series.len());
                for sample in read {
                    let key = (sample.label("a").unwrap().to_owned(), sample.label("b").unwrap().to_owned());
                    prop_assert_eq!(sample.value * sign, f64::from(series[&key]));
                }
            }
            for bucket in samples("h_milliseconds_bucket") {
                let le: f64 = bucket.label("le").unwrap().replace("+Inf", "inf").parse().unwrap();
                let below = observed.iter().filter(|value| **value as f64 / 1_000.0 <= le).count();
                prop_assert_eq!(bucket.value, below as f64);
            }
            if !observed.is_empty() {
                let sum = observed.iter().sum::<u64>() as f64 / 1_000.0;
                prop_assert_eq!(samples("h_milliseconds_sum")[0].value, sum);
            }
        }
    }
}

#[test]
fn several_processes_are_one_exposition() {
    let (first, second) = (example(), example());
    second.gauge("only_here", "Of the second.").set(1);
    let texts = [&first, &second].map(|registry| registry.encode_to_string(Format::Text));
    let sources = [Source { name: "a\"b", text: &texts[0] }, Source { name: "c", text: &texts[1] }];
    let mut merged = Vec::new();
    assert_eq!(merge("workload", &sources, &mut merged).unwrap(), 0);

    let families = parse(&String::from_utf8(merged).unwrap(), false);
    let alone: Vec<_> = texts.iter().map(|text| parse(text, false)).collect();
    let names: Vec<_> = alone[1].iter().map(|family| &family.name).collect();
    assert_eq!(families.iter().map(|family| &family.name).collect::<Vec<_>>(), names);
    for (source, alone) in sources.iter().zip(&alone) {
        for family in alone {
            let merged = families.iter().find(|merged| merged.name == family.name).unwrap();
            assert_eq!((&merged.help, &merged.kind), (&family.help, &family.kind));
            let of_source = merged.samples.iter().filter(|s| s.label("workload") == Some(source.name));
            let without: Vec<_> = of_source
                .map(|sample| Sample { labels: sample.labels[1..].to_vec(), ..sample.clone() })
                .collect();
            assert_eq!(without, family.samples);
        }
    }
}

#[test]
fn what_belongs_to_no_family_is_left_out() {
    let text = "stray 1\n# TYPE a gauge\na 1\n\na{} 2\na{b=\"{\"} 3\n# EOF\n";
    let mut merged = Vec::new();
    let sources = [Source { name: "x", text }];
    assert_eq!(merge("w", &sources, &mut merged).unwrap(), 1);
    let merged = String::from_utf8(merged).unwrap();
    assert_eq!(merged, "# TYPE a gauge\na{w=\"x\"} 1\na{w=\"x\"} 2\na{w=\"x\",b=\"{\"} 3\n");
}
