//! Proxies that stop without ending are found, and applications that take their time are left alone.

use std::{
    process::Child,
    time::{Duration, Instant},
};

use leno_testkit::mesh::{Declaration, Mesh, eventually};
use rustix::process::{Signal, kill_process};

/// Ten seconds of silence at most, and as long for a handshake.
const FOUND: Duration = Duration::from_secs(25);

#[test]
fn a_proxy_that_has_stopped_is_found_and_a_slow_application_is_waited_for() {
    let mesh = Declaration::new("stopped")
        .spec(
            "services:
  - {name: web, port: 80, protocol: http}
  - {name: slow, port: 80, protocol: http}
  - {name: echo, port: 7, protocol: tcp}
workloads:
  - {name: caller, command: [sleep, infinity]}
  - {service: web, command: [leno-sample, serve, web, '--listen=http://:80']}
  - {service: slow, command: [leno-sample, serve, slow, '--listen=http://:80']}
  - {service: echo, command: [leno-sample, serve, echo, '--listen=echo://:7']}",
        )
        .start();
    let call = |url: &str| mesh.start("caller", &["leno-sample", "call", "-i", "--timeout=60s", url]);
    let at_web = call("http://web/delay/60000");
    let at_slow = call("http://slow/delay/28000");
    let bytes = mesh.start("caller", &["bash", "-c", LISTEN]);
    eventually("all three are under way", || {
        let of = |replica: &str, name: &str| mesh.counted(replica).sum(name, &[]);
        let counts = [
            of("web", "leno_upstream_connections"),
            of("slow", "leno_upstream_connections"),
            of("echo", "leno_connections"),
        ];
        if counts == [1.0; 3] { Ok(()) } else { Err(format!("{counts:?}")) }
    });
    let frozen = ["web", "echo"].map(|replica| mesh.sidecar(replica));
    let begun = Instant::now();
    for sidecar in frozen {
        kill_process(sidecar, Signal::STOP).unwrap();
    }
    let (answer, closed) = (said(at_web), said(bytes));
    let took = begun.elapsed();
    for sidecar in frozen {
        kill_process(sidecar, Signal::CONT).unwrap();
    }
    assert!(answer.contains("503") && closed == "closed\n", "{answer}\n{closed}");
    assert!(took < FOUND, "{took:?}");
    let waited = said(at_slow);
    assert!(waited.contains("200") && waited.contains("28000"), "{waited}");
    eventually("it serves again", || serves(&mesh));
}

/// Opens a stream of bytes and waits for its end.
const LISTEN: &str = "
exec 3<>/dev/tcp/echo/7 && echo hello >&3 && read -r line <&3 && [ \"$line\" = hello ] || { echo no echo; exit; }
read -r -t 60 line <&3
[ $? -gt 128 ] && echo still open || echo closed";

fn said(child: Child) -> String {
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}

fn serves(mesh: &Mesh) -> Result<(), String> {
    let output = mesh.sample("caller", &["call", "http://web/echo"]);
    if output.status.success() { Ok(()) } else { Err(format!("{output:?}")) }
}
