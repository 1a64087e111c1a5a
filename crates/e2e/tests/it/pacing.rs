//! A proxy doesn't pace callers on its own machine, and paces others as its machine does.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use leno_capture::socket::is_unpaced;
use leno_testkit::programs::{OPENSSL, or_skip};
use leno_wire::open::Protocol;
use rustix::net::{getpeername, getsockname};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::pair::{Pair, call};
use crate::strict::Session;

#[test]
fn callers_on_the_same_machine_are_not_paced() {
    if or_skip(OPENSSL.find()).is_none() {
        return;
    }
    let mut pair = Pair::start("pacing", &["http"], "");
    let client = pair.caller("client");
    assert!(call("http://server/echo", client.0["http"], &[]).status.success());
    assert_eq!(unpaced(pair.server_proxy(), pair.mesh), [true]);
    // One that speaks as a proxy does, and doesn't say where it runs.
    let files = pair.certificate("client");
    let mut silent = Session::open(&pair, pair.mesh, Some(&files), "http", Protocol::Http1);
    silent.write("GET /echo HTTP/1.1\r\nhost: server\r\n\r\n");
    assert!(silent.read("}\n").starts_with("HTTP/1.1 200"));
    let usual = is_unpaced(&TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    assert_eq!(unpaced(pair.server_proxy(), pair.mesh), [usual, true]);
}

/// Whether each connection that a process has accepted at an address is unpaced, in order.
fn unpaced(process: u32, address: SocketAddr) -> Vec<bool> {
    let pid = Pid::from_raw(process.try_into().unwrap()).unwrap();
    let process_fd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{process}/fd")).unwrap() {
        let number = entry.unwrap().file_name().to_str().unwrap().parse().unwrap();
        // It may be closed by now.
        let Ok(fd) = pidfd_getfd(&process_fd, number, PidfdGetfdFlags::empty()) else { continue };
        let local = getsockname(&fd).ok().and_then(|local| SocketAddr::try_from(local).ok());
        if local == Some(address) && getpeername(&fd).is_ok() {
            found.push(is_unpaced(&fd).unwrap());
        }
    }
    found.sort_unstable();
    found
}
