//! What runs inside the namespaces.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use leno_capture::{nft, redirect::Redirect, route, socket};

use crate::{processes, world};

/// Roles that are played in a new user and network namespace.
pub(crate) const IN_A_NETWORK: &[&str] = &[
    "tcp_reaches_the_proxy_with_its_destination",
    "loopback_and_marked_traffic_pass",
    "dns_is_redirected_and_other_udp_refused",
    "low_ports_are_open",
    "rules_replace_each_other_whole",
];

pub(crate) fn run(role: &str) {
    match role {
        "tcp_reaches_the_proxy_with_its_destination" => tcp_reaches_the_proxy_with_its_destination(),
        "loopback_and_marked_traffic_pass" => loopback_and_marked_traffic_pass(),
        "dns_is_redirected_and_other_udp_refused" => dns_is_redirected_and_other_udp_refused(),
        "low_ports_are_open" => low_ports_are_open(),
        "rules_replace_each_other_whole" => rules_replace_each_other_whole(),
        "descriptors" => processes::print_descriptors(),
        "parent" => processes::leave_a_child(),
        "wait" => processes::wait_for_ever(),
        other => {
            let inner = other.strip_prefix("network/").unwrap_or_else(|| panic!("no role {other:?}"));
            let exit =
                world::own_network(inner).unwrap_or_else(|error| panic!("{}", error.message().unwrap_or("")));
            assert!(exit.is_success(), "{inner}: {exit}");
        }
    }
}

const OWN_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 240, 0, 5));
const OWN_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd6c, 0x656e, 0x6f, 1, 0, 0, 0, 5));
const MARK: u32 = 1337;
const PATIENCE: Duration = Duration::from_secs(5);

/// The proxy's side: TCP on both loopback addresses, and a UDP socket for DNS.
struct Proxy {
    v4: TcpListener,
    v6: TcpListener,
    dns_v4: UdpSocket,
    dns_v6: UdpSocket,
}

fn wire() -> Proxy {
    let loopback = |v6| if v6 { IpAddr::V6(Ipv6Addr::LOCALHOST) } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
    route::loopback_up().unwrap();
    route::add_address(OWN_V4).unwrap();
    route::add_address(OWN_V6).unwrap();
    route::route_everything_to_loopback().unwrap();
    let v4 = TcpListener::bind((loopback(false), 0)).unwrap();
    let tcp = v4.local_addr().unwrap().port();
    let v6 = TcpListener::bind((loopback(true), tcp)).unwrap();
    let dns_v4 = UdpSocket::bind((loopback(false), 0)).unwrap();
    let dns = dns_v4.local_addr().unwrap().port();
    let dns_v6 = UdpSocket::bind((loopback(true), dns)).unwrap();
    for socket in [&dns_v4, &dns_v6] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    Redirect { tcp, dns, mark: MARK }.apply().unwrap();
    Proxy { v4, v6, dns_v4, dns_v6 }
}

fn tcp_reaches_the_proxy_with_its_destination() {
    let proxy = wire();
    let destinations: [SocketAddr; 6] = [
        "10.1.2.3:80".parse().unwrap(),
        "240.240.0.9:5432".parse().unwrap(),
        "[2001:db8::1]:443".parse().unwrap(),
        "[fd6c:656e:6f::7]:1".parse().unwrap(),
        SocketAddr::new(OWN_V4, 8080),
        SocketAddr::new(OWN_V6, 8080),
    ];
    for destination in destinations {
        let mut client = TcpStream::connect_timeout(&destination, PATIENCE).unwrap();
        let (listener, own) = if destination.is_ipv4() { (&proxy.v4, OWN_V4) } else { (&proxy.v6, OWN_V6) };
        let (mut server, peer) = listener.accept().unwrap();
        assert_eq!(socket::original_destination(&server).unwrap(), destination);
        assert_eq!(peer.ip(), own, "source of a connection to {destination}");
        assert_eq!(client.peer_addr().unwrap(), destination);
        client.write_all(b"ping").unwrap();
        let mut buffer = [0; 4];
        server.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"ping");
    }
}

fn loopback_and_marked_traffic_pass() {
    let _proxy = wire();
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let app = TcpListener::bind((ip, 0)).unwrap();
        let _client = TcpStream::connect(app.local_addr().unwrap()).unwrap();
        let (server, _) = app.accept().unwrap();
        let original = socket::original_destination(&server).unwrap();
        assert_eq!(original, app.local_addr().unwrap(), "loopback isn't captured");
    }
    for ip in [OWN_V4, OWN_V6] {
        let app = TcpListener::bind((ip, 0)).unwrap();
        let client =
            socket2::Socket::new(socket2::Domain::for_address((ip, 0).into()), socket2::Type::STREAM, None)
                .unwrap();
        socket::set_mark(&client, MARK).unwrap();
        client.connect(&app.local_addr().unwrap().into()).unwrap();
        app.accept().unwrap();
    }
}

fn dns_is_redirected_and_other_udp_refused() {
    let proxy = wire();
    for (server, resolver) in [(&proxy.dns_v4, "10.240.0.1:53"), (&proxy.dns_v6, "[fd6c:656e:6f:1::1]:53")] {
        let resolver: SocketAddr = resolver.parse().unwrap();
        let client = udp(resolver);
        client.send(b"who?").unwrap();
        let mut buffer = [0; 4];
        let (_, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer, b"who?");
        server.send_to(b"you!", from).unwrap();
        client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer, b"you!", "an answer from {resolver} itself");
    }
    for destination in ["10.1.2.3:443", "[2001:db8::1]:443", "240.240.0.9:123"] {
        let client = udp(destination.parse().unwrap());
        let refused = client.send(b"x").and_then(|_| client.recv(&mut [0; 1])).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{destination}");
    }
    let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    a.send_to(b"x", b.local_addr().unwrap()).unwrap();
    b.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(b.recv(&mut [0; 1]).unwrap(), 1, "UDP over loopback stays possible");
}

fn udp(destination: SocketAddr) -> UdpSocket {
    let any = if destination.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(destination).unwrap();
    socket
}

fn low_ports_are_open() {
    route::loopback_up().unwrap();
    route::allow_low_ports().unwrap();
    leno_capture::capability::reduce_to(leno_capture::capability::Set::empty()).unwrap();
    TcpListener::bind("127.0.0.1:80").unwrap();
}

fn rules_replace_each_other_whole() {
    let proxy = wire();
    nft::probe().unwrap();
    // A refused transaction leaves the old rules in force.
    let too_long = nft::Chain::filter_output(&"x".repeat(300));
    let refused = nft::Table::new(leno_capture::redirect::TABLE).chain(too_long).apply();
    assert!(matches!(refused, Err(nft::Error::Refused { .. })), "{refused:?}");
    let _captured = TcpStream::connect("10.1.2.3:80").unwrap();
    // Writing the same rules again replaces them, and removing them ends capture.
    let port = proxy.v4.local_addr().unwrap().port();
    Redirect { tcp: port, dns: port, mark: MARK }.apply().unwrap();
    let _still_captured = TcpStream::connect("10.1.2.3:80").unwrap();
    nft::remove(leno_capture::redirect::TABLE).unwrap();
    nft::remove(leno_capture::redirect::TABLE).unwrap();
    let gone = TcpStream::connect_timeout(&"10.1.2.3:80".parse().unwrap(), Duration::from_millis(300));
    assert!(gone.is_err(), "without rules nothing answers");
}
