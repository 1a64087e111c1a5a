//! What a workload can reach, and what it can't. Each attempt to break out is also made outside, where it
//! must succeed, so that its failure inside means something.

use std::{
    fs,
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    path::Path,
};

use serde_json::json;

use super::one_server;
use crate::{
    leftovers,
    world::{Caller, Mesh, PLAY, eventually},
};

const REACHED: &str = "reached";

/// The outcome of an attempt in the world of `web`.
#[track_caller]
fn inside(mesh: &Mesh, attempt: &[&str]) -> String {
    let words: Vec<&str> = ["attempt"].iter().chain(attempt).copied().collect();
    mesh.inside("web", &words).trim().to_owned()
}

/// The outcome of the same attempt on the host, as the mesh's caller.
#[track_caller]
fn outside(mesh: &Mesh, attempt: &[&str]) -> String {
    let words: Vec<&str> = ["outside"].iter().chain(attempt).copied().collect();
    let (output, exit) = mesh.play(&words);
    assert!(exit.is_success(), "{attempt:?}: {exit}: {output}");
    output.trim().to_owned()
}

/// Succeeds outside, and fails inside for this reason.
#[track_caller]
fn only_outside(mesh: &Mesh, attempt: &[&str], reason: &str) {
    assert_eq!(outside(mesh, attempt), REACHED, "{attempt:?} outside");
    let found = inside(mesh, attempt);
    assert!(found.starts_with(reason), "{attempt:?} inside: {found}");
}

pub(super) fn tcp_and_dns_are_captured(mesh: &mut Mesh) {
    one_server(mesh);
    let own = mesh.status().replicas[0].addresses.clone();
    let destinations = [
        "10.1.2.3:80".to_owned(),
        "[2001:db8::1]:443".to_owned(),
        "240.240.0.7:5432".to_owned(),
        format!("{}:80", own[0]),
        format!("[{}]:80", own[1]),
    ];
    for destination in destinations {
        let said = mesh.inside("web", &["connect", &destination]);
        assert_eq!(said, format!("captured {destination}\n"));
    }
    assert_eq!(mesh.inside("web", &["ask-dns"]), "dns\n");
    for destination in ["10.1.2.3:443", "[2001:db8::1]:443"] {
        assert_eq!(mesh.inside("web", &["send-udp", destination]), "PermissionDenied\n");
    }
    assert_eq!(mesh.inside("web", &["send-udp", "127.0.0.1:9"]), "sent\n");
}

pub(super) fn the_world_is_the_workloads_own(mesh: &mut Mesh) {
    one_server(mesh);
    let file = |path: &str| mesh.inside("web", &["file", path]);
    let list = |path: &str| mesh.inside("web", &["list", path]).trim().to_owned();
    assert_eq!(list("/tmp"), "");
    assert_eq!(list("/dev"), "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero");
    let runtime = mesh.directory.join("run");
    assert_eq!(list(runtime.to_str().unwrap()), "", "the caller's runtime directory");
    assert!(file("/etc/hosts").contains("10.240.0.2 web-v1\n"));
    assert!(file("/etc/resolv.conf").starts_with("nameserver 10.240.0.1\nsearch default.svc.cluster.local"));
    if fs::exists("/etc/nsswitch.conf").unwrap() {
        assert!(file("/etc/nsswitch.conf").ends_with("hosts: files dns\n"));
    }
    assert_eq!(file("/proc/sys/kernel/hostname"), "web-v1\n");
    assert_eq!(file("/proc/1/comm"), "leno-init\n");
    let processes = list("/proc").split(' ').filter(|name| name.parse::<u32>().is_ok()).count();
    assert_eq!(processes, 3, "init, the workload, and what lists them");
    // The same file is there for both, unless it is private.
    assert_eq!(file("/etc/passwd"), fs::read_to_string("/etc/passwd").unwrap());
}

pub(super) fn nothing_gives_privileges(mesh: &mut Mesh) {
    one_server(mesh);
    let expected = match mesh.caller {
        // CHOWN, KILL, SETGID and SETUID, for user 0 alone.
        Caller::Root => "effective 00000000000000e1 bounding 00000000000000e1 no-new-privs 1",
        Caller::Ordinary => "effective 0000000000000000 bounding 0000000000000000 no-new-privs 1",
    };
    assert_eq!(inside(mesh, &["gain"]), expected);
    if mesh.caller == Caller::Root {
        only_outside(mesh, &["write", "/proc/sys/kernel/core_pattern"], "Read-only file system");
    }
    let mounts = mesh.inside("web", &["file", "/proc/self/mounts"]);
    let sys = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some("/sys")).unwrap();
    assert!(sys.split(' ').nth(3).unwrap().starts_with("ro"), "{sys}");
}

pub(super) fn other_addresses_and_sockets_are_out_of_reach(mesh: &mut Mesh) {
    one_server(mesh);
    // The host's loopback: inside, the same address is the world's own.
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = host.local_addr().unwrap().to_string();
    std::thread::spawn(move || host.incoming().for_each(drop));
    only_outside(mesh, &["dial", &address], "Connection refused");
    assert_eq!(inside(mesh, &["dial", "10.1.2.3:80"]), "captured");
    assert_eq!(inside(mesh, &["nested", "dial", "10.1.2.3:80"]), "Network is unreachable (os error 101)");
    // Abstract sockets of the host belong to another network namespace.
    let name = format!("leno-it-{}-{}", std::process::id(), mesh.caller);
    let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&abstract_address).unwrap();
    only_outside(mesh, &["dial-abstract", &name], "Connection refused");
    // The mesh's sockets.
    for socket in ["up.sock", "s/web-v1.in", "s/web-v1.admin"] {
        let path = mesh.directory.join("run/leno/m").join(socket);
        only_outside(mesh, &["dial-unix", path.to_str().unwrap()], "No such file");
        assert!(inside(mesh, &["nested", "dial-unix", path.to_str().unwrap()]).starts_with("No such file"));
    }
}

pub(super) fn state_and_keys_are_out_of_reach(mesh: &mut Mesh) {
    one_server(mesh);
    let key = mesh.directory.join("state/leno/m/ca.key");
    let (key, hidden) = (key.to_str().unwrap(), mesh.directory.join("state/leno"));
    only_outside(mesh, &["read", key], "No such file");
    assert_eq!(outside(mesh, &["nested", "read", key]), REACHED);
    assert!(inside(mesh, &["nested", "read", key]).starts_with("No such file"));
    assert!(inside(mesh, &["unmount", hidden.to_str().unwrap()]).starts_with("Operation not permitted"));
    assert!(inside(mesh, &["nested", "unmount", hidden.to_str().unwrap()]).starts_with("Invalid argument"));
    assert!(inside(mesh, &["nested", "bind-below", key]).starts_with("Invalid argument"));
    assert_eq!(outside(mesh, &["nested", "overlay-below", key]), REACHED);
    let overlay = inside(mesh, &["nested", "overlay-below", key]);
    assert_ne!(overlay, REACHED);
    // Moving the place away, to put another state there for the next start.
    let state = mesh.directory.join("state");
    only_outside(mesh, &["rename", state.to_str().unwrap()], "Device or resource busy");
}

pub(super) fn other_processes_are_out_of_reach(mesh: &mut Mesh) {
    one_server(mesh);
    let supervisor = mesh.status().replicas[0].supervisor.unwrap();
    let sidecar = leftovers::named(&mesh.directory, "sidecar");
    let [sidecar] = sidecar[..] else { panic!("one sidecar: {sidecar:?}") };
    let sidecar = sidecar.to_string();
    only_outside(mesh, &["memory", &sidecar], "No such file");
    only_outside(mesh, &["signal", &sidecar], "No such process");
    only_outside(mesh, &["signal", &supervisor.to_string()], "No such process");
    assert!(inside(mesh, &["nested", "memory", &sidecar]).starts_with("No such file"));
    // The one process of Leno's that is visible, and a process of one's own.
    assert!(inside(mesh, &["memory", "1"]).starts_with("Permission denied"));
    assert_eq!(inside(mesh, &["memory", "self"]), REACHED);
}

pub(super) fn rules_are_out_of_reach(mesh: &mut Mesh) {
    one_server(mesh);
    let supervisor = mesh.status().replicas[0].supervisor.unwrap().to_string();
    assert!(inside(mesh, &["mark"]).starts_with("Operation not permitted"));
    assert!(inside(mesh, &["flush"]).contains("refused"), "{}", inside(mesh, &["flush"]));
    assert!(inside(mesh, &["flush-of", &supervisor]).starts_with("No such process"));
    // In a network of one's own one may do all that, and it means nothing here.
    assert_eq!(inside(mesh, &["nested", "mark"]), REACHED);
    assert_eq!(inside(mesh, &["nested", "flush"]), REACHED);
    assert_eq!(inside(mesh, &["dial", "10.1.2.3:80"]), "captured");
    // From outside the rules can be removed, and then nothing is captured.
    assert_eq!(outside(mesh, &["flush-of", &supervisor]), REACHED);
    assert_ne!(inside(mesh, &["dial", "10.1.2.3:80"]), "captured");
}

pub(super) fn mesh_files_stay_as_they_are(mesh: &mut Mesh) {
    fs::write(mesh.directory.join("project/config/route.yaml"), "{}").unwrap();
    if mesh.caller == Caller::Ordinary {
        mesh.give_to_caller("project/config/route.yaml");
    }
    one_server(mesh);
    mesh.give_to_caller("project/mesh.json");
    let (file, project) = (mesh.mesh_file(), mesh.directory.join("project"));
    let (file, project) = (file.to_str().unwrap(), project.to_str().unwrap());
    let route = format!("{project}/config/route.yaml");
    only_outside(mesh, &["write", file], "Read-only file system");
    only_outside(mesh, &["write", &route], "Read-only file system");
    only_outside(mesh, &["replace", &route], "Read-only file system");
    only_outside(mesh, &["rename", project], "Device or resource busy");
    only_outside(mesh, &["rename", &format!("{project}/config")], "Device or resource busy");
    assert!(inside(mesh, &["replace", file]).starts_with("Device or resource busy"));
    assert!(inside(mesh, &["nested", "write", file]).starts_with("Read-only file system"));
    // An edit outside, as editors do it, is seen inside, and protected again.
    let new = mesh.directory.join("project/mesh.new");
    fs::write(&new, "{\"edited\": true}").unwrap();
    mesh.give_to_caller("project/mesh.new");
    fs::rename(&new, file).unwrap();
    assert_eq!(mesh.inside("web", &["file", file]), "{\"edited\": true}");
    eventually("the new file is protected", || {
        inside(mesh, &["write", file]).starts_with("Read-only file system").then_some(())
    });
    assert!(inside(mesh, &["replace", file]).starts_with("Device or resource busy"));
    assert_eq!(mesh.status().replicas[0].restarts, 0);
    // Beside the mesh file the workload may write as ever.
    assert_eq!(inside(mesh, &["replace", &format!("{project}/data")]), REACHED);
}

pub(super) fn shared_paths_come_in(mesh: &mut Mesh) {
    let shared =
        std::path::PathBuf::from(format!("/tmp/leno-it-shared-{}-{}", std::process::id(), mesh.caller));
    fs::create_dir_all(&shared).unwrap();
    fs::write(shared.join("file"), "shared").unwrap();
    let command = mesh.app(&["idle"]);
    mesh.start(
        json!([]),
        json!([
            {"name": "with", "command": command, "share": [shared], "workdir": shared},
            {"name": "without", "command": command},
        ]),
    );
    let file = shared.join("file");
    assert_eq!(mesh.inside("with", &["file", file.to_str().unwrap()]), "shared");
    assert_eq!(mesh.inside("with", &["file", "file"]), "shared", "relative to the working directory");
    assert_eq!(mesh.inside("without", &["list", "/tmp"]).trim(), "");
    fs::remove_dir_all(&shared).unwrap();
}

pub(super) fn a_mesh_below_tmp_finds_what_it_is_made_of(mesh: &mut Mesh) {
    mesh.move_below_tmp();
    let (linked, beside) = (mesh.directory.join("linked"), mesh.directory.join("beside"));
    std::os::unix::fs::symlink("it", &linked).unwrap();
    fs::write(&beside, "not for workloads").unwrap();
    let project = mesh.directory.join("project");
    fs::write(project.join("page"), "a page").unwrap();
    mesh.give_to_caller("project/page");
    let by_link = [linked.to_str().unwrap(), PLAY, "app", "idle"];
    mesh.start(
        json!([]),
        json!([
            {"name": "here", "command": mesh.app(&["idle"])},
            {"name": "there", "command": mesh.app(&["idle"]), "workdir": "/"},
            {"name": "linked", "command": by_link, "workdir": "/"},
        ]),
    );
    let file = |name: &str| project.join(name).to_str().unwrap().to_owned();
    let list = |workload: &str, path: &Path| mesh.inside(workload, &["list", path.to_str().unwrap()]);
    for workload in ["here", "there"] {
        assert_eq!(mesh.inside(workload, &["file", &file("page")]), "a page");
        let own = mesh.directory.file_name().unwrap().to_str().unwrap();
        assert_eq!(list(workload, Path::new("/tmp")).trim(), own, "nothing else of /tmp");
        assert_eq!(list(workload, &mesh.directory).trim(), "it project", "nothing else beside");
    }
    assert_eq!(list("linked", &mesh.directory).trim(), "it linked project");
    let attempt = |workload: &str, name: &str, file: &str| {
        mesh.inside(workload, &["attempt", name, file]).trim().to_owned()
    };
    assert!(attempt("there", "write", &file("page")).starts_with("Read-only file system"));
    assert_eq!(attempt("here", "write", &file("page")), REACHED, "it is the working directory");
    mesh.give_to_caller("project/mesh.json");
    assert!(attempt("here", "write", &file("mesh.json")).starts_with("Read-only file system"));
}
