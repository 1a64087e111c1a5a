//! Wrong inputs to a running mesh, beside requests of which none may fail.

mod config;
mod sockets;

use leno_testkit::mesh::{Declaration, Mesh, report};

use super::{
    kinds::FOUND,
    page::{Row, Section, Table, text, words},
    program::{self, Ran},
};

const SPEC: &str = "services:
  - {name: hello, port: 80, protocol: http, publish: 127.9.7.5:9753}
workloads:
  - {service: hello, version: v1, command: [leno-sample, serve, hello, '--listen=http://:80']}
  - {name: caller, command: [sleep, infinity]}";

/// What is wrong, what is typed behind `leno`, what must be named, the exit code.
type Case = (&'static str, &'static [&'static str], &'static str, i32);

const COMMANDS: &[Case] = &[
    ("a workload that is misspelt", &["config", "helo-v1"], "\"helo-v1\"", 1),
    ("the same", &["logs", "helo-v1"], "\"helo-v1\"", 1),
    ("the same", &["restart", "helo-v1"], "\"helo-v1\"", 1),
    ("the same", &["exec", "helo-v1", "--", "true"], "\"helo-v1\"", 1),
    ("the same", &["explain", "helo-v1", "GET", "http://hello/"], "\"helo-v1\"", 1),
    ("what isn't like any workload", &["config", "checkout"], "\"checkout\"", 1),
    ("the gateway is no workload", &["exec", "gateway", "--", "true"], "\"gateway\"", 1),
    ("a port that another mesh publishes", &["up", "mesh/clash.yaml"], "the mesh \"wrong\"", 1),
    (
        "a port that the gateway doesn't have",
        &["explain", "gateway", "GET", "http://hello:81/"],
        "port 81",
        1,
    ),
    ("a program that isn't there", &["exec", "hello-v1", "--", "no-such-program"], "no-such-program", 1),
    (
        "a folder that isn't there",
        &["exec", "hello-v1", "--workdir", "/nowhere", "--", "true"],
        "/nowhere",
        1,
    ),
    ("a mesh that is misspelt", &["status", "--mesh", "wrog"], "\"wrog\"", 1),
    ("the same", &["analyze", "--mesh", "wrog"], "\"wrog\"", 1),
    ("the same", &["down", "wrog"], "\"wrog\"", 1),
    ("a mesh that runs already", &["up", "mesh/mesh.yaml", "--metrics", "off"], "\"wrong\"", 1),
    ("a user, and nobody who could change to it", &["up", "mesh/user.yaml"], "mesh/user.yaml:7:", 1),
    ("a file that others keep to themselves", &["up", "mesh/secret.yaml"], "mesh/secret.yaml", 1),
    ("the same", &["analyze", "mesh/secret.yaml"], "mesh/secret.yaml", FOUND),
];

const USER: &str = "apiVersion: leno.dev/v1alpha1
kind: LocalMesh
metadata: {name: other}
spec:
  workloads:
  - name: job
    user: nobody
    command: [sleep, infinity]
";

/// A port that the running mesh publishes.
const CLASH: &str = "apiVersion: leno.dev/v1alpha1
kind: LocalMesh
metadata: {name: clash}
spec:
  services:
  - {name: web, port: 80, publish: 127.9.7.5:9753}
  workloads:
  - {service: web, command: [sleep, infinity]}
";

pub(super) fn section() -> Section {
    let mesh = Declaration::new("wrong")
        .spec(SPEC)
        .config("route.yaml", config::ROUTE)
        .file("user.yaml", USER)
        .file("secret.yaml", USER)
        .file("clash.yaml", CLASH)
        .start();
    config::hide(&mesh.folder().join("mesh/secret.yaml"));
    let load = mesh.start_load("caller", &["http://hello/status/200", "--rate", "50", "--duration", "10s"]);
    let mut tables = vec![commands(&mesh)];
    tables.push(config::table(&mesh));
    tables.extend(sockets::tables(&mesh));
    let report = report(load);
    assert_eq!(
        (&report["failed"], &report["unsent"]),
        (&0.into(), &0.into()),
        "nobody is disturbed: {report}"
    );
    assert!(!mesh.output().contains("panicked"), "{}", mesh.output());
    Section {
        title: "A running mesh",
        about: "A mesh named `wrong` runs, with a service `hello` and workloads `hello-v1` and `caller`. Meanwhile `caller` sends 50\n\
                requests a second, of which none fails.",
        columns: &["what is wrong", "input", "answer", "the log says"],
        tables,
    }
}

fn commands(mesh: &Mesh) -> Table {
    let rows = COMMANDS.iter().map(|(what, typed, place, code)| {
        let ran = leno(mesh, typed);
        let mut faults = ran.faults(*code, place);
        if *code == FOUND {
            // Findings are what was asked for.
            faults = found_faults(&ran, place);
        }
        let said = if ran.out.is_empty() { ran.said() } else { ran.out.clone() };
        Row {
            cells: vec![words(*what), text(format!("leno {}", typed.join(" "))), text(said), words("")],
            faults,
        }
    });
    let mut rows: Vec<Row> = rows.collect();
    rows.push(misspelt(mesh));
    Table { title: "Commands".to_owned(), rows }
}

fn found_faults(ran: &Ran, place: &str) -> Vec<String> {
    let is_told = ran.code == Some(FOUND) && ran.out.contains(place) && ran.out.contains("\n  help: ");
    if is_told { Vec::new() } else { vec![format!("{place} isn't told: {}", ran.err)] }
}

/// A request by a name that nobody has is explained all the same, since it may be meant for the outside.
fn misspelt(mesh: &Mesh) -> Row {
    let typed = ["explain", "caller", "GET", "http://helo/"];
    let ran = leno(mesh, &typed);
    let answer: Vec<&str> = ran.out.lines().filter(|line| !line.contains("snapshot")).collect();
    let mut faults = Vec::new();
    if ran.code != Some(0) || !ran.out.contains("help: ") || !ran.out.contains("did you mean hello?") {
        faults.push(format!("no suggestion: {} {}", ran.out, ran.err));
    }
    let cells = vec![
        words("a host that is misspelt"),
        text(format!("leno {}", typed.join(" "))),
        text(answer.join("\n")),
        words(""),
    ];
    Row { cells, faults }
}

/// Runs `leno` in the mesh's folder, as the mesh's user.
fn leno(mesh: &Mesh, typed: &[&str]) -> Ran {
    let mut ran = program::run(mesh.program("leno").args(typed).current_dir(mesh.folder()));
    let folder = format!("{}/", mesh.folder().display());
    (ran.out, ran.err) = (ran.out.replace(&folder, ""), ran.err.replace(&folder, ""));
    ran
}
