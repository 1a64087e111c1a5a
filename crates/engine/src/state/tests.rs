use super::*;

#[test]
fn cells_survive_while_used_and_are_dropped_when_not() {
    let table = StateTable::new(Instant::now(), 1);
    let host: Host = "a.example.com".parse().unwrap();
    let cell = table.endpoint(&host, 80, &"one".into());
    assert!(Arc::ptr_eq(&cell, &table.endpoint(&host, 80, &"one".into())));
    assert!(!Arc::ptr_eq(&cell, &table.endpoint(&host, 81, &"one".into())));
    for number in 0..10_000 {
        let _unused = table.endpoint(&host, 80, &number.to_string().into());
    }
    assert!(table.len() <= 128, "{}", table.len());
    assert!(Arc::ptr_eq(&cell, &table.endpoint(&host, 80, &"one".into())));
}

#[test]
fn a_request_counts_until_it_is_dropped() {
    let now = Instant::now();
    let cell = StateTable::new(now, 1).endpoint(&"a".parse().unwrap(), 80, &"one".into());
    let (first, second) = (cell.start(), cell.start());
    assert_eq!(cell.read(now).in_flight, 2);
    drop(first);
    second.finish(now, Outcome::Answered(Duration::from_millis(5)));
    let reading = cell.read(now);
    assert_eq!((reading.in_flight, reading.failures), (0, 0.0));
    assert!(reading.latency.unwrap().abs_diff(Duration::from_millis(5)) < Duration::from_micros(1));
}

#[test]
fn an_exported_state_costs_the_same_when_restored() {
    let now = Instant::now();
    let table = StateTable::new(now, 1);
    let host: Host = "a".parse().unwrap();
    let (cell, copy) = (table.endpoint(&host, 1, &"x".into()), table.endpoint(&host, 2, &"x".into()));
    cell.start().finish(now, Outcome::Answered(Duration::from_millis(3)));
    cell.start().finish(now, Outcome::Failed);
    let later = now + Duration::from_secs(3);
    copy.restore(&cell.read(later), later, &Ejections::default());
    let (cost, restored) = (cell.cost(later), copy.cost(later));
    assert!((cost / restored - 1.0).abs() < 1e-3, "{cost} {restored}");
}

#[test]
fn quick_failures_make_no_endpoint_attractive() {
    let now = Instant::now();
    let table = StateTable::new(now, 1);
    let host: Host = "a".parse().unwrap();
    let (good, bad) = (table.endpoint(&host, 1, &"good".into()), table.endpoint(&host, 1, &"bad".into()));
    good.start().finish(now, Outcome::Answered(Duration::from_millis(10)));
    assert!(bad.cost(now) < good.cost(now), "an unknown endpoint is tried");
    bad.start().finish(now, Outcome::Failed);
    assert!(bad.cost(now) > good.cost(now), "and no more once it has failed");
    let much_later = now + Duration::from_secs(60);
    good.start().finish(much_later, Outcome::Answered(Duration::from_millis(10)));
    assert!(bad.cost(much_later) < good.cost(much_later), "until that is forgotten");
}

#[test]
fn an_endpoint_that_starts_to_fail_stays_costly_while_it_fails() {
    let start = Instant::now();
    let cell = StateTable::new(start, 1).endpoint(&"a".parse().unwrap(), 1, &"x".into());
    cell.start().finish(start, Outcome::Answered(Duration::from_millis(5)));
    let healthy = cell.cost(start);
    for second in 1..=60 {
        let now = start + Duration::from_secs(second);
        cell.start().finish(now, Outcome::Failed);
        assert!(cell.cost(now) > 2.0 * healthy, "after {second} s: {}", cell.cost(now));
    }
    let now = start + Duration::from_secs(60);
    for _ in 0..100 {
        cell.start().finish(now, Outcome::Answered(Duration::from_millis(5)));
    }
    assert!(cell.cost(now) < 1.2 * healthy, "recovers: {}", cell.cost(now));
}
