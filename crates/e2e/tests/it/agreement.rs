//! `explain` and the proxies agree: what explain says of a request is what real proxies do with it.
//!
//! Random configurations, random requests, all from one seed. Two callers' proxies and a gateway's send to three called
//! ones, over TCP with mutual TLS. What a request met is told by the answer, by what arrived at the backend and by the
//! access logs; it is compared with the answers of the same proxies' explain. Explain is given the very draw that the
//! proxy makes between weighted backends, since proxies here draw from a known seed.

mod peer;
mod random;

use std::{collections::HashMap, net::SocketAddr, time::Instant};

use leno_engine::rng::Rng as Draws;
use leno_testkit::mesh::{Admin, eventually};
use leno_testkit::ports::free;
use leno_testkit::proxies::{Proxies, Proxy, SEED, service, workload};
use serde_json::{Value, json};

use crate::alone;
use peer::{Answer, Client};
use random::Request;

const GENERATIONS: usize = 25;
const REQUESTS: usize = 400;

/// Where configurations and requests begin.
const CHANCE: u64 = 20_261_125;

#[test]
fn explain_agrees_with_the_proxies_on_ten_thousand_requests() {
    let _alone = alone();
    let begun = Instant::now();
    let mut world = World::start();
    let mut rng = fastrand::Rng::with_seed(CHANCE);
    let mut outcomes = HashMap::new();
    for generation in 0..GENERATIONS {
        world.configure(&mut rng, generation);
        let cases: Vec<Case> =
            (0..REQUESTS).map(|number| world.ask(&mut rng, generation * REQUESTS + number)).collect();
        world.read_logs(&cases);
        for case in &cases {
            match world.compare(case) {
                Ok(outcome) => *outcomes.entry(outcome).or_insert(0) += 1,
                Err(why) => panic!("{why}\nin generation {generation}: {}", world.told(case)),
            }
        }
    }
    println!("{outcomes:?} in {:?}", begun.elapsed());
    for outcome in ["forward", "denied", "redirect", "respond", "no route", "refused", "fault"] {
        assert!(
            outcomes.get(outcome).is_some_and(|count| *count >= 50),
            "too few of {outcome}: {outcomes:?}"
        );
    }
}

/// Where requests enter.
struct Entry {
    proxy: Running,
    /// The service that is dialled; the gateway has none.
    dialled: Option<&'static str>,
    port: u16,
    identity: &'static str,
    client: Client,
    /// Shared by all entries of one proxy: its only core draws.
    draws: usize,
}

/// A proxy, how it is asked, and how far its log was read.
struct Running {
    proxy: Proxy,
    admin: Admin,
}

struct World {
    proxies: Proxies,
    entries: Vec<Entry>,
    called: HashMap<String, Running>,
    draws: Vec<Draws>,
    ports: Vec<u16>,
    /// Log lines by proxy and request.
    logs: HashMap<(String, String), Value>,
}

/// A request, what it met, and what explain says of it.
struct Case {
    entry: usize,
    id: usize,
    request: Request,
    answer: Answer,
    /// `None` where the proxy says that it is no request.
    explanation: Option<Value>,
    /// The explanation as it was written, or why there is none.
    said: String,
}

const CALLED: [(&str, &str, &str); 3] =
    [("shop-v1", "shop", "v1"), ("shop-v2", "shop", "v2"), ("cart-v1", "cart", "v1")];

impl World {
    fn start() -> Self {
        let mut proxies = Proxies::new("agreement");
        let (mut workloads, mut legs, mut ports) = (String::new(), Vec::new(), Vec::new());
        for (number, (name, app, version)) in CALLED.iter().enumerate() {
            let (backend, mesh) = (peer::backend(name), free());
            let labels = format!("{{app: {app}, version: {version}}}");
            workloads += &workload("default", name, number, app, &labels, mesh, backend.port());
            legs.push(format!("--mesh={mesh}"));
            ports.push(backend.port());
        }
        workloads += &workload("default", "alice", 10, "alice", "{}", free(), 1);
        workloads += &workload("other", "bob", 11, "bob", "{}", free(), 1);
        let edge = free();
        let services = ["shop", "cart"].map(|name| service(name, &format!("app: {name}")));
        let versions = ["v1", "v2"]
            .map(|version| service(&format!("shop-{version}"), &format!("app: shop, version: {version}")));
        let standing = STANDING.replace("PORT", &edge.port().to_string());
        let marker = service("marker", "app: nobody");
        proxies.configure(
            "standing.yaml",
            &[standing, workloads, services.concat(), versions.concat(), marker].concat(),
        );

        let mut called = HashMap::new();
        for ((name, app, _), leg) in CALLED.into_iter().zip(legs) {
            called.insert(
                name.to_owned(),
                Running::new(proxies.start("workload", "default", name, app, &[leg])),
            );
        }
        let mut entries = Vec::new();
        let (alice, bob) = (
            ("default", "alice", "spiffe://cluster.local/ns/default/sa/alice"),
            ("other", "bob", "spiffe://cluster.local/ns/other/sa/bob"),
        );
        for (draws, (namespace, name, identity)) in [alice, bob].into_iter().enumerate() {
            let hosts = ["shop.default.svc.cluster.local", "cart.default.svc.cluster.local"]
                .map(|host| (host, free()));
            let legs = hosts.map(|(host, address)| format!("--outbound={address}={host}:80"));
            let proxy = proxies.start("workload", namespace, name, name, &legs);
            for (host, address) in hosts {
                let (proxy, client) = (Running::new(proxy.clone()), Client::new(address));
                entries.push(Entry { proxy, dialled: Some(host), port: 80, identity, client, draws });
            }
        }
        let proxy = proxies.start("gateway", "default", "edge", "edge", &["--bind=127.0.0.1".to_owned()]);
        entries.push(Entry {
            proxy: Running::new(proxy),
            dialled: None,
            port: edge.port(),
            identity: "spiffe://cluster.local/ns/default/sa/edge",
            client: Client::new(edge),
            draws: 2,
        });
        Self { proxies, entries, called, draws: vec![Draws::new(SEED); 3], ports, logs: HashMap::new() }
    }

    /// Puts a new configuration in effect everywhere.
    fn configure(&mut self, rng: &mut fastrand::Rng, generation: usize) {
        self.proxies.configure("random.yaml", &random::configuration(rng, generation, &self.ports));
        let name = format!("generation-{generation}");
        for entry in &mut self.entries {
            let question = if entry.dialled.is_some() {
                json!({"method": "GET", "authority": "marker.default.svc.cluster.local", "target": "/", "port": 80, "from": "workload"})
            } else {
                json!({"method": "GET", "authority": "marker.test", "target": "/", "port": entry.port, "from": {"client": {}}})
            };
            eventually(&name, || {
                let (_, text) = entry.proxy.admin.post("/explain", &question).unwrap();
                // As a rule, or as a policy that was considered.
                let told = text.contains(&format!("\"{name}\"")) || text.contains(&format!("/{name} ("));
                if told { Ok(()) } else { Err(text) }
            });
        }
        for called in self.called.values_mut() {
            eventually(&name, || {
                let (_, text) = called.admin.get("/config").unwrap();
                if text.contains(&format!("/{name} (")) { Ok(()) } else { Err(text) }
            });
        }
    }

    /// Sends a request and asks what should become of it.
    fn ask(&mut self, rng: &mut fastrand::Rng, id: usize) -> Case {
        let number = rng.usize(..self.entries.len());
        let entry = &mut self.entries[number];
        let request = Request::draw(rng, entry.dialled.is_none(), id);
        let answer = entry.client.send(&request.bytes());
        let draws = &mut self.draws[entry.draws];
        let mut after = draws.clone();
        let from =
            if entry.dialled.is_some() { json!("workload") } else { json!({"client": {"ip": "127.0.0.1"}}) };
        let question = json!({
            "method": request.method, "authority": request.authority, "target": request.target,
            "headers": request.headers, "port": entry.port, "dialled": entry.dialled, "from": from, "draw": after.draw(),
        });
        let (status, said) = entry.proxy.admin.post("/explain", &question).unwrap();
        let explanation: Option<Value> = (status == 200).then(|| serde_json::from_str(&said).unwrap());
        if let Some(explanation) = explanation.as_ref().filter(|explanation| explanation["snapshot"] != 0) {
            // The proxy draws once for each request that it decides on, and once more to choose an endpoint.
            if !explanation["request"].is_null() {
                after.draw();
            }
            *draws = after;
        }
        Case { entry: number, id, request, answer, explanation, said }
    }

    /// Reads what the proxies log, until there is a line of every request at each proxy that it came to.
    fn read_logs(&mut self, cases: &[Case]) {
        let callers = self.entries.iter().map(|entry| &entry.proxy.proxy);
        let all: Vec<&Proxy> = callers.chain(self.called.values().map(|called| &called.proxy)).collect();
        let logs = &mut self.logs;
        eventually("access logs", || {
            for proxy in &all {
                for line in proxy.log().lines() {
                    // The last line may not be whole yet.
                    let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
                    let id = line["user_agent"].as_str().unwrap_or_default().to_owned();
                    logs.insert((proxy.name.clone(), id), line);
                }
            }
            for case in cases.iter().filter(|case| case.explanation.is_some()) {
                let id = case.id.to_string();
                let name = &self.entries[case.entry].proxy.proxy.name;
                let line = logs.get(&(name.clone(), id.clone()));
                let line = line.ok_or_else(|| format!("{name} logged nothing of {id}"))?;
                let called = !line["upstream_host"].is_null();
                if called
                    && !CALLED.iter().any(|(name, ..)| logs.contains_key(&((*name).to_owned(), id.clone())))
                {
                    return Err(format!("nobody called logged {id}"));
                }
            }
            Ok(())
        });
    }

    fn log(&self, proxy: &str, id: usize) -> Option<&Value> {
        self.logs.get(&(proxy.to_owned(), id.to_string()))
    }

    /// Compares; the kind of outcome when both agree.
    fn compare(&mut self, case: &Case) -> Result<&'static str, String> {
        let Some(explanation) = &case.explanation else {
            return same("status of what is no request", &json!(case.answer.status), &json!(400))
                .map(|()| "refused");
        };
        let entry = &self.entries[case.entry];
        let log = self.log(&entry.proxy.proxy.name, case.id).ok_or("the caller's proxy logged nothing")?;
        if explanation["outcome"] != "fail" || !explanation["rule"].is_null() {
            same("rule", &log["route_name"], &explanation["rule"]["name"])?;
        }
        match explanation["outcome"].as_str().unwrap() {
            "redirect" => {
                same("status", &json!(case.answer.status), &explanation["status"])?;
                same("location", &json!(case.answer.header("location")), &explanation["destination"])?;
                Ok("redirect")
            }
            "respond" => {
                same("status", &json!(case.answer.status), &explanation["status"]).map(|()| "respond")
            }
            "fail" => {
                same("status", &json!(case.answer.status), &explanation["status"])?;
                same("flag", &log["response_flags"], &explanation["flag"])?;
                same("details", &log["response_code_details"], &explanation["details"])?;
                Ok(match explanation["failure"].as_str().unwrap() {
                    "Denied" => "denied",
                    "NoRoute" => "no route",
                    "FaultAbort" => "fault",
                    _ if explanation["snapshot"] == 0 => "refused",
                    _ => "fail",
                })
            }
            _ => {
                same("cluster", &log["upstream_cluster"], &explanation["destination"])?;
                self.called(case, explanation)
            }
        }
    }

    /// The called side of a request that was sent on.
    fn called(&mut self, case: &Case, explanation: &Value) -> Result<&'static str, String> {
        let entry = &self.entries[case.entry];
        let log = self.log(&entry.proxy.proxy.name, case.id).ok_or("the caller's proxy logged nothing")?;
        let host = log["upstream_host"].as_str().ok_or("it was not sent on")?;
        let target: SocketAddr = host.parse().map_err(|error| format!("{host}: {error}"))?;
        let index = self.ports.iter().position(|port| *port == target.port()).ok_or("an unknown endpoint")?;
        let name = CALLED[index].0;
        let possible = explanation["considered"].as_array().unwrap().iter().any(|step| {
            let could = ["picked", "not drawn"].contains(&step["outcome"].as_str().unwrap())
                || step["outcome"].as_str().unwrap().starts_with("costs");
            step["kind"] == "endpoint" && step["subject"] == format!("default/{name}") && could
        });
        if !possible {
            return Err(format!("it went to {name}, which could not be"));
        }
        let sent = &explanation["request"];
        // The real one isn't seen, and the called proxy would take it off as well.
        if sent["headers"].as_array().unwrap().iter().any(|header| header[0] == random::WISH) {
            return Err(format!("a wish is said to be sent on: {sent}"));
        }
        let question = json!({
            "method": case.request.method, "authority": sent["authority"], "target": sent["target"],
            "headers": sent["headers"], "port": target.port(),
            "from": {"peer": {"identity": entry.identity, "ip": "127.0.0.1"}},
        });
        let called = self.called.get_mut(name).unwrap();
        let (status, inbound) = called.admin.post("/explain", &question).unwrap();
        if status != 200 {
            return Err(format!("the called proxy says {inbound}"));
        }
        let inbound: Value = serde_json::from_str(&inbound).unwrap();
        let log = self.log(name, case.id).ok_or("the called proxy logged nothing")?;
        let verdict = (|| {
            if inbound["outcome"] == "fail" {
                same("status", &json!(case.answer.status), &inbound["status"])?;
                same("called flag", &log["response_flags"], &inbound["flag"])?;
                same("called details", &log["response_code_details"], &inbound["details"])?;
                return Ok("denied");
            }
            let echo = case.answer.echo().ok_or("no backend got it")?;
            same("backend", &echo["backend"], &json!(name))?;
            same("method", &echo["method"], &json!(case.request.method))?;
            same("target", &echo["target"], &inbound["request"]["target"])?;
            same("headers", &compared(&echo["headers"]), &compared(&inbound["request"]["headers"]))?;
            let host = echo["headers"].as_array().unwrap().iter().find(|header| header[0] == "host").unwrap();
            same("authority", &host[1], &inbound["request"]["authority"])?;
            Ok("forward")
        })();
        verdict.map_err(|why: String| format!("{why}\nthe called proxy explains {inbound:#}"))
    }

    /// Everything about a request.
    fn told(&self, case: &Case) -> String {
        let of = self.logs.iter().filter(|((_, id), _)| *id == case.id.to_string());
        let logs: String = of.map(|((proxy, _), line)| format!("{proxy} logged {line:#}\n")).collect();
        format!("{:?}\n{:#?}\nexplained as {}\n{logs}", case.request, case.answer, case.said)
    }
}

impl Running {
    fn new(proxy: Proxy) -> Self {
        let admin = proxy.admin();
        Self { proxy, admin }
    }
}

fn same(what: &str, seen: &Value, said: &Value) -> Result<(), String> {
    if seen == said { Ok(()) } else { Err(format!("{what}: the proxy did {seen}, explain said {said}")) }
}

/// Headers but for those that are new in every request, or that explain can't know: the certificate's hash.
fn compared(headers: &Value) -> Value {
    const APART: [&str; 5] =
        ["host", "x-request-id", "x-forwarded-client-cert", "connection", "content-length"];
    let kept = headers
        .as_array()
        .into_iter()
        .flatten()
        .filter(|header| !APART.contains(&header[0].as_str().unwrap()));
    kept.cloned().collect()
}

const STANDING: &str = "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop, namespace: default}
spec:
  host: shop
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  gatewayClassName: leno
  listeners: [{name: http, protocol: HTTP, port: PORT}]
";
