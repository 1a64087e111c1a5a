//! Addresses outside of the mesh, reached through the egress gateway: a network of our own stands for the
//! internet.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener},
    thread,
};

use leno_capture::{
    namespace::{self, Kinds},
    route,
};
use leno_testkit::{
    mesh::{Declaration, User},
    skip::skip,
};

use super::{Host, fetch, resolve};

/// RFC 5737's and RFC 3849's addresses for documentation.
const OUTSIDE: [&str; 2] = ["198.51.100.7", "2001:db8::7"];

/// Where clouds give out credentials: link-local, so never by default.
const METADATA: &str = "169.254.169.254";

#[test]
fn what_lies_outside_is_reached_by_the_gateway_alone() {
    if !User::Root.is_possible() {
        return skip("only root makes a network for this test");
    }
    // Of this thread: what it starts is born there.
    namespace::unshare(Kinds::NETWORK).unwrap();
    route::loopback_up().unwrap();
    let hosts: Vec<Host> = OUTSIDE.into_iter().chain([METADATA]).map(serve).collect();
    serve_names();
    let spec = "workloads: [{name: client, command: [sleep, '600']}]";
    let mesh = Declaration::new("outside").spec(spec).start();
    for address in OUTSIDE {
        let address = SocketAddr::new(address.parse().unwrap(), 8088);
        assert_eq!(fetch(&mesh, "client", &format!("http://{address}/")).as_deref(), Ok("200"), "{address}");
    }
    let denied = fetch(&mesh, "client", &format!("http://{METADATA}:8088/"));
    assert!(denied.is_err(), "link-local addresses need a configuration that names them: {denied:?}");
    let served = std::net::TcpStream::connect((METADATA, 8088));
    assert!(served.is_ok(), "outside of a workload it is reached: {served:?}");
    let named: Vec<_> = resolve(&mesh, "client", "somewhere.example");
    assert_eq!(named, [OUTSIDE[0].parse::<IpAddr>().unwrap()], "names are asked of this machine's resolver");
    let url = "http://somewhere.example:8088/";
    assert_eq!(fetch(&mesh, "client", url).as_deref(), Ok("200"));
    drop(hosts);
}

/// This machine's resolver, as far as this thread's network goes: every name has the first address outside.
fn serve_names() {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let named = text.lines().find_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok());
    let server: IpAddr = named.unwrap_or_else(|| IpAddr::from([127, 0, 0, 1]));
    if !server.is_loopback() {
        route::add_address(server).unwrap();
    }
    let listener = TcpListener::bind((server, 53)).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question).unwrap();
            let answer = answer(&question);
            stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
}

/// The answer to a message with one question (RFC 1035 section 4.1): one A record, or none of another type.
fn answer(question: &[u8]) -> Vec<u8> {
    let name: usize = question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let kind = &question[12 + name..][..2];
    let is_address = kind == [0, 1];
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    answer.extend(&question[12..12 + name + 4]);
    if is_address {
        let address: std::net::Ipv4Addr = OUTSIDE[0].parse().unwrap();
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}

fn serve(address: &str) -> Host {
    let address = address.parse().unwrap();
    route::add_address(address).unwrap();
    Host::at(SocketAddr::new(address, 8088))
}
