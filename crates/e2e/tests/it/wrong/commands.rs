//! Wrong arguments of every command.

use std::{collections::BTreeSet, net::TcpListener};

use super::{
    page::{Row, Section, Table, text},
    program::Leno,
    wire::certificates,
};

/// What is typed behind a command, divided at blanks; what must be named; the exit code.
type Case = (&'static str, &'static str, i32);

const CASES: &[(&str, &[Case])] = &[
    (
        "",
        &[
            ("", "Usage: leno", 2),
            ("upp mesh.yaml", "'upp'", 2),
            ("--mesh shop", "'--mesh'", 2),
            ("--output xml status", "--output", 2),
        ],
    ),
    (
        "up",
        &[
            ("", "<FILE>", 2),
            ("mesh.yaml --conf d", "'--conf'", 2),
            ("mehs.yaml", "mehs.yaml", 1),
            (".", ". ", 1),
            ("empty.yaml", "empty.yaml", 1),
            ("config.yaml", "config.yaml", 1),
            ("mesh.yaml mesh.yaml", "mesh.yaml:1", 1),
            ("latin1.yaml", "latin1.yaml", 1),
            ("large.yaml", "large.yaml", 1),
            ("mesh.yaml --config nowhere", "nowhere", 1),
            ("mesh.yaml --config", "--config", 2),
            ("mesh.yaml --bind here", "--bind", 2),
            ("mesh.yaml --bind 127.0.0.1:80", "--bind", 2),
            ("mesh.yaml --svid-lifetime soon", "--svid-lifetime", 2),
            ("mesh.yaml --svid-lifetime 1", "--svid-lifetime", 2),
            ("mesh.yaml --svid-renew-after 99", "--svid-renew-after", 2),
            ("mesh.yaml --svid-renew-after half", "--svid-renew-after", 2),
            ("mesh.yaml --access-log-format xml", "--access-log-format", 2),
            ("mesh.yaml --metrics on", "--metrics", 2),
            ("mesh.yaml --metrics TAKEN", "--metrics", 1),
            ("mesh.yaml --output yaml", "--output", 2),
            ("mesh.yaml --watch=no", "--watch", 2),
            ("mesh.yaml --mode chroot", "--mode", 2),
        ],
    ),
    (
        "down",
        &[
            ("", "no mesh is running", 1),
            ("shop", "\"shop\"", 1),
            ("a b", "'b'", 2),
            ("--all", "'--all'", 2),
            ("-o xml", "--output", 2),
        ],
    ),
    (
        "status",
        &[
            ("", "no mesh is running", 1),
            ("--mesh shop", "\"shop\"", 1),
            ("--mesh", "--mesh", 2),
            ("--output xml", "--output", 2),
            ("--watch", "no mesh is running", 1),
            ("--watch --interval 0", "--interval", 2),
            ("--interval 5", "--watch", 2),
            ("web", "'web'", 2),
        ],
    ),
    (
        "config",
        &[
            ("", "<WORKLOAD>", 2),
            ("web", "no mesh is running", 1),
            ("web --mesh shop", "\"shop\"", 1),
            ("web -o yaml", "--output", 2),
            ("web --json", "'--json'", 2),
        ],
    ),
    (
        "explain",
        &[
            ("", "<FROM>", 2),
            ("web GET", "<URL>", 2),
            ("web GET https://reviews/", "<URL>", 2),
            ("web GET reviews", "<URL>", 2),
            ("web GET http:///x", "<URL>", 2),
            ("web GET http://reviews:http/", "<URL>", 2),
            ("web GE(T http://reviews/", "<METHOD>", 2),
            ("web GET http://reviews/ --header colon", "--header", 2),
            ("web GET http://reviews/ -H a(b:c", "--header", 2),
            ("web GET http://reviews/ --connect a/b", "--connect", 2),
            ("web GET http://reviews/ --all=yes", "'--all'", 2),
            ("web GET http://reviews/ --verbose", "'--verbose'", 2),
            ("web GET http://reviews/ -o xml", "--output", 2),
            ("web GET http://reviews/", "no mesh is running", 1),
            ("web GET http://reviews/ --mesh shop", "\"shop\"", 1),
        ],
    ),
    (
        "analyze",
        &[
            ("", "no mesh is running", 1),
            ("nowhere", "nowhere", 1),
            ("mesh.yaml --mesh shop", "--mesh", 2),
            ("--mesh shop", "\"shop\"", 1),
            ("mesh.yaml --namespace", "--namespace", 2),
            ("mesh.yaml --namespace The_Shop", "--namespace", 2),
            ("mesh.yaml --failure-threshold fatal", "--failure-threshold", 2),
            ("mesh.yaml --output-threshold fatal", "--output-threshold", 2),
            ("mesh.yaml --suppress LENO0023=VirtualService", "--suppress", 2),
            ("mesh.yaml --recursively", "'--recursively'", 2),
            ("mesh.yaml --output xml", "--output", 2),
        ],
    ),
    (
        "logs",
        &[
            ("web", "no mesh is running", 1),
            ("--mesh shop web", "\"shop\"", 1),
            ("--lines many", "--lines", 2),
            ("--lines=-1", "--lines", 2),
            ("--follow=yes", "'--follow'", 2),
            ("--tail", "'--tail'", 2),
            ("-o xml", "--output", 2),
        ],
    ),
    (
        "restart",
        &[
            ("", "<WORKLOAD>", 2),
            ("web", "no mesh is running", 1),
            ("web --mesh shop", "\"shop\"", 1),
            ("web db", "'db'", 2),
            ("web --now", "'--now'", 2),
            ("web -o xml", "--output", 2),
        ],
    ),
    (
        "exec",
        &[
            ("", "<WORKLOAD>", 2),
            ("web", "<COMMAND>", 2),
            ("web ls", "'ls'", 2),
            ("web --env X -- true", "--env", 2),
            ("web --env =x -- true", "--env", 2),
            ("web --workdir", "--workdir", 2),
            ("web -- true", "no mesh is running", 1),
            ("web --mesh shop -- true", "\"shop\"", 1),
            ("web --tty -- true", "'--tty'", 2),
            ("web -o xml -- true", "--output", 2),
        ],
    ),
    (
        "proxy",
        &[
            ("", "--config <DIR>", 2),
            ("CONFIG CERTS", "--gateway", 2),
            ("PROXY --gateway default/edge", "--gateway", 2),
            ("PROXY --verbose", "'--verbose'", 2),
            ("PROXY -o xml", "--output", 2),
            ("CERTS --workload web --config nowhere", "--workload", 2),
            ("CERTS --gateway a/b/c --config nowhere", "--gateway", 2),
            ("PROXY --outbound 8080=web:80", "--outbound", 2),
            ("PROXY --outbound 127.0.0.1:8080", "--outbound", 2),
            ("PROXY --outbound 127.0.0.1:8080=web", "--outbound", 2),
            ("PROXY --outbound 127.0.0.1:8080=w@b:80", "--outbound", 2),
            ("PROXY --inbound 8080", "--inbound", 2),
            ("PROXY --inbound 127.0.0.1:8080=http", "--inbound", 2),
            ("PROXY --inbound localhost:8080=80", "--inbound", 2),
            ("PROXY --mesh 15008", "--mesh", 2),
            ("PROXY --bind here", "--bind", 2),
            ("PROXY --metrics 9090", "--metrics", 2),
            ("PROXY --threads many", "--threads", 2),
            ("PROXY --seed dice", "--seed", 2),
            ("PROXY --access-log-format xml", "--access-log-format", 2),
            ("PROXY --trace-endpoint collector", "--trace-endpoint", 1),
            ("PROXY --trace-endpoint http://127.0.0.1:4317 --trace-protocol thrift", "--trace-protocol", 2),
            ("PROXY --trace-endpoint http://127.0.0.1:4317 --trace-sampling all", "--trace-sampling", 2),
            (
                "PROXY --trace-endpoint http://127.0.0.1:4317 --trace-propagation jaeger",
                "--trace-propagation",
                2,
            ),
            ("CERTS --workload default/web --config nowhere", "nowhere", 1),
            ("CONFIG CERTS --workload default/wep", "default/wep", 1),
            ("CONFIG CERTS --workload shop/web", "shop/web", 1),
            ("CONFIG CERTS --gateway default/egde", "default/egde", 1),
            ("CERTS --workload default/web --config empty.yaml", "default/web", 1),
            (
                "CONFIG --workload default/web --cert nowhere.pem --key web.key --roots root.pem",
                "nowhere.pem",
                1,
            ),
            (
                "CONFIG --workload default/web --cert web.pem --key nowhere.key --roots root.pem",
                "nowhere.key",
                1,
            ),
            (
                "CONFIG --workload default/web --cert web.pem --key web.key --roots nowhere.pem",
                "nowhere.pem",
                1,
            ),
            ("CONFIG --workload default/web --cert . --key web.key --roots root.pem", "read .", 1),
            (
                "CONFIG --workload default/web --cert config.yaml --key web.key --roots root.pem",
                "config.yaml",
                1,
            ),
            ("CONFIG --workload default/web --cert web.pem --key web.pem --roots root.pem", "web.pem", 1),
            ("CONFIG --workload default/web --cert web.pem --key other.key --roots root.pem", "--key", 1),
            (
                "CONFIG --workload default/web --cert web.pem --key web.key --roots config.yaml",
                "config.yaml",
                1,
            ),
            ("CONFIG --workload default/web --cert root.pem --key root.key --roots root.pem", "root.pem", 1),
            ("PROXY --inbound TAKEN=80", "TAKEN", 1),
            ("PROXY --mesh TAKEN", "TAKEN", 1),
            ("PROXY --outbound TAKEN=web:80", "TAKEN", 1),
            ("PROXY --inbound 192.0.2.1:80=80", "192.0.2.1:80", 1),
            ("PROXY --metrics TAKEN", "TAKEN", 1),
            ("PROXY --admin nowhere/admin", "nowhere/admin", 1),
            ("PROXY --take-over nowhere/next", "nowhere/next", 1),
            ("PROXY --access-log nowhere/log", "nowhere/log", 1),
            ("PROXY --access-log .", "access log \".\"", 1),
        ],
    ),
];

/// What stands for arguments that are right.
const SHORT: [(&str, &str); 3] = [
    ("PROXY", "CONFIG CERTS --workload default/web"),
    ("CONFIG", "--config config.yaml"),
    ("CERTS", "--cert web.pem --key web.key --roots root.pem"),
];

/// Runs every command, in a folder with the files that they need and no running mesh.
pub(super) fn section(leno: &Leno) -> Section {
    write_files(leno);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let tables = CASES.iter().map(|(command, cases)| {
        let rows = cases.iter().map(|case| row(leno, command, *case, &address));
        let unknown = flags(leno, command);
        let typed: String = cases.iter().map(|(typed, ..)| format!("{typed} ")).collect();
        let missing: Vec<_> = unknown.iter().filter(|flag| !is_typed(&typed, flag)).collect();
        assert!(missing.is_empty(), "no case of `leno {command}` has {missing:?}");
        Table { title: format!("`leno {command}`").replace(" `", "`"), rows: rows.collect() }
    });
    Section {
        title: "Arguments",
        about: "Exit code 2 is wrong usage, 1 a failure; both are told on standard error. Nothing is started. No mesh is running.\n\
                `…` stands for right arguments, TAKEN for an address that another program listens on, 192.0.2.1 for one that the\n\
                machine doesn't have.",
        columns: &["input", "answer", "exit code"],
        tables: tables.collect(),
    }
}

fn row(leno: &Leno, command: &str, (typed, place, code): Case, taken: &str) -> Row {
    let mut long = format!("{command} {typed}");
    for (short, words) in SHORT {
        long = long.replace(short, words);
    }
    let long = long.replace("TAKEN", taken);
    let mut ran = leno.run(long.split_whitespace());
    ran.err = ran.err.replace(taken, "TAKEN");
    let mut faults = ran.faults(code, place);
    if leno.has_started_anything() {
        faults.push("something was started".to_owned());
    }
    let mut shown = typed.replace("CONFIG CERTS", "…");
    for (short, _) in SHORT {
        shown = shown.replace(short, "…");
    }
    let shown = format!("leno {command} {shown}");
    let shown: Vec<&str> = shown.split_whitespace().collect();
    let code = ran.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
    Row { cells: vec![text(shown.join(" ")), text(ran.said()), text(code)], faults }
}

/// Every flag that the help of a command lists, by both of its names.
fn flags(leno: &Leno, command: &str) -> BTreeSet<(String, Option<String>)> {
    let help = leno.run(command.split_whitespace().chain(["--help"])).out;
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let flags = lines.filter_map(|line| {
        let mut names = line.split([' ', ',', '=']).filter(|name| name.starts_with('-'));
        let first = names.next()?;
        if first.starts_with("--") {
            return Some((first.to_owned(), None));
        }
        Some((names.next()?.to_owned(), Some(first.to_owned())))
    });
    flags.filter(|(long, _)| !["--help", "--version"].contains(&long.as_str())).collect()
}

fn is_typed(typed: &str, (long, short): &(String, Option<String>)) -> bool {
    let mut words = typed.split([' ', '=']);
    // What `…` stands for is right in most cases, and has cases in which it is wrong.
    words.any(|word| word == long || Some(word) == short.as_deref())
}

const CONFIG: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web, labels: {leno.dev/transport: native}}
spec: {address: 127.0.0.1, labels: {app: web}, serviceAccount: web}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: leno
  listeners: [{name: http, port: 8080, protocol: HTTP}]
";

fn write_files(leno: &Leno) {
    certificates::write(leno.folder());
    leno.write("mesh.yaml", super::mesh_file::sound());
    leno.write("config.yaml", CONFIG);
    leno.write("empty.yaml", "");
    leno.write("latin1.yaml", b"kind: LocalMesh # caf\xe9\n");
    leno.write("large.yaml", format!("kind: LocalMesh\n{}", "# more\n".repeat(3 << 20)));
}
