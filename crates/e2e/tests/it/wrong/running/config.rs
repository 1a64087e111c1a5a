//! Wrong edits of configuration that is in effect.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
};

use leno_testkit::mesh::{Mesh, eventually};

use crate::wrong::page::{Row, Table, text, words};

/// What is in effect all along: it leaves a mark on every response.
pub(super) const ROUTE: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hello}
spec:
  hosts: [hello]
  http:
    - timeout: 3s
      headers: {response: {set: {x-route: good}}}
      route: [{destination: {host: hello}}]
";

/// What is wrong, what is shown of it, the file, and what must be named.
type Edit = (&'static str, &'static str, fn() -> Vec<u8>, &'static str);

const EDITS: &[Edit] = &[
    (
        "a field that is misspelt",
        "timeuot: 3s",
        || ROUTE.replace("timeout", "timeuot").into(),
        "route.yaml:7:7: ",
    ),
    (
        "a value of the wrong type",
        "timeout: [3s]",
        || ROUTE.replace("3s", "[3s]").into(),
        "route.yaml:7:16: ",
    ),
    ("YAML that isn't", "hosts: [hello", || ROUTE.replace("[hello]", "[hello").into(), "route.yaml:6:7: "),
    (
        "a kind that is misspelt",
        "kind: VirtualServise",
        || ROUTE.replace("Service", "Servise").into(),
        "route.yaml:1:1: ",
    ),
    ("not UTF-8", "# caf\\xe9", || [ROUTE.as_bytes(), b"# caf\xe9\n"].concat(), "route.yaml: "),
    ("too large", "17 MiB", || [ROUTE.as_bytes(), &vec![b'#'; 17 << 20]].concat(), "route.yaml: "),
];

pub(super) fn table(mesh: &Mesh) -> Table {
    let mut rows: Vec<Row> = EDITS.iter().map(|edit| row(mesh, edit)).collect();
    rows.push(unreadable(mesh));
    Table { title: "Configuration in effect".to_owned(), rows }
}

fn row(mesh: &Mesh, (what, shown, wrong, place): &Edit) -> Row {
    put(mesh, &wrong());
    told(mesh, what, shown, place)
}

fn unreadable(mesh: &Mesh) -> Row {
    let fresh = mesh.folder().join("route.new");
    fs::write(&fresh, ROUTE).unwrap();
    hide(&fresh);
    fs::rename(fresh, mesh.folder().join("mesh/config/route.yaml")).unwrap();
    told(mesh, "a file that others keep to themselves", "mode 0", "route.yaml: ")
}

/// Lets nobody but root read a file.
pub(super) fn hide(path: &Path) {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(0), Some(0)).unwrap();
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
}

/// Replaces the file at once.
fn put(mesh: &Mesh, text: &[u8]) {
    let fresh = mesh.folder().join("route.new");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, mesh.folder().join("mesh/config/route.yaml")).unwrap();
}

/// What the mesh says about the file; the last good one is in effect. The good one is put back.
fn told(mesh: &Mesh, what: &str, shown: &str, place: &str) -> Row {
    let mut said = String::new();
    eventually(what, || {
        let ran = super::leno(mesh, &["analyze"]);
        said = ran.out;
        if said.contains(place) { Ok(()) } else { Err(format!("{said}{}", ran.err)) }
    });
    let mut faults = Vec::new();
    let answer = mesh.sample("caller", &["call", "-i", "http://hello/status/200"]);
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    if !answer.contains("x-route: good") {
        faults.push(format!("the last good version isn't in effect: {answer}"));
    }
    let mut lines: Vec<&str> = said.lines().collect();
    let _counts = lines.pop();
    if !lines.iter().any(|line| line.starts_with("  help: ")) {
        faults.push("no remedy".to_owned());
    }
    put(mesh, ROUTE.as_bytes());
    eventually("the good file is in effect", || {
        let ran = super::leno(mesh, &["analyze"]);
        if ran.out.starts_with("no findings") { Ok(()) } else { Err(format!("{}{}", ran.out, ran.err)) }
    });
    Row { cells: vec![words(what), text(shown), text(lines.join("\n")), words("")], faults }
}
