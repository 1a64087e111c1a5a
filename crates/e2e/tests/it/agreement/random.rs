//! Random configuration and random requests from one small vocabulary, so that they often meet.

use fastrand::Rng;
use serde_json::{Map, Value, json};

const PATHS: [&str; 10] =
    ["/", "/a", "/a/b", "/A/b", "/b.txt", "/admin", "/admin/x", "/api/v1/x", "/api/v2", "/a%2fb"];
const PATTERNS: [&str; 6] = ["/a(/.*)?", "/[ab].*", "/api/v[0-9]+/.*", ".*x", "/admin.*", "/(a|b)/b"];
const METHODS: [&str; 7] = ["GET", "GET", "POST", "PUT", "DELETE", "HEAD", "FOO"];
const NAMES: [&str; 3] = ["x-a", "x-b", "x-team"];
const VALUES: [&str; 6] = ["1", "2", "one", "One", "1,2", "operators"];

/// What some routes add. It ends at the proxy that routes.
pub(super) const WISH: &str = "x-envoy-max-retries";

/// Hosts of the mesh, as its own workloads may write them.
const INSIDE: [&str; 12] = [
    "shop",
    "shop:80",
    "SHOP",
    "shop.default.svc.cluster.local",
    "Shop.Default.svc.cluster.LOCAL:80",
    "shop.default.svc.cluster.local.",
    "shop.default.svc.cluster.local.:80",
    "cart",
    "cart.default",
    "shop:8080",
    "example.com",
    "[::1]:80",
];

/// Hosts of the gateway.
const OUTSIDE: [&str; 9] = [
    "a.example.com",
    "A.Example.COM",
    "a.example.com.",
    "a.example.com:8443",
    "b.example.com",
    "x.y.example.com",
    "example.com",
    "other.org",
    "192.0.2.7",
];

/// A request without a body.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) authority: &'static str,
    pub(super) target: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Request {
    pub(super) fn draw(rng: &mut Rng, from_outside: bool, id: usize) -> Self {
        let authority = if from_outside { pick(rng, &OUTSIDE) } else { pick(rng, &INSIDE) };
        let mut headers = vec![("user-agent", id.to_string())];
        for _ in 0..rng.usize(..4) {
            headers.push((pick(rng, &NAMES), pick(rng, &VALUES).to_owned()));
        }
        Self { method: pick(rng, &METHODS), authority, target: target(rng), headers }
    }

    /// As it is written on the wire.
    pub(super) fn bytes(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.authority);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text
    }
}

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

/// Path and query, every other time with a trick.
fn target(rng: &mut Rng) -> String {
    let mut path = pick(rng, &PATHS).to_owned();
    if rng.bool() {
        let (from, to) = pick(
            rng,
            &[
                ("/", "//"),
                ("/", "/./"),
                ("/", "/x/../"),
                ("/", "/../"),
                ("/", "/%2e%2e/"),
                ("/", "\\"),
                ("/a", "/%61"),
                ("/a", "/A"),
                ("/b", "%2fb"),
                ("/b", "%2Fb"),
                ("/b", "%5cb"),
                ("/b", "/b;x=1"),
                ("/x", "/x/"),
                ("/x", "/x%00"),
                ("/x", "/x%zz"),
                ("/x", "%252fx"),
                ("/x", "/\"<x>"),
                ("x", "x?"),
            ],
        );
        path = if path == "/" { format!("{to}a") } else { path.replacen(from, to, 1) };
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
    }
    path + pick(rng, &["", "", "", "?x=1", "?x=2&y=1", "?x", "?x=1&x=2", "?X=1", "?x=%31", "?y=a/b"])
}

/// The documents of one generation. `ports` are those of the workloads, `listener` that of the gateway.
pub(super) fn configuration(rng: &mut Rng, generation: usize, ports: &[u16]) -> String {
    let mut documents = markers(generation);
    for host in ["shop", "cart"] {
        let kinds = pick(
            rng,
            &[(true, false), (true, false), (false, true), (false, true), (true, true), (false, false)],
        );
        if kinds.0 {
            documents.push(virtual_service(rng, host));
        }
        if kinds.1 {
            let parent = json!({"group": "", "kind": "Service", "name": host});
            documents.push(http_route(rng, host, parent, &[]));
        }
    }
    for (index, hosts) in [&["a.example.com"][..], &["*.example.com"], &[]].iter().enumerate() {
        if rng.u8(..3) > 0 {
            documents.push(http_route(rng, &format!("edge-{index}"), json!({"name": "edge"}), hosts));
        }
    }
    for (index, target) in ["shop", "shop", "cart", "cart", "edge"].iter().enumerate() {
        if rng.u8(..5) < 2 {
            documents.push(policy(rng, &format!("policy-{index}"), target, ports));
        }
    }
    documents.iter().map(|document| format!("---\n{document:#}\n")).collect()
}

/// What tells that a generation is in effect: a route for callers, a policy for the gateway
/// and for those who are called.
fn markers(generation: usize) -> Vec<Value> {
    let name = format!("generation-{generation}");
    vec![
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "marker", "namespace": "default"},
            "spec": {"hosts": ["marker"], "http": [{"name": name, "directResponse": {"status": 204}}]},
        }),
        json!({
            "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"action": "DENY", "rules": [{"from": [{"source": {"principals": ["nobody"]}}]}]},
        }),
    ]
}

fn virtual_service(rng: &mut Rng, host: &str) -> Value {
    let rules: Vec<_> = (0..=rng.usize(..5)).map(|index| istio_rule(rng, host, index)).collect();
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": host, "namespace": "default"},
        "spec": {"hosts": [host], "http": rules},
    })
}

fn istio_rule(rng: &mut Rng, host: &str, index: usize) -> Value {
    let mut rule = Map::from_iter([("name".to_owned(), json!(format!("{host}-{index}")))]);
    let matches: Vec<_> = (0..rng.usize(..3)).map(|_| istio_match(rng)).collect();
    if !matches.is_empty() {
        rule.insert("match".to_owned(), json!(matches));
    }
    match rng.u8(..8) {
        0 => {
            let redirect = json!({"uri": "/moved", "authority": "elsewhere.test", "redirectCode": 302});
            rule.insert("redirect".to_owned(), redirect);
            return rule.into();
        }
        1 => {
            rule.insert("directResponse".to_owned(), json!({"status": 418, "body": {"string": "tea"}}));
            return rule.into();
        }
        _ => {}
    }
    let count = 1 + rng.usize(..3);
    let routes: Vec<_> = (0..count).map(|_| istio_destination(rng, count > 1)).collect();
    rule.insert("route".to_owned(), json!(routes));
    if rng.u8(..4) == 0 {
        let fault = pick(
            rng,
            &[
                r#"{"abort": {"httpStatus": 421, "percentage": {"value": 40}}}"#,
                r#"{"abort": {"grpcStatus": "ABORTED", "percentage": {"value": 100}}}"#,
                r#"{"abort": {"httpStatus": 500, "percentage": {"value": 50}}, "delay": {"fixedDelay": "1ms", "percentage": {"value": 50}}}"#,
            ],
        );
        rule.insert("fault".to_owned(), serde_json::from_str(fault).unwrap());
    }
    if rng.u8(..3) == 0 {
        let rewrite =
            pick(rng, &[r#"{"uri": "/b"}"#, r#"{"uri": "/admin/"}"#, r#"{"authority": "other.test"}"#]);
        rule.insert("rewrite".to_owned(), serde_json::from_str(rewrite).unwrap());
    }
    if rng.u8(..3) == 0 {
        let set = json!({"x-a": "1", WISH: "1"});
        let edits = json!({"request": {"set": set, "add": {"x-b": "added"}, "remove": ["x-team"]}});
        rule.insert("headers".to_owned(), edits);
    }
    rule.into()
}

fn istio_destination(rng: &mut Rng, weighted: bool) -> Value {
    let host = pick(rng, &["shop", "shop", "shop", "cart", "cart", "missing"]);
    let mut destination = json!({"host": host});
    if host == "shop" && rng.bool() {
        destination["subset"] = json!(pick(rng, &["v1", "v2", "v1", "v2", "v9"]));
    }
    if weighted {
        json!({"destination": destination, "weight": pick(rng, &[0, 1, 10, 50])})
    } else {
        json!({"destination": destination})
    }
}

fn istio_match(rng: &mut Rng) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    if rng.u8(..3) > 0 {
        put("uri", istio_text(rng, &PATHS, &PATTERNS));
        if rng.u8(..4) == 0 {
            put("ignoreUriCase", json!(true));
        }
    }
    if rng.u8(..4) == 0 {
        put("method", istio_text(rng, &METHODS, &["P.*", "GET|HEAD"]));
    }
    if rng.u8(..3) == 0 {
        put("headers", json!({(pick(rng, &NAMES)): istio_text(rng, &VALUES, &["[0-9]+", "[Oo]ne", ".*"])}));
    }
    if rng.u8(..6) == 0 {
        put("withoutHeaders", json!({(pick(rng, &NAMES)): istio_text(rng, &VALUES, &["[0-9]+"])}));
    }
    if rng.u8(..5) == 0 {
        put("queryParams", json!({"x": istio_text(rng, &["1", "2", ""], &["[0-9]+"])}));
    }
    if rng.u8(..6) == 0 {
        put("authority", istio_text(rng, &INSIDE, &["shop.*", ".*local"]));
    }
    if rng.u8(..10) == 0 {
        put("port", json!(pick(rng, &[80, 81])));
    }
    fields.into()
}

fn istio_text(rng: &mut Rng, texts: &[&str], patterns: &[&str]) -> Value {
    match rng.u8(..4) {
        0 => json!({"regex": pick(rng, patterns)}),
        1 | 2 => json!({"prefix": pick(rng, texts)}),
        _ => json!({"exact": pick(rng, texts)}),
    }
}

fn http_route(rng: &mut Rng, name: &str, parent: Value, hosts: &[&str]) -> Value {
    let rules: Vec<_> = (0..=rng.usize(..4)).map(|index| gateway_rule(rng, name, index)).collect();
    let mut spec = json!({"parentRefs": [parent], "rules": rules});
    if !hosts.is_empty() {
        spec["hostnames"] = json!(hosts);
    }
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    })
}

fn gateway_rule(rng: &mut Rng, name: &str, index: usize) -> Value {
    let matches: Vec<_> = (0..rng.usize(..3)).map(|_| gateway_match(rng)).collect();
    let is_prefix = !matches.is_empty() && matches.iter().all(|one| one["path"]["type"] == "PathPrefix");
    let mut rule = json!({"name": format!("{name}-{index}")});
    if !matches.is_empty() {
        rule["matches"] = json!(matches);
    }
    match rng.u8(..8) {
        0 => {
            let path = json!({"type": "ReplaceFullPath", "replaceFullPath": "/moved"});
            let redirect = json!({"hostname": "elsewhere.test", "statusCode": 301, "path": path});
            rule["filters"] = json!([{"type": "RequestRedirect", "requestRedirect": redirect}]);
            return rule;
        }
        1 => {
            let path = if is_prefix {
                json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": pick(rng, &["/", "/b", "/admin/"])})
            } else {
                json!({"type": "ReplaceFullPath", "replaceFullPath": "/b"})
            };
            let rewrite = json!({"hostname": "other.test", "path": path});
            rule["filters"] = json!([{"type": "URLRewrite", "urlRewrite": rewrite}]);
        }
        2 => {
            let set = json!([{"name": "x-a", "value": "1"}, {"name": WISH, "value": "1"}]);
            let edits = json!({"set": set, "add": [{"name": "x-b", "value": "added"}], "remove": ["x-team"]});
            rule["filters"] = json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": edits}]);
        }
        _ => {}
    }
    let backends: Vec<_> = (0..=rng.usize(..3))
        .map(|_| {
            let name = pick(rng, &["shop", "cart", "shop-v1", "shop-v2", "missing"]);
            json!({"name": name, "port": 80, "weight": pick(rng, &[0, 1, 10, 50])})
        })
        .collect();
    rule["backendRefs"] = json!(backends);
    rule
}

fn gateway_match(rng: &mut Rng) -> Value {
    let mut fields = json!({});
    if rng.u8(..4) > 0 {
        fields["path"] = match rng.u8(..4) {
            0 => json!({"type": "RegularExpression", "value": pick(rng, &PATTERNS)}),
            1 => json!({"type": "Exact", "value": pick(rng, &PATHS)}),
            _ => json!({"type": "PathPrefix", "value": pick(rng, &["/", "/a", "/admin", "/api/", "/A"])}),
        };
    }
    if rng.u8(..4) == 0 {
        fields["method"] = json!(pick(rng, &["GET", "POST", "PUT"]));
    }
    let text = |rng: &mut Rng, name: &str, texts: &[&str]| match rng.u8(..3) {
        0 => json!([{"type": "RegularExpression", "name": name, "value": "[0-9]+"}]),
        _ => json!([{"name": name, "value": pick(rng, texts)}]),
    };
    if rng.u8(..3) == 0 {
        let name = pick(rng, &NAMES);
        fields["headers"] = text(rng, name, &VALUES);
    }
    if rng.u8(..5) == 0 {
        fields["queryParams"] = text(rng, "x", &["1", "2"]);
    }
    fields
}

fn policy(rng: &mut Rng, name: &str, target: &str, ports: &[u16]) -> Value {
    let action = pick(rng, &["ALLOW", "DENY", "DENY"]);
    let rules: Vec<_> = (0..=rng.usize(..3)).map(|_| policy_rule(rng, ports)).collect();
    let mut spec = json!({"action": action, "rules": rules});
    if target == "edge" {
        spec["targetRefs"] =
            json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}]);
    } else {
        spec["selector"] = json!({"matchLabels": {"app": target}});
    }
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    })
}

fn policy_rule(rng: &mut Rng, ports: &[u16]) -> Value {
    let mut rule = json!({});
    if rng.bool() {
        let source = match rng.u8(..5) {
            0 => json!({"principals": ["cluster.local/ns/default/sa/alice"]}),
            1 => json!({"notPrincipals": ["*/sa/alice", "*/sa/edge"]}),
            2 => json!({"namespaces": ["other"]}),
            3 => json!({"principals": ["*"]}),
            _ => json!({"ipBlocks": ["127.0.0.0/8"]}),
        };
        rule["from"] = json!([{"source": source}]);
    }
    if rng.u8(..4) > 0 {
        let mut operation = json!({});
        if rng.u8(..3) > 0 {
            let key = pick(rng, &["paths", "paths", "notPaths"]);
            operation[key] =
                json!([pick(rng, &["/a", "/a*", "*b", "/admin", "/admin/*", "/A/b", "/api/v1/*", "*"])]);
        }
        if rng.bool() {
            operation[pick(rng, &["methods", "notMethods"])] = json!([pick(rng, &METHODS)]);
        }
        if rng.u8(..5) == 0 {
            operation["hosts"] = json!([pick(rng, &["shop*", "*.local", "other.test", "a.example.com"])]);
        }
        if rng.u8(..5) == 0 {
            operation["ports"] = json!([pick(rng, ports).to_string()]);
        }
        if operation.as_object().is_some_and(|fields| !fields.is_empty()) {
            rule["to"] = json!([{"operation": operation}]);
        }
    }
    if rng.u8(..4) == 0 {
        let key = pick(rng, &["values", "notValues"]);
        rule["when"] = json!([{"key": "request.headers[x-a]", key: [pick(rng, &VALUES)]}]);
    }
    rule
}
