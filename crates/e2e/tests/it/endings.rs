//! However a mesh or a part of it ends, what should be left is left, and nothing else.

use leno_testkit::{
    mesh::{Declaration, Mesh, User, eventually, free_port},
    programs::{NGINX, REDIS, REDIS_CLI, Unavailable, or_skip},
    skip::skip,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::traces::{Traces, descriptor_count, host_has_rules};

#[test]
fn an_ordinary_user_finds_nothing_left() {
    everything_ends("endings", User::Ordinary);
}

#[test]
fn root_finds_nothing_left() {
    if !User::Root.is_possible() {
        return skip("only root runs a mesh as root");
    }
    everything_ends("endingsroot", User::Root);
}

fn everything_ends(name: &str, user: User) {
    let Some(declare) = or_skip(declaration(name, user)) else { return };
    let mut mesh = declare.start();
    killed_parts_leave_the_mesh_as_it_was(&mesh, name);
    ends(&mut mesh, name, "Ctrl-C", |_mesh, traces| {
        // A terminal sends it to the whole group that it runs in the foreground.
        let up = traces.processes.values().find(|seen| seen.command.ends_with("leno up")).unwrap();
        for ((number, _), _) in traces.processes.iter().filter(|(_, seen)| seen.group == up.group) {
            kill(*number, Signal::INT);
        }
    });
    drop(mesh);
    let mut mesh = declaration(name, user).unwrap().start();
    ends(&mut mesh, name, "leno down", |mesh, _traces| {
        let down = mesh.leno(&["down"]);
        assert!(down.status.success(), "{down:?}");
    });
    drop(mesh);
    let mut mesh = declaration(name, user).unwrap().start();
    ends(&mut mesh, name, "kill -9 of leno up", |mesh, _traces| {
        kill_process(mesh.pid(), Signal::KILL).unwrap()
    });
}

/// Two servers that others wrote, one with processes of its own and one twice, and a caller.
fn declaration(name: &str, user: User) -> Result<Declaration, Unavailable> {
    let (nginx, redis) = (NGINX.find()?, REDIS.find()?);
    REDIS_CLI.find()?;
    let user_is = |name: &str| if user == User::Root { format!("user: {name}, ") } else { String::new() };
    let (root, nobody) = (user_is("root"), user_is("nobody"));
    let port = free_port();
    let spec = format!(
        "services:
  - {{name: nginx, port: 80, protocol: http, publish: {port}}}
  - {{name: redis, port: 6379}}
workloads:
  - {{service: nginx, {root}command: '{} -p $PWD -c $PWD/nginx.conf'}}
  - {{service: redis, {nobody}replicas: 2, command: [{}, redis.conf]}}
  - {{name: client, {nobody}command: [sleep, infinity]}}",
        nginx.display(),
        redis.display(),
    );
    let declaration = Declaration::new(name).user(user).spec(&spec);
    Ok(declaration
        .port_is(port)
        .file("nginx.conf", crate::programs::NGINX_CONF)
        .file("page.html", "a page of nginx\n")
        .file("redis.conf", crate::programs::REDIS_CONF))
}

/// Ends a mesh in some way and looks for what is left.
fn ends(mesh: &mut Mesh, name: &str, way: &str, end: impl FnOnce(&Mesh, &Traces)) {
    eventually("traffic", || works(mesh));
    let traces = Traces::of(mesh, name);
    assert!(traces.has_namespaces() && traces.processes.len() > 15, "the check sees the mesh: {traces:?}");
    assert!(!traces.left().is_empty(), "the check would tell");
    end(mesh, &traces);
    mesh.wait_until_gone();
    eventually(way, || {
        let left = traces.left();
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    });
    assert!(try_page(mesh).is_err(), "{way}: the published port is closed");
    assert!(!host_has_rules(), "{way}: the host has no rules");
}

fn killed_parts_leave_the_mesh_as_it_was(mesh: &Mesh, name: &str) {
    eventually("traffic", || works(mesh));
    for replica in ["redis-1", "nginx"] {
        let before = Traces::of(mesh, name);
        let supervisor = supervisor(mesh, replica);
        let gone = before.below(supervisor);
        assert!(gone.len() >= 4, "supervisor, sidecar, the world's first process, a server: {gone:?}");
        recovers(mesh, name, &before, &format!("kill -9 of {replica}'s supervisor"), || {
            kill(supervisor, Signal::KILL)
        });
        eventually("its processes ended with it", || none(Traces::alive(&gone)));
    }
    for replica in ["redis", "nginx"] {
        let before = Traces::of(mesh, name);
        let supervisor = supervisor(mesh, replica);
        let all = before.below(supervisor);
        let is_sidecar = |number: u32| {
            before.processes.iter().any(|(key, seen)| key.0 == number && seen.command.ends_with("sidecar"))
        };
        let (sidecar, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|(number, _)| is_sidecar(*number));
        let [sidecar] = sidecar[..] else { panic!("one sidecar: {sidecar:?}") };
        let supervisor = Pid::from_raw(supervisor.cast_signed()).unwrap();
        let descriptors = descriptor_count(supervisor);
        recovers(mesh, name, &before, &format!("kill -9 of {replica}'s sidecar"), || {
            kill(sidecar.0, Signal::KILL)
        });
        assert_eq!(Traces::alive(&rest.iter().copied().collect()), rest, "everything but the sidecar ran on");
        eventually("its descriptors were closed", || none(Traces::alive(&[sidecar].into())));
        eventually("no descriptor leaks", || equal(descriptor_count(supervisor), descriptors));
    }
}

/// Kills something, and finds the mesh as it was: the same replicas, the same processes, no descriptor more, and traffic.
fn recovers(mesh: &Mesh, name: &str, before: &Traces, what: &str, kill: impl FnOnce()) {
    let replicas = replicas(mesh);
    let descriptors = descriptor_count(mesh.pid());
    kill();
    eventually(what, || {
        let status = mesh.leno_json(&["status"]);
        let restarted = status["replicas"].as_array().unwrap().iter().any(|replica| {
            let was = replicas.iter().find(|was| was["name"] == replica["name"]);
            was.is_none_or(|was| {
                was["supervisor"] != replica["supervisor"]
                    || was["sidecarRestarts"] != replica["sidecarRestarts"]
            })
        });
        if restarted && status["ready"] == true { Ok(()) } else { Err(status.to_string()) }
    });
    eventually(what, || equal(names(&self::replicas(mesh)), names(&replicas)));
    eventually(what, || works(mesh));
    eventually(what, || {
        let now = Traces::of(mesh, name);
        equal(now.commands(), before.commands())
    });
    eventually(what, || equal(descriptor_count(mesh.pid()), descriptors));
}

/// Through the gateway to nginx, and from the caller to both of redis.
fn works(mesh: &Mesh) -> Result<(), String> {
    let page = try_page(mesh)?;
    if !page.contains("a page of nginx") {
        return Err(page);
    }
    for _ in 0..4 {
        let output = mesh.exec("client", &["redis-cli", "-h", "redis", "ping"]);
        if output.stdout != b"PONG\n" {
            return Err(format!("{output:?}"));
        }
    }
    Ok(())
}

fn try_page(mesh: &Mesh) -> Result<String, String> {
    let mut command = mesh.program("leno-sample");
    let url = format!("http://127.0.0.1:{}/page.html", mesh.port);
    let output = command.args(["call", &url]).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{output:?}"))
    }
}

fn replicas(mesh: &Mesh) -> Vec<Value> {
    mesh.leno_json(&["status"])["replicas"].as_array().unwrap().clone()
}

fn names(replicas: &[Value]) -> Vec<String> {
    replicas
        .iter()
        .map(|replica| format!("{} {} {}", replica["name"], replica["phase"], replica["sidecarReady"]))
        .collect()
}

fn supervisor(mesh: &Mesh, replica: &str) -> u32 {
    let replicas = replicas(mesh);
    let found = replicas.iter().find(|found| found["name"] == replica);
    let number = found
        .and_then(|found| found["supervisor"].as_u64())
        .unwrap_or_else(|| panic!("{replica}: {replicas:?}"));
    u32::try_from(number).unwrap()
}

fn kill(number: u32, signal: Signal) {
    kill_process(Pid::from_raw(number.cast_signed()).unwrap(), signal).unwrap();
}

fn none<T: std::fmt::Debug>(found: Vec<T>) -> Result<(), String> {
    if found.is_empty() { Ok(()) } else { Err(format!("{found:?}")) }
}

fn equal<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}")) }
}
