//! Without its control plane a mesh goes on for as long as its certificates are valid, then fails closed, and is itself
//! again within seconds of the return.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use leno_testkit::mesh::{Mesh, eventually};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::steady::{self, LIFETIME, Load, WEB};

/// An outage that nobody may notice: certificates have at least this much of their life left at any time.
const UNNOTICED: u64 = 40;

/// How long open streams are watched: beyond the end of every certificate.
const WATCHED: u64 = LIFETIME + 15;

/// From the control plane's return to the first success.
const RECOVERY: Duration = Duration::from_secs(5);

/// How the control plane is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// It hangs: connections to it are made and never answered.
    Hang,
    /// It is dead and can't come back: connections to it are refused.
    Refusal,
}

/// Both kinds at once, each in a mesh of its own, since they mostly wait.
#[test]
fn an_outage_is_survived_and_recovered_from() {
    std::thread::scope(|scope| {
        scope.spawn(|| survive(Outage::Hang, "hang"));
        scope.spawn(|| survive(Outage::Refusal, "refusal"));
    });
}

fn survive(outage: Outage, name: &str) {
    let mesh = steady::mesh(name);
    steady::call_all(&mesh).unwrap();
    let load = Load::start(&mesh, UNNOTICED, WATCHED);
    let began = Instant::now();
    let away = Away::begin(outage, &mesh);
    a_killed_sidecar_comes_back(&mesh);
    let stream = load.succeeds();
    assert!(began.elapsed() >= Duration::from_secs(UNNOTICED - 2), "{:?}", began.elapsed());
    eventually("the caller's certificate ends", || {
        let certificate = steady::certificate(&mesh, "caller");
        if certificate["expired"] == true { Ok(()) } else { Err(certificate.to_string()) }
    });
    let age = began.elapsed();
    assert!(age <= Duration::from_secs(LIFETIME + 5), "{outage:?}: nothing was renewed: {age:?}");
    everything_fails_closed(&mesh);
    steady::stream_lived(stream);
    let back = away.end(&mesh);
    eventually("the mesh serves again", || steady::call_all(&mesh));
    assert!(back.elapsed() < RECOVERY, "{outage:?}: {:?}", back.elapsed());
}

/// Killed in the middle of the outage, it takes up its certificate and configuration from its supervisor's memory.
fn a_killed_sidecar_comes_back(mesh: &Mesh) {
    let before = steady::certificate(mesh, "spare-v1");
    kill_process(mesh.sidecar("spare-v1"), Signal::KILL).unwrap();
    eventually("the sidecar serves again", || {
        let output = mesh.sample("caller", &["call", "--timeout=2s", "http://spare:8000/echo"]);
        if output.status.success() { Ok(()) } else { Err(format!("{output:?}")) }
    });
    let after = steady::certificate(mesh, "spare-v1");
    assert_eq!(before["notAfter"], after["notAfter"], "it is the same certificate");
}

/// Requests get the flag that names the cause, also on connections that had been kept; opaque ones get nothing.
fn everything_fails_closed(mesh: &Mesh) {
    let output = mesh.sample("caller", &["call", "-i", WEB]);
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(answer.contains("503") && answer.contains("identity has expired"), "{answer}");
    let report = mesh.load("caller", &[WEB, "--closed", "--connections", "4", "--requests", "40"]);
    assert_eq!((&report["ok"], &report["statuses"]["503"]), (&0.into(), &40.into()), "{report}");
    let report = mesh.load("caller", &["grpc://prices:9090/Pricing/Quote", "--closed", "--requests", "8"]);
    assert_eq!((&report["ok"], &report["grpc_statuses"]["14"]), (&0.into(), &8.into()), "{report}");
    steady::echo(mesh).expect_err("nothing comes back");
    // The log is written in batches.
    eventually("the log names the cause", || {
        let lines = mesh.leno_json_lines(&["logs", "caller", "-n", "200"]);
        let flagged =
            |begin: &str| lines.iter().map(text).any(|line| line.contains(begin) && line.contains(" IX "));
        let missing: Vec<_> = [GET, POST, OPAQUE].into_iter().filter(|begin| !flagged(begin)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("nothing flagged IX for {missing:?}")) }
    });
}

/// What a line of the access log says that it is about.
const GET: &str = "\"GET /echo";
const POST: &str = "\"POST /leno.sample.v1.Pricing/Quote";
const OPAQUE: &str = "\"- - -\"";

fn text(line: &Value) -> &str {
    line["text"].as_str().unwrap_or_default()
}

/// The control plane is away while this lives.
enum Away {
    Stopped(rustix::process::Pid),
    /// Its state is locked as if by another process, so that it can't start.
    LockedOut(File),
}

impl Away {
    fn begin(outage: Outage, mesh: &Mesh) -> Self {
        let control = mesh.part("control");
        match outage {
            Outage::Hang => {
                kill_process(control, Signal::STOP).unwrap();
                Self::Stopped(control)
            }
            Outage::Refusal => {
                let lock: PathBuf = mesh.state().join("control/lock");
                // Whoever waits for a lock gets it the moment that its owner dies, before anyone can be started anew.
                let waiting = std::thread::spawn(move || {
                    let lock = File::open(lock).unwrap();
                    lock.lock().unwrap();
                    lock
                });
                eventually("someone waits for the lock", || {
                    let locks = std::fs::read_to_string("/proc/locks").unwrap();
                    let own = format!(" {} ", std::process::id());
                    let waits = locks.lines().any(|line| line.contains("->") && line.contains(&own));
                    if waits { Ok(()) } else { Err(locks) }
                });
                kill_process(control, Signal::KILL).unwrap();
                Self::LockedOut(waiting.join().unwrap())
            }
        }
    }

    /// Ends the outage; when the control plane was back.
    fn end(self, mesh: &Mesh) -> Instant {
        match self {
            Self::Stopped(control) => kill_process(control, Signal::CONT).unwrap(),
            Self::LockedOut(lock) => {
                drop(lock);
                eventually("the control plane is started again", || {
                    let status = mesh.leno_json(&["status"]);
                    let control = status["programs"].as_array().unwrap().iter();
                    let ready =
                        control.filter(|part| part["name"] == "control").all(|part| part["ready"] == true);
                    if ready { Ok(()) } else { Err(status["programs"].to_string()) }
                });
            }
        }
        Instant::now()
    }
}
