//! Paths and hosts written so that a policy and an application might read them differently.
//!
//! The application says what it sees. The verdict must be what the policy means for that, and for what a lenient
//! application would make of it; see [`readings`].

use std::net::SocketAddr;

use leno_testkit::mesh::eventually;

use crate::pair::Pair;
use crate::raw::{self, Answer};

/// Each target, and the path that the application sees; `!` where the request is refused.
const PATHS: &[(&str, &str)] = &[
    // As they are meant.
    ("/public/a", "/public/a"),
    ("/admin", "/admin"),
    ("/admin/", "/admin/"),
    ("/admin/x", "/admin/x"),
    ("/administrator", "/administrator"),
    ("/publicity", "/publicity"),
    // Slashes.
    ("//admin", "/admin"),
    ("///admin//x", "/admin/x"),
    ("/public//a", "/public/a"),
    ("/public//..//admin", "/admin"),
    // Dots.
    ("/./admin", "/admin"),
    ("/admin/.", "/admin/"),
    ("/admin/./x", "/admin/x"),
    ("/../admin", "/admin"),
    ("/../../admin", "/admin"),
    ("/public/../admin", "/admin"),
    ("/public/a/../../admin", "/admin"),
    ("/public/./../admin/x", "/admin/x"),
    ("/public/.../admin", "/public/.../admin"),
    ("/admin/../public/a", "/public/a"),
    // Encoded once.
    ("/%61dmin", "/admin"),
    ("/adm%69n/x", "/admin/x"),
    ("/%70ublic/a", "/public/a"),
    ("/%2e/admin", "/admin"),
    ("/public/%2e%2e/admin", "/admin"),
    ("/public/.%2E/admin", "/admin"),
    ("/public/%2e./admin", "/admin"),
    ("/%2fadmin", "/%2fadmin"),
    ("/%2F%2Fadmin", "/%2F%2Fadmin"),
    ("/admin%2fx", "/admin%2fx"),
    ("/public%2fa", "/public%2fa"),
    ("/public/..%2fadmin", "/public/..%2fadmin"),
    ("/public%2f..%2fadmin", "/public%2f..%2fadmin"),
    ("/public/%2e%2e%2fadmin", "/public/..%2fadmin"),
    ("/public/a%2f..%2f..%2fadmin", "/public/a%2f..%2f..%2fadmin"),
    // Backslashes.
    ("/\\admin", "/admin"),
    ("/public\\..\\admin", "/admin"),
    ("/public/..\\admin", "/admin"),
    ("/%5cadmin", "/%5cadmin"),
    ("/admin%5Cx", "/admin%5Cx"),
    ("/public/..%5cadmin", "/public/..%5cadmin"),
    ("/public/%5c..%5c..%5cadmin", "/public/%5c..%5c..%5cadmin"),
    ("/public%5ca", "/public%5ca"),
    // Encoded twice: the application decodes once, and so does the policy.
    ("/%2561dmin", "/%2561dmin"),
    ("/%25%36%31dmin", "/%2561dmin"),
    ("/public/%252e%252e/admin", "/public/%252e%252e/admin"),
    ("/public%252f..%252fadmin", "/public%252f..%252fadmin"),
    // Parameters of segments.
    ("/admin;x=1", "/admin;x=1"),
    ("/admin;x/y", "/admin;x/y"),
    ("/;x/admin", "/;x/admin"),
    ("/admin%3bx", "/admin%3bx"),
    ("/public;x/a", "/public;x/a"),
    ("/public/a;v=1", "/public/a;v=1"),
    ("/public/..;/admin", "!"),
    ("/public/.;x/admin", "!"),
    ("/public/%2e%2e;/admin", "!"),
    ("/public/..%3b/admin", "/public/..%3b/admin"),
    // Queries are no part of a path, and what looks like one may be.
    ("/public/a?/../../admin", "/public/a"),
    ("/admin?/public/a", "/admin"),
    ("/admin%3f/../public/a", "/public/a"),
    ("/admin%3fx", "/admin%3fx"),
    ("/admin%23x", "/admin%23x"),
    // White space and control characters.
    ("/admin%20", "/admin%20"),
    ("/admin%09", "/admin%09"),
    ("/admin%0d%0a", "/admin%0d%0a"),
    ("/admin\t", "!"),
    ("/\tadmin", "!"),
    ("/admin\u{b}", "!"),
    ("/admin\u{7f}", "!"),
    ("/admin\0", "!"),
    ("/admin%00", "!"),
    ("/public/%00/../admin", "!"),
    // Encodings that are none, and such as only careless decoders take.
    ("/admin%", "!"),
    ("/admin%2", "!"),
    ("/%zzdmin", "!"),
    ("/%u0061dmin", "!"),
    ("/public/%c0%ae%c0%ae/admin", "!"),
    ("/public%c0%af..%c0%afadmin", "!"),
    ("/%e0%80%afadmin", "!"),
    ("/%f0%80%80%afadmin", "!"),
    ("/public/%ef%bc%8fadmin", "/public/%ef%bc%8fadmin"),
    ("/public/%c3%a9", "/public/%c3%a9"),
    ("/public/%e9", "/public/%e9"),
];

/// Targets in forms that only HTTP/1.1 has (RFC 9112 §3.2). One with another host than `Host` says is refused.
const FORMS: &[(&str, &str)] = &[
    ("http://server/admin", "/admin"),
    ("HTTP://SERVER/public/../admin", "/admin"),
    ("http://server//admin", "/admin"),
    ("http://server/public/a", "/public/a"),
    ("http://server.:80/%61dmin", "!"),
    ("http://public/a/../admin", "!"),
    ("http://server\\admin", "!"),
    ("http://user@server/admin", "!"),
    ("http:/admin", "!"),
    ("http:admin", "!"),
    ("://server/admin", "!"),
    ("ftp://server/admin", "!"),
    ("server/admin", "!"),
    ("admin", "!"),
    ("\\admin", "!"),
    ("?/admin", "!"),
    ("#/admin", "!"),
    ("/public/a#/../../admin", "!"),
    ("/public/a /admin", "!"),
    ("", "!"),
];

/// Values of `:path` that are none (RFC 9113 §8.3.1).
const PSEUDO: &[&str] = &[
    "admin",
    "",
    "http://server/admin",
    "//server\\admin\r\nx: y",
    "*",
    "?/admin",
    "/admin ",
    "/admin\r\n",
    "/%",
    "/public/a#/../../admin",
    "/admin#/../public/a",
];

#[test]
fn no_path_passes_a_policy_that_means_it() {
    let mut pair = world("tricks");
    let client = pair.caller("client");
    let direct = ["http-open", "http-deny", "http-allow"].map(|name| pair.port(name).inbound);
    let through = ["http-open", "http-deny", "http-allow"].map(|name| client.0[name]);
    let mut wrong = Vec::new();
    for (way, ports) in [("directly", direct), ("through a client's proxy", through)] {
        for (target, seen) in PATHS.iter().chain(FORMS) {
            check(&mut wrong, &format!("HTTP/1.1 {way}"), target, seen, |to| over_http1(to, target), ports);
        }
        let pseudo = PSEUDO.iter().map(|target| (*target, "!"));
        for (target, seen) in PATHS.iter().copied().chain(pseudo) {
            check(&mut wrong, &format!("HTTP/2 {way}"), target, seen, |to| over_http2(to, target), ports);
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn over_http1(to: SocketAddr, target: &str) -> Answer {
    raw::http1(to, target.as_bytes(), b"host: server\r\n")
}

fn over_http2(to: SocketAddr, target: &str) -> Answer {
    let fields: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"server"),
        (b":path", target.as_bytes()),
    ];
    raw::http2(to, &fields)
}

/// One target at the port that allows everything, the one that denies below `/admin` and the one that allows below
/// `/public/` alone.
fn check(
    wrong: &mut Vec<String>,
    how: &str,
    target: &str,
    seen: &str,
    send: impl Fn(SocketAddr) -> Answer,
    [open, deny, allow]: [SocketAddr; 3],
) {
    let mut expect = |policy: &str, to: SocketAddr, allowed: bool| {
        let answer = send(to);
        let expected = match (seen, allowed) {
            ("!", _) => (answer.status == 400 || answer.status == 0) && answer.seen("path").is_none(),
            (seen, true) => answer.seen("path").as_deref() == Some(seen),
            (_, false) => answer.status == 403 && answer.seen("path").is_none(),
        };
        if !expected {
            let got = (answer.status, answer.seen("path"));
            wrong.push(format!("{how}, {policy}: {target:?} must be {seen:?}, allowed {allowed}: {got:?}"));
        }
    };
    let readings = readings(seen);
    let is_below =
        |path: &str, folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    expect("no policy", open, true);
    expect("DENY", deny, !readings.iter().any(|path| path == "/admin" || is_below(path, "/admin")));
    expect("ALLOW", allow, readings.iter().all(|path| is_below(path, "/public")));
}

/// How a path may be read: as it is, and by an application that decodes it, takes backslashes for slashes, drops
/// parameters, and only then looks at its segments.
fn readings(path: &str) -> [String; 2] {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    let decoded = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let mut lenient = String::new();
    for segment in decoded.split('/').map(|segment| segment.split(';').next().unwrap()) {
        match segment {
            "" | "." => {}
            ".." => lenient.truncate(lenient.rfind('/').unwrap_or(0)),
            _ => lenient = format!("{lenient}/{segment}"),
        }
    }
    [path.to_owned(), if decoded.ends_with('/') { lenient + "/" } else { lenient }]
}

#[test]
fn no_host_passes_a_policy_that_means_it() {
    let pair = world("hosts");
    let port = pair.port("http-deny").inbound;
    let mut wrong = Vec::new();
    let mut expect = |what: String, answer: Answer, expected: &str| {
        let got = answer.seen("host").unwrap_or_else(|| answer.status.to_string());
        if !expected.split('|').any(|expected| expected == got) {
            wrong.push(format!("{what} must be {expected}: {got}"));
        }
    };
    for (target, lines, expected) in HOSTS1 {
        let answer = raw::http1(port, target.as_bytes(), lines.as_bytes());
        expect(format!("{target} {lines:?}"), answer, expected);
    }
    for (path, fields, expected) in HOSTS2 {
        let mut all: Vec<(&[u8], &[u8])> =
            vec![(b":method", b"GET"), (b":scheme", b"http"), (b":path", path.as_bytes())];
        all.extend(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        expect(format!("{path} {fields:?}"), raw::http2(port, &all), expected);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Target, header lines, and the host that the application sees, or the status that it doesn't see.
const HOSTS1: &[(&str, &str, &str)] = &[
    ("/public/a", "host: other.test\r\n", "other.test"),
    ("/public/a", "Host: OTHER.Test.:80\r\n", "other.test:80"),
    ("/public/a", "host: secret.test\r\n", "403"),
    ("/public/a", "host: SECRET.Test\r\n", "403"),
    ("/public/a", "host: secret.test.\r\n", "403"),
    ("/public/a", "host: secret.test:8080\r\n", "403"),
    ("/public/a", "host: secret.test:\r\n", "403"),
    ("/public/a", "HOST:\tSecret.test.:080 \r\n", "403"),
    ("/public/a", "host: secret.test..\r\n", "400"),
    ("/public/a", "host: secret.test, other.test\r\n", "400"),
    ("/public/a", "host: other.test/secret.test\r\n", "400"),
    ("/public/a", "host: user@secret.test\r\n", "400"),
    ("/public/a", "host: secret.test:http\r\n", "400"),
    ("/public/a", "host: other.test\r\nhost: secret.test\r\n", "400"),
    ("/public/a", "host: secret.test\r\nhost: secret.test\r\n", "400"),
    ("/public/a", "host : secret.test\r\n", "400"),
    ("/public/a", "host: other.test\r\n secret.test\r\n", "400"),
    ("/public/a", "", "400"),
    ("http://secret.test/public/a", "host: other.test\r\n", "403|400"),
    ("http://SECRET.test.:80/public/a", "host: other.test\r\n", "403|400"),
    ("http://other.test/public/a", "host: secret.test\r\n", "other.test|400"),
    ("http://other.test/admin", "host: server\r\n", "403|400"),
    ("/admin", "host: SERVER\r\n", "403"),
    ("/admin", "host: server.\r\n", "403"),
    ("/admin", "host: server:8080\r\n", "403"),
    ("/admin", "host: server\r\nhost: server\r\n", "400"),
];

/// A header and its value.
type Field = (&'static str, &'static str);

/// The same for `:path` and the other fields; 0 stands for a refused stream.
const HOSTS2: &[(&str, &[Field], &str)] = &[
    ("/public/a", &[(":authority", "other.test")], "other.test"),
    ("/public/a", &[(":authority", "secret.test")], "403"),
    ("/public/a", &[(":authority", "SECRET.test")], "403"),
    ("/public/a", &[(":authority", "secret.test.")], "403"),
    ("/public/a", &[(":authority", "Secret.test.:443")], "403"),
    ("/public/a", &[("host", "secret.test")], "403|400|0"),
    ("/public/a", &[(":authority", "other.test"), ("host", "secret.test")], "other.test|400|0"),
    ("/public/a", &[(":authority", "secret.test"), ("host", "other.test")], "403|400|0"),
    ("/public/a", &[(":authority", "other.test"), (":authority", "secret.test")], "400|0"),
    ("/public/a", &[(":authority", "user@secret.test")], "400|0"),
    ("/public/a", &[(":authority", "other.test"), ("host", "other.test"), ("host", "secret.test")], "400|0"),
    ("/admin", &[(":authority", "SERVER.")], "403"),
    ("/public/a", &[(":authority", "server"), (":path", "/admin")], "400|0"),
    ("/public/a", &[(":authority", "server"), (":path ", "/admin")], "400|0"),
];

/// A server with a port for each policy.
fn world(name: &str) -> Pair {
    let pair = Pair::start(name, &["http-open", "http-deny", "http-allow"], "");
    let [open, deny, allow] =
        ["http-open", "http-deny", "http-allow"].map(|name| pair.port(name).application);
    pair.configure(&format!(
        "---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: deny, namespace: default}}
spec:
  selector: {{matchLabels: {{app: server}}}}
  action: DENY
  rules:
  - to: [{{operation: {{ports: ['{deny}'], paths: [/admin, /admin/*]}}}}]
  - to: [{{operation: {{ports: ['{deny}'], hosts: [secret.test]}}}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: allow, namespace: default}}
spec:
  selector: {{matchLabels: {{app: server}}}}
  rules:
  - to: [{{operation: {{ports: ['{open}', '{deny}']}}}}]
  - to: [{{operation: {{ports: ['{allow}'], paths: [/public/*]}}}}]
"
    ));
    let inbound = pair.port("http-allow").inbound;
    eventually("both policies are in effect", || {
        let answers = (over_http1(inbound, "/public/a").status, over_http1(inbound, "/admin").status);
        if answers == (404, 403) { Ok(()) } else { Err(format!("{answers:?}")) }
    });
    pair
}
