use leno_local::protocol::{ProgramStatus, Status};

use super::super::{Certificate, Control, Refusal, Refused};
use super::*;
use crate::finding::Finding;

const NOW: u64 = 1_000_000;

fn proxy(name: &str, state: State, snapshot: u64, left: i64) -> Proxy {
    Proxy {
        name: name.into(),
        id: format!("workload:default/{name}"),
        state,
        version: Some("0.1.0".into()),
        identity: None,
        certificate: Some(Certificate { not_before: 0, not_after: NOW.saturating_add_signed(left) }),
        snapshot: Some(snapshot),
        units: Some(3),
        connected_at: Some(1),
        refused: Vec::new(),
        error: None,
    }
}

fn replica(name: &str, service: &str, phase: Phase) -> ReplicaStatus {
    serde_json::from_value(serde_json::json!({
        "name": name, "workload": name, "service": service, "addresses": ["10.240.0.2"], "phase": phase,
        "restarts": 0, "sidecarReady": true, "sidecarRestarts": 0, "supervisor": null,
        "note": "exited with code 1"
    }))
    .unwrap()
}

fn object(name: &str, verdict: &str, in_effect: u32, proxies: u32) -> Object {
    Object {
        kind: "VirtualService".into(),
        namespace: "default".into(),
        name: name.into(),
        file: "/etc/config/routes.yaml".into(),
        line: 3,
        column: 1,
        verdict: verdict.into(),
        last_good: false,
        in_effect,
        proxies,
        waiting: Vec::new(),
        refused: Vec::new(),
        findings: Vec::new(),
    }
}

fn report() -> Report {
    let program = |name: &str| ProgramStatus { name: name.into(), ready: true, process: None, restarts: 0 };
    let mut refusing = proxy("ratings-v1", State::Refuses, 4, -90);
    refusing.refused.push(Refused { unit: "ratings".into(), reason: "no such thing".into() });
    let mut waiting = object("reviews", "exact", 1, 2);
    waiting.waiting.push("workload:default/reviews-v1".into());
    waiting.refused.push(Refusal { proxy: "workload:default/ratings-v1".into(), reason: "no".into() });
    let mut refused = object("ratings", "refused", 2, 2);
    refused.last_good = true;
    refused.findings.push(Finding {
        file: "/etc/config/routes.yaml".into(),
        line: 7,
        column: 5,
        code: "LENO0023".into(),
        severity: Severity::Error,
        object: None,
        message: "there is no field timeuot".into(),
        hint: Some("did you mean timeout?".into()),
    });
    Report {
        mesh: Status {
            mesh: "shop".into(),
            process: 7,
            ready: false,
            metrics: Some("127.0.0.1:15020".parse().unwrap()),
            programs: vec![program("control"), program("gateway")],
            replicas: vec![
                replica("reviews-v1", "reviews", Phase::Ready),
                replica("ratings-v1", "ratings", Phase::Restarting),
            ],
        },
        control: Control { answers: true, error: None },
        snapshot: Some(5),
        proxies: vec![
            proxy("gateway", State::Current, 5, 21_500),
            proxy("reviews-v1", State::Behind, 4, 90),
            refusing,
        ],
        objects: vec![waiting, refused, object("unused", "exact", 0, 0)],
    }
}

#[test]
fn everything_is_told_in_columns() {
    let expected = "\
mesh shop is not ready, snapshot 5, process 7
metrics of all of it: http://127.0.0.1:15020/metrics

NAME        SERVICE  STATE       SNAPSHOT      CERTIFICATE         RESTARTS  VERSION  ADDRESS
control              ready                                         0
gateway              ready       5             5h 58m              0         0.1.0
reviews-v1  reviews  ready       4, behind     1m 30s              0         0.1.0    10.240.0.2
ratings-v1  ratings  restarting  4, refuses 1  expired 1m 30s ago  0         0.1.0    10.240.0.2

ratings-v1: exited with code 1
ratings-v1 refuses ratings: no such thing

OBJECT                          IN EFFECT          VERDICT  WHERE
VirtualService default/reviews  1 of 2             exact    /etc/config/routes.yaml:3
VirtualService default/ratings  last good: 2 of 2  refused  /etc/config/routes.yaml:3
VirtualService default/unused   unused             exact    /etc/config/routes.yaml:3

VirtualService default/reviews waits for workload:default/reviews-v1
VirtualService default/reviews is refused by workload:default/ratings-v1: no

/etc/config/routes.yaml:7:5: error[LENO0023]: there is no field timeuot
  help: did you mean timeout?";
    assert_eq!(lines(&report(), NOW, 160).join("\n"), expected);
}

#[test]
fn a_narrow_screen_gets_what_matters_most() {
    let lines = lines(&report(), NOW, 80);
    let head = "NAME        SERVICE  STATE       SNAPSHOT      CERTIFICATE         RESTARTS";
    assert!(lines.iter().any(|line| line == head), "{lines:#?}");
    let tables = lines
        .iter()
        .filter(|line| line.contains("reviews-v1  ") || line.starts_with("VirtualService default/unused"));
    assert!(
        tables.clone().count() >= 2 && tables.into_iter().all(|line| line.chars().count() <= 80),
        "{lines:#?}"
    );
}

#[test]
fn a_control_plane_that_is_down_is_said() {
    let mut report = report();
    report.control = Control { answers: false, error: Some("connection refused".into()) };
    (report.snapshot, report.objects) = (None, Vec::new());
    report.proxies = vec![proxy("gateway", State::Unknown, 5, 21_500)];
    let lines = lines(&report, NOW, 80);
    assert!(
        lines.contains(&"the control plane does not answer: connection refused".to_owned()),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line.starts_with("gateway") && line.contains("5  ")), "{lines:#?}");
}

#[test]
fn durations_are_short() {
    for (seconds, text) in [(0, "0s"), (59, "59s"), (90, "1m 30s"), (3_600, "1h 0m"), (90_000, "1d 1h")] {
        assert_eq!(duration(seconds), text);
    }
}
