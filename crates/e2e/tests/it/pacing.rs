//! A proxy doesn't pace callers on its own machine, and paces others as its machine does.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use leno_capture::namespace::{self, Kinds};
use leno_capture::{route, socket::is_paced};
use leno_testkit::mesh::{User, eventually};
use leno_testkit::programs::{OPENSSL, or_skip};
use leno_testkit::skip::skip;
use leno_wire::open::Protocol;
use rustix::net::{getpeername, getsockname};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::pair::{Pair, call};
use crate::strict::Session;

#[test]
fn callers_on_the_same_machine_are_not_paced() {
    if !User::Root.is_possible() {
        return skip("only root makes a network for this test");
    }
    if or_skip(OPENSSL.find()).is_none() {
        return;
    }
    // Of a thread: what it starts is born there.
    std::thread::spawn(|| {
        namespace::unshare(Kinds::NETWORK).unwrap();
        in_a_network_that_paces();
    })
    .join()
    .unwrap();
}

fn in_a_network_that_paces() {
    route::loopback_up().unwrap();
    // Callers at loopback would be known by their address.
    let mesh: SocketAddr = "192.0.2.7:15008".parse().unwrap();
    route::add_address(mesh.ip()).unwrap();
    // Where the kernel has no BBR, nobody is paced.
    let has_bbr = fs::write("/proc/sys/net/ipv4/tcp_congestion_control", "bbr").is_ok();
    assert_eq!(is_paced(&TcpListener::bind("127.0.0.1:0").unwrap()).unwrap(), has_bbr);

    let mut pair = Pair::start_at(Some(mesh), "pacing", &["http"], "");
    let client = pair.caller("client");
    assert!(call("http://server/echo", client.0["http"], &[]).status.success());
    assert_eq!(paced(&pair), [false]);
    // One that speaks as a proxy does, and doesn't say where it runs.
    let files = pair.certificate("client");
    let mut silent = Session::open(&pair, mesh, Some(&files), "http", Protocol::Http1);
    silent.write("GET /echo HTTP/1.1\r\nhost: server\r\n\r\n");
    assert!(silent.read("}\n").starts_with("HTTP/1.1 200"));
    assert_eq!(paced(&pair), [false, has_bbr]);
    // By HBONE nobody says it.
    let mut tunnels = Session::shake(mesh, Some(&files), "h2");
    tunnels.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    eventually("the handshake is done", || {
        let paced = paced(&pair);
        if paced == [false, has_bbr, has_bbr] { Ok(()) } else { Err(format!("{paced:?}")) }
    });
}

/// Whether each connection that the server's proxy has accepted from others is paced, in order.
fn paced(pair: &Pair) -> Vec<bool> {
    let id = pair.server_proxy();
    let process = pidfd_open(Pid::from_raw(id.try_into().unwrap()).unwrap(), PidfdFlags::empty()).unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{id}/fd")).unwrap() {
        let number = entry.unwrap().file_name().to_str().unwrap().parse().unwrap();
        // It may be closed by now.
        let Ok(fd) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) else { continue };
        let local = getsockname(&fd).ok().and_then(|local| SocketAddr::try_from(local).ok());
        if local == Some(pair.mesh) && getpeername(&fd).is_ok() {
            found.push(is_paced(&fd).unwrap());
        }
    }
    found.sort_unstable();
    found
}
