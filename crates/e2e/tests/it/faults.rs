//! What faults and changes cost at 500 requests per second. `docs/reference/faults.md` has the table;
//! `UPDATE_DOCS=1` measures it anew.

mod fleet;
mod load;
mod page;

use std::{thread, time::Duration};

use leno_testkit::{
    mesh::{Mesh, eventually},
    programs::or_skip,
};
use rustix::process::{Signal, kill_process};

use crate::alone;
use fleet::{Fleet, Programs, is_whole};
use load::{AT_ONCE, From, KINDS, Load, RATE, Report};

/// What may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// Nothing.
    Nothing,
    /// Of what may not be repeated, what was under way at the endpoint at one moment. Nothing may be once its answer has
    /// begun.
    UnderWay,
    /// Of what may not be repeated, what crosses with the end of a kept connection: reset with a request in it, it doesn't say
    /// whether that was read.
    Crossing,
    /// Of what may not be repeated, what had arrived at the endpoint before the balancer knew.
    Arrived,
    /// The same, of all kinds: the answer had begun.
    Begun,
}

/// Something that happens under load.
struct Event {
    name: &'static str,
    from: From,
    /// Whom it happens to.
    victim: Option<&'static str>,
    seconds: u64,
    allowed: Allowed,
    happens: fn(&Mesh),
    /// How it ends, once the load is over.
    ends: fn(&Mesh),
}

/// What an event did.
struct Outcome {
    event: Event,
    reports: [Report; 4],
    /// Requests at the endpoint since it failed, and those of them after the first second.
    arrived: Option<(f64, f64)>,
}

/// How long the balancer may take to know of an endpoint's fault.
const LEARNT: Duration = Duration::from_secs(1);

/// Requests of one kind that may arrive at a failing endpoint until then, for certain.
const MOST_ARRIVED: f64 = 40.0;

/// Requests of one kind that may cross with an end: some 14 a second go to each endpoint.
const MOST_CROSSING: f64 = 2.0;

/// The share of all requests that an endpoint gets which fails at once, and others that are known to be bad.
const LEFT: f64 = 0.01;

#[test]
fn faults_cost_what_cannot_be_repeated_and_changes_cost_nothing() {
    let _alone = alone();
    let Some(programs) = or_skip(Programs::find()) else { return };
    let fleet = programs.fleet("faults");
    let outcomes: Vec<Outcome> =
        faults().into_iter().chain(changes()).map(|event| event.run(&fleet)).collect();
    let rows: Vec<String> = outcomes.iter().map(page::row).collect();
    println!("{}", rows.join("\n"));
    let wrong: Vec<String> = outcomes.iter().flat_map(Outcome::wrong).collect();
    assert!(wrong.is_empty(), "{}\n{}\n{}", wrong.join("\n"), rows.join("\n"), fleet.mesh.output());
    page::check(&outcomes);
}

fn nothing(_mesh: &Mesh) {}

fn faults() -> Vec<Event> {
    let fault = |name, victim, allowed, happens, ends| Event {
        name,
        from: From::Caller,
        victim: Some(victim),
        seconds: 4,
        allowed,
        happens,
        ends,
    };
    vec![
        fault(
            "killed (SIGKILL)",
            "web-node",
            Allowed::UnderWay,
            |mesh| kill(mesh, "web-node", "node"),
            nothing,
        ),
        fault(
            "frozen (SIGSTOP)",
            "web-haproxy",
            Allowed::Arrived,
            |mesh| run(mesh, "web-haproxy", "pkill -STOP haproxy"),
            |mesh| run(mesh, "web-haproxy", "pkill -CONT haproxy"),
        ),
        fault(
            "refuses connections",
            "web-nginx",
            // It closes idle connections without a look at what has just arrived on them.
            Allowed::Crossing,
            |mesh| {
                run(mesh, "web-nginx", "sed -i 's/listen /listen 1/' /tmp/nginx.conf && pkill -HUP -o nginx")
            },
            |mesh| {
                run(mesh, "web-nginx", "sed -i 's/listen 1/listen /' /tmp/nginx.conf && pkill -HUP -o nginx")
            },
        ),
        fault(
            "resets in the middle of its answers",
            "web-node-1",
            Allowed::Begun,
            |mesh| run(mesh, "web-node-1", "echo reset > /tmp/mode"),
            |mesh| run(mesh, "web-node-1", "rm /tmp/mode"),
        ),
        fault(
            "answers 503 at once",
            "web-node-2",
            Allowed::Arrived,
            |mesh| run(mesh, "web-node-2", "echo fail > /tmp/mode"),
            |mesh| run(mesh, "web-node-2", "rm /tmp/mode"),
        ),
        fault(
            "slow: 400 ms instead of 20",
            "web-node-3",
            Allowed::Nothing,
            |mesh| run(mesh, "web-node-3", "echo slow > /tmp/mode"),
            |mesh| run(mesh, "web-node-3", "rm /tmp/mode"),
        ),
        fault(
            "its proxy is killed as well",
            "web-node-4",
            Allowed::UnderWay,
            |mesh| kill_process(mesh.sidecar("web-node-4"), Signal::KILL).unwrap(),
            nothing,
        ),
        fault(
            "frozen with its proxy",
            "web-node-5",
            Allowed::UnderWay,
            |mesh| kill_process(mesh.sidecar("web-node-5"), Signal::STOP).unwrap(),
            |mesh| kill_process(mesh.sidecar("web-node-5"), Signal::CONT).unwrap(),
        ),
    ]
}

fn changes() -> Vec<Event> {
    let change = |name, seconds, happens| Event {
        name,
        from: From::Caller,
        victim: None,
        seconds,
        allowed: Allowed::Nothing,
        happens,
        ends: nothing,
    };
    vec![
        change("control plane killed", 4, |mesh| {
            kill_process(mesh.part("control"), Signal::KILL).unwrap();
        }),
        change("an endpoint's proxy replaced (SIGTERM)", 4, |mesh| {
            kill_process(mesh.sidecar("web-sample"), Signal::TERM).unwrap();
        }),
        change("the caller's proxy replaced (SIGTERM)", 4, |mesh| {
            kill_process(mesh.sidecar("caller"), Signal::TERM).unwrap();
        }),
        change("all endpoints replaced, one by one", 16, |mesh| {
            for workload in ["web-sample", "web-nginx", "web-haproxy", "web-node"] {
                assert!(mesh.leno(&["restart", workload]).status.success());
            }
        }),
        change("certificates rotated", fleet::ROTATION, nothing),
        Event {
            from: From::Host,
            ..change("the gateway replaced", 5, |mesh| {
                assert!(mesh.leno(&["restart", "gateway"]).status.success());
            })
        },
    ]
}

/// Runs a line of shell in an endpoint's world.
#[track_caller]
fn run(mesh: &Mesh, replica: &str, line: &str) {
    let output = mesh.exec(replica, &["sh", "-c", line]);
    assert!(output.status.success(), "{replica}: {line}: {output:?}");
}

/// Kills what an endpoint runs, and with it the world in which this is asked, which may end before it has answered.
#[track_caller]
fn kill(mesh: &Mesh, replica: &str, program: &str) {
    let output = mesh.exec(replica, &["pkill", "-KILL", program]);
    let has_ended = String::from_utf8_lossy(&output.stderr).contains("the workload ended");
    assert!(output.status.success() || has_ended, "{replica}: {program}: {output:?}");
}

/// Requests that an endpoint's proxy has seen the end of.
fn arrived(mesh: &Mesh, replica: &str) -> f64 {
    mesh.counted(replica).sum("istio_requests_total", &[("reporter", "destination")])
}

impl Event {
    fn run(self, fleet: &Fleet) -> Outcome {
        let mesh = &fleet.mesh;
        is_whole(mesh);
        let load = Load::begin(fleet, self.from, self.seconds);
        if let Some(victim) = self.victim {
            eventually(&format!("{victim} gets requests"), || {
                let count = arrived(mesh, victim);
                if count >= 5.0 { Ok(()) } else { Err(format!("{count} requests")) }
            });
        }
        // A proxy that was killed has forgotten what it counted.
        let counts = self.victim.filter(|_| self.allowed != Allowed::UnderWay);
        let before = counts.map(|victim| arrived(mesh, victim));
        (self.happens)(mesh);
        let later = counts.map(|victim| {
            thread::park_timeout(LEARNT);
            arrived(mesh, victim)
        });
        let reports = load.end();
        (self.ends)(mesh);
        let arrived = counts.zip(before).zip(later).map(|((victim, before), later)| {
            let end = arrived(mesh, victim);
            (end - before, end - later)
        });
        Outcome { event: self, reports, arrived }
    }
}

impl Outcome {
    /// What went beyond what is allowed.
    fn wrong(&self) -> Vec<String> {
        let Self { event, reports, arrived } = self;
        let arrivals = arrived.map_or(0.0, |(all, _)| all.min(MOST_ARRIVED));
        let most = |report: &Report, repeatable: bool| match event.allowed {
            Allowed::Nothing => 0.0,
            Allowed::Arrived | Allowed::Crossing if repeatable => 0.0,
            Allowed::Crossing => MOST_CROSSING,
            Allowed::UnderWay if repeatable => report.cut().min(AT_ONCE) as f64,
            Allowed::UnderWay => AT_ONCE as f64,
            Allowed::Begun if repeatable => arrivals.min(report.cut() as f64),
            Allowed::Arrived | Allowed::Begun => arrivals,
        };
        let mut wrong = Vec::new();
        for (kind, report) in KINDS.iter().zip(reports) {
            if report.failed() as f64 > most(report, kind.repeatable) {
                wrong.push(format!("{}: {}: {report:?}", event.name, kind.name));
            }
            if report.ok() < RATE * event.seconds * 9 / 10 {
                wrong.push(format!("{}: {} was hardly called: {report:?}", event.name, kind.name));
            }
        }
        // The first second of the load was before the event, the next one is for learning.
        let all = (4 * RATE * event.seconds.saturating_sub(2)) as f64;
        if let Some((_, late)) = arrived
            && event.allowed != Allowed::Nothing
            && *late > LEFT * all
        {
            wrong.push(format!("{}: {late} of {all} requests went there after a second", event.name));
        }
        wrong
    }
}
