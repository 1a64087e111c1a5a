//! Several meshes of one user on one machine, at the same time.

use std::process::{Child, Stdio};

use leno_testkit::mesh::{Declaration, Mesh, eventually, free_port};
use serde_json::Value;

use crate::takeover::gateway;

/// A `leno up` beside a mesh, which doesn't outlive its test.
pub(crate) struct Up(pub(crate) Child);

impl Up {
    /// It was told to end, and does so well.
    pub(crate) fn has_ended(mut self) {
        assert!(self.0.wait().unwrap().success());
    }

    /// It ends without having started anything; what it says.
    pub(crate) fn refusal(mut self) -> String {
        let mut told = String::new();
        std::io::Read::read_to_string(&mut self.0.stderr.take().unwrap(), &mut told).unwrap();
        assert!(!self.0.wait().unwrap().success(), "{told}");
        told
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// Starts another mesh file of the same user.
pub(crate) fn start(mesh: &Mesh, file: &str) -> Up {
    let mut command = mesh.program("leno");
    command.args(["up", file, "--metrics", "off"]).current_dir(mesh.folder().join("mesh"));
    Up(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Waits until a mesh of this name is there and ready.
pub(crate) fn is_ready(mesh: &Mesh, name: &str) {
    eventually("the mesh is ready", || {
        let output = mesh.leno(&["status", "--mesh", name, "-o", "json"]);
        let status: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        match status.filter(|status| status["ready"] == true) {
            Some(_) => Ok(()),
            None => Err(format!("{output:?}")),
        }
    });
}

fn file(name: &str, spec: &str, gateway: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: leno.dev/v1alpha1
kind: LocalMesh
metadata: {{name: {name}}}
spec:
{spec}---
{gateway}"
    )
}

fn spec(version: &str) -> String {
    format!(
        "services: [{{name: web, port: 80, protocol: http}}]
workloads:
  - {{service: web, command: [leno-sample, serve, web, --version={version}, --listen=http://:80]}}
  - {{name: caller, command: [sleep, infinity]}}
"
    )
}

/// Services, workloads and sockets of the same names don't meet, and a gateway's port belongs to whoever had it first.
#[test]
fn meshes_of_one_user_are_apart_and_share_no_port() {
    let declaration = Declaration::new("several");
    let (port, other) = (declaration.port(), free_port());
    let mesh = declaration
        .spec(&spec("first"))
        .config("front.yaml", gateway(port))
        .file("second.yaml", file("second", &spec("second"), &gateway(other)))
        .file("third.yaml", file("third", &spec("third"), &gateway(port)))
        .start();
    let [second, third] = ["second", "third"].map(|name| {
        let up = start(&mesh, &format!("{name}.yaml"));
        is_ready(&mesh, name);
        up
    });
    for name in ["several", "second", "third"] {
        let version = if name == "several" { "first" } else { name };
        let call = ["exec", "--mesh", name, "caller", "--", "leno-sample", "call", "http://web/echo"];
        assert_eq!(answer(&mesh.leno(&call).stdout), version, "within {name}");
    }
    for (port, version) in [(port, "first"), (other, "second")] {
        // As often as it takes for the kernel to have shared them out, if it did.
        for _ in 0..32 {
            let url = format!("http://127.0.0.1:{port}/echo");
            let called = mesh.program("leno-sample").args(["call", &url]).output().unwrap();
            assert_eq!(answer(&called.stdout), version, "at port {port}");
        }
    }
    let logs = mesh.leno(&["logs", "--mesh", "third", "gateway"]);
    let logs = String::from_utf8_lossy(&logs.stdout).into_owned();
    assert!(logs.contains("cannot be opened") && logs.contains(&port.to_string()), "{logs}");
    for (name, up) in [("second", second), ("third", third)] {
        assert!(mesh.leno(&["down", name]).status.success());
        up.has_ended();
    }
    assert!(mesh.leno_json(&["status"])["ready"] == true, "the first goes on");
}

fn answer(body: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    answer["version"].clone()
}
