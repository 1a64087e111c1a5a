//! Every field of the mesh file, wrong in at least one way.

use std::{collections::BTreeSet, fs, path::Path};

use rustix::process::geteuid;

use super::{
    page::{Row, Section, Table, text, words},
    program::Leno,
};

/// Everything that a mesh file can say. `USER` is what root must add and nobody else may.
const SOUND: &str = "\
apiVersion: leno.dev/v1alpha1
kind: LocalMesh
metadata:
  name: shop
  annotations: {team: a}
spec:
  services:
  - name: web
    port: 80
    protocol: http
    targetPort: 8080
    publish: 8000
    headless: false
  - name: db
    ports:
    - {name: sql, port: 5432, protocol: tcp, targetPort: 5433, publish: 127.0.0.1:5432}
  workloads:
  - service: web
    version: v1
    labels: {tier: front}
    command: [web, --serve]
    env: {COLOUR: blue}
    workdir: .
    replicas: 2
    dependsOn: [db]
    share: [/run/web]
    hostAccess: [9000]
    health:
      http: {path: /healthz, port: 8080}
      interval: 1s
      timeout: 2s
      failures: 3
    USER
  - name: db
    service: db
    command: exec db
    health: {tcp: 5433}
    USER
  mode: isolated
  tracing:
    endpoint: http://127.0.0.1:4317
    protocol: grpc
    sampling: 10
    propagation: [w3c]
";

/// The field, what is written in place of what, and the line that is named.
const CASES: &[(&str, &str, &str, u32)] = &[
    ("apiVersion", "leno.dev/v1alpha1", "leno.dev/v1", 1),
    ("kind", "kind: LocalMesh", "kind: Mesh", 0),
    ("metadata", "metadata:\n  name: shop\n  annotations: {team: a}\n", "", 1),
    ("name", "name: shop", "name: The.Shop", 4),
    ("name", "name: shop", "name: a-name-that-is-longer-than-every-path-of-a-socket-can-be", 4),
    ("name", "  name: shop\n", "", 4),
    ("name", "name: shop", "name: shop\n  name: again", 5),
    ("annotations", "{team: a}", "[team]", 5),
    ("annotations", "{team: a}", "{team: [a]}", 5),
    ("metadata", "annotations", "labels", 5),
    ("spec", "services:", "service:", 7),
    ("services", "services:", "services: web\n  other:", 7),
    ("name", "- name: web", "- name: web site", 8),
    ("name", "- name: db\n", "- name: web\n", 14),
    ("port", "port: 80\n", "port: eighty\n", 9),
    ("port", "port: 80\n", "port: 0\n", 9),
    ("port", "port: 80\n", "port: 65536\n", 9),
    ("protocol", "protocol: http\n", "protocol: udp\n", 10),
    ("targetPort", "targetPort: 8080", "targetPort: -1", 11),
    ("targetPort", "targetPort: 8080", "targetport: 8080", 11),
    ("publish", "publish: 8000", "publish: localhost:8000", 12),
    ("publish", "publish: 8000", "publish: 5432", 16),
    ("headless", "headless: false", "headless: no", 13),
    ("ports", "    ports:\n    - {name: sql", "    port: 1\n    ports:\n    - {name: sql", 15),
    (
        "ports",
        "    ports:\n    - {name: sql, port: 5432, protocol: tcp, targetPort: 5433, publish: 127.0.0.1:5432}\n",
        "",
        14,
    ),
    ("port", "port: 5432, ", "", 16),
    ("port", "port: 5432", "port: 0", 16),
    ("name", "{name: sql", "{name: [sql]", 16),
    ("name", "{name: sql", "{name: sql, port: 1}\n    - {name: sql", 17),
    ("port", "{name: sql", "{name: other, port: 5432}\n    - {name: sql", 17),
    ("protocol", "protocol: tcp", "protocol: mysql", 16),
    ("targetPort", "targetPort: 5433", "targetPort: sql", 16),
    ("publish", "publish: 127.0.0.1:5432", "publish: 70000", 16),
    ("workloads", "  workloads:\n", "  workload:\n", 17),
    ("service", "- service: web", "- service: wed", 18),
    ("service", "    service: db\n", "    service: [db]\n", 35),
    ("version", "version: v1", "version: [v1]", 19),
    ("version", "version: v1", "version: v/1", 19),
    ("labels", "{tier: front}", "[front]", 20),
    ("command", "    command: [web, --serve]\n", "", 18),
    ("command", "command: [web, --serve]", "command: []", 21),
    ("command", "command: exec db", "command: {exec: db}", 36),
    ("command", "[web, --serve]", "[web, 'http://${service.bd.addr}/']", 21),
    ("command", "exec db", "exec db ${workload.prot}", 36),
    ("env", "{COLOUR: blue}", "{A=B: blue}", 22),
    ("env", "{COLOUR: blue}", "{COLOUR: '${service.db.hots}'}", 22),
    ("env", "{COLOUR: blue}", "{COLOUR: [1]}", 22),
    ("workdir", "workdir: .", "workdir: [here]", 23),
    ("replicas", "replicas: 2", "replicas: 0", 24),
    ("replicas", "replicas: 2", "replicas: two", 24),
    ("replicas", "replicas: 2", "replicas: -1", 24),
    ("replicas", "replicas: 2", "replicas: 60000", 17),
    ("dependsOn", "dependsOn: [db]", "dependsOn: [cache]", 25),
    ("dependsOn", "dependsOn: [db]", "dependsOn: db", 25),
    ("dependsOn", "dependsOn: [db]", "dependsOn: [web-v1]", 25),
    ("dependsOn", "  - name: db\n    service", "  - name: db\n    dependsOn: [web-v1]\n    service", 25),
    ("dependsOn", "dependsOn: [db]", "dependOn: [db]", 25),
    ("share", "[/run/web]", "[run/web]", 26),
    ("share", "[/run/web]", "/run/web", 26),
    ("hostAccess", "[9000]", "[all]", 27),
    ("hostAccess", "[9000]", "[0]", 27),
    ("hostAccess", "[9000]", "[70000]", 27),
    ("health", "    health:\n      http: {path: /healthz, port: 8080}\n", "    health:\n", 28),
    ("http", "{path: /healthz, port: 8080}", "/healthz", 29),
    ("path", "path: /healthz", "path: healthz", 29),
    ("path", "path: /healthz", "paths: /healthz", 29),
    ("port", "/healthz, port: 8080", "/healthz, port: http", 29),
    ("port", "/healthz, port: 8080", "/healthz, port: 0", 29),
    ("interval", "interval: 1s", "interval: 1", 30),
    ("interval", "interval: 1s", "interval: 0s", 30),
    ("timeout", "timeout: 2s", "timeout: 2 s", 31),
    ("failures", "failures: 3", "failures: 0", 32),
    ("tcp", "tcp: 5433", "tcp: sql", 37),
    ("tcp", "tcp: 5433", "tcp: 0", 37),
    ("health", "{tcp: 5433}", "{tcp: 5433, command: x}", 37),
    ("name", "  - name: db\n    service", "  - name: d b\n    service", 34),
    ("name", "  - name: db\n    service", "  - name: web-v1\n    service", 34),
    ("mode", "mode: isolated", "mode: none", 39),
    ("tracing", "  tracing:\n    endpoint: http://127.0.0.1:4317\n", "  tracing:\n", 41),
    ("endpoint", "http://127.0.0.1:4317", "collector", 41),
    ("protocol", "protocol: grpc", "protocol: thrift", 42),
    ("sampling", "sampling: 10", "sampling: all", 43),
    ("sampling", "sampling: 10", "sampling: 101", 43),
    ("propagation", "[w3c]", "[jaeger]", 44),
    ("(the text)", "[web, --serve]", "[web, --serve", 22),
    ("(the text)", "    port: 80", "\tport: 80", 8),
    ("(the text)", "spec:", "--- # a second mesh\napiVersion: leno.dev/v1alpha1\nkind: LocalMesh\nspec:", 7),
];

/// The same as root; the lines are those of the page, since nobody else can be told so.
const AS_ROOT: &[(&str, &str, &str, u32)] = &[
    ("user (as root)", "    user: nobody\n  - name: db", "  - name: db", 18),
    ("user (as root)", "user: nobody\n  - name: db", "user: nobdy\n  - name: db", 33),
    ("user (as root)", "user: nobody\n  - name: db", "user: nobody:nogrop\n  - name: db", 33),
    ("user (as root)", "user: nobody\n  - name: db", "user: 65534.65534\n  - name: db", 33),
    ("user (as root)", "user: nobody\n  - name: db", "user: [nobody]\n  - name: db", 33),
];

/// The sound file for whoever runs the tests.
pub(super) fn sound() -> String {
    let user = if geteuid().is_root() { "user: nobody" } else { "# nobody else may change users" };
    SOUND.replace("USER", user)
}

/// Runs `leno up` with every wrong file.
pub(super) fn section(leno: &Leno) -> Section {
    every_field_is_there();
    let as_root = AS_ROOT.iter().filter(|_| geteuid().is_root());
    let rows = CASES.iter().chain(as_root).map(|case| row(leno, *case));
    Section {
        title: "The mesh file",
        about: "`leno up mesh.yaml` ends with exit code 1 before it starts anything. `leno analyze mesh.yaml` says the same.",
        columns: &["field", "written", "answer"],
        tables: vec![Table { title: String::new(), rows: rows.collect() }],
    }
}

fn row(leno: &Leno, (field, from, to, line): (&str, &str, &str, u32)) -> Row {
    let sound = sound();
    assert!(sound.contains(from), "{from:?} is in the file");
    leno.write("mesh.yaml", sound.replacen(from, to, 1));
    let ran = leno.run(["up", "mesh.yaml"]);
    let place = if line == 0 { "mesh.yaml: ".to_owned() } else { format!("mesh.yaml:{line}:") };
    let mut faults = ran.faults(1, &place);
    if leno.has_started_anything() {
        faults.push("something was started".to_owned());
    }
    let name = match field.split_once(' ') {
        _ if field.starts_with('(') => field.to_owned(),
        Some((field, rest)) => format!("`{field}` {rest}"),
        None => format!("`{field}`"),
    };
    let said = ran.said();
    let said = said.strip_prefix("error: the mesh cannot run as it is written\n").unwrap_or(&said);
    Row { cells: vec![words(name), text(change(from, to)), text(said)], faults }
}

/// What is written in place of what, in short.
pub(super) fn change(from: &str, to: &str) -> String {
    let line = |text: &str| text.trim().lines().map(str::trim).collect::<Vec<_>>().join(" ⏎ ");
    if to.is_empty() { format!("(without {})", line(from)) } else { line(to) }
}

/// The reference lists the fields; each has a case.
fn every_field_is_there() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/mesh-file.md");
    let page = fs::read_to_string(page).unwrap();
    let fields: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(fields.contains("dependsOn"), "the reference lists fields: {fields:?}");
    let cases: BTreeSet<&str> =
        CASES.iter().chain(AS_ROOT).filter_map(|(field, ..)| field.split(' ').next()).collect();
    let missing: Vec<_> = fields.difference(&cases).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}
