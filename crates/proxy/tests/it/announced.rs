//! The PROXY protocol: at a gateway behind a proxy of bytes, and to servers that ask for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;

use leno_model::destination::ProxyProtocol;
use leno_model::gateway::ListenerProtocol;
use leno_model::service::{Address, Protocol, Transport};
use leno_model::unit::ListenerUnit;
use leno_testkit::programs::{HAPROXY, NGINX, or_skip};
use leno_wire::Unit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::app::{answer, echo, head, mirror, serving};
use crate::gateway::plain;
use crate::routes::{forward, table};
use crate::world::{OWN, World, rest, service, soon, workload};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: app\r\n\r\n";

fn listener(port: u16) -> ListenerUnit {
    let plain = plain(port, ListenerProtocol::Http, "*", table(forward()));
    ListenerUnit { proxy_protocol: true, ..plain }
}

/// Whom the application is told about by a client that begins so; `None` where it isn't served.
async fn forwarded_for(gateway: SocketAddr, pieces: &[&[u8]]) -> Option<String> {
    forwarded_by(TcpStream::connect(gateway).await.unwrap(), pieces).await
}

async fn forwarded_by(mut stream: TcpStream, pieces: &[&[u8]]) -> Option<String> {
    for piece in pieces {
        stream.write_all(piece).await.ok()?;
        stream.flush().await.ok()?;
        tokio::task::yield_now().await;
    }
    let (_, seen) = soon(answer(&mut stream)).await?;
    let line = seen.lines().find_map(|line| line.strip_prefix("x-forwarded-for: "))?;
    Some(line.to_owned())
}

#[tokio::test]
async fn a_gateway_believes_the_proxy_before_it_and_nobody_else() {
    let app = serving(OWN, mirror).await;
    let world = World::new();
    let gateway = world.gateway(app, |port| vec![listener(port)]).await;
    let line: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.2 12345 80\r\n";
    let two: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x08\xc6\x33\x64\x02\x30\x39\x00\x50";
    let own: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    for (pieces, expected) in [
        (&[line, REQUEST][..], Some("192.0.2.7")),
        (&[&line[..20], &line[20..], REQUEST], Some("192.0.2.7")),
        (&[two, REQUEST], Some("192.0.2.8")),
        (&[own, REQUEST], Some("127.0.0.1")),
        (&[b"PROXY UNKNOWN\r\n", REQUEST], Some("127.0.0.1")),
        (&[REQUEST], None),
        (&[b"PROXY TCP4 192.0.2.7 198.51.100.2 012345 80\r\n", REQUEST], None),
        // A second one is the client's own words.
        (&[line, line, REQUEST], None),
    ] {
        let got = forwarded_for(gateway, pieces).await;
        assert_eq!(got.as_deref(), expected, "{}", pieces.concat().escape_ascii());
    }
}

/// HAProxy tells the gateway who its client is, in either version.
#[tokio::test]
async fn haproxy_is_understood() {
    let Some(haproxy) = or_skip(HAPROXY.find()) else { return };
    let app = serving(OWN, mirror).await;
    let world = World::new();
    let gateway = world.gateway(app, |port| vec![listener(port)]).await;
    for send in ["send-proxy", "send-proxy-v2"] {
        let front = leno_testkit::ports::free();
        let text = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\nlisten in\n bind {front}\n server gateway {gateway} {send}\n"
        );
        let file = world.path(&format!("{send}.cfg"));
        std::fs::write(&file, text).unwrap();
        let mut child =
            Command::new(&haproxy).args(["-q", "-db", "-f"]).arg(file).stdin(Stdio::null()).spawn().unwrap();
        let seen = soon(async {
            loop {
                // Another address than HAProxy's own.
                let client = TcpSocket::new_v4().unwrap();
                client.bind(([127, 0, 0, 9], 0).into()).unwrap();
                if let Ok(stream) = client.connect(front).await {
                    break forwarded_by(stream, &[REQUEST]).await;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        let _gone = child.kill();
        let _ended = child.wait();
        assert_eq!(seen.as_deref(), Some("127.0.0.9"), "{send}");
    }
}

/// The service, whose settings ask for a header.
fn asking(version: ProxyProtocol, protocol: Protocol, transport: Transport, app: SocketAddr) -> [Unit; 2] {
    let [Unit::Host(mut host), endpoints] = service(protocol, transport, app) else { panic!("a host") };
    Arc::make_mut(&mut host).destination.policy.proxy_protocol = Some(version);
    [Unit::Host(host), endpoints]
}

/// Reads a line, then serves requests by telling it.
async fn after_a_line(mut stream: TcpStream) {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        line.push(byte);
    }
    while head(&mut stream).await.is_some() {
        let text = String::from_utf8_lossy(&line);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// Each client has connections of its own then: the header is about one.
#[tokio::test]
async fn a_server_that_asks_for_it_is_told_of_each_client() {
    let app = serving(OWN, after_a_line).await;
    let world = World::new();
    let web = world.web(asking(ProxyProtocol::V1, Protocol::Http, Transport::Plain, app), 1).await;
    for _ in 0..2 {
        let mut stream = TcpStream::connect(web).await.unwrap();
        let own = stream.local_addr().unwrap();
        for _ in 0..2 {
            stream.write_all(REQUEST).await.unwrap();
            let (_, told) = soon(answer(&mut stream)).await.unwrap();
            let to = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} ", own.port());
            assert!(told.starts_with(&to), "{told}, but the client is {own}");
        }
    }
}

#[tokio::test]
async fn nginx_takes_it() {
    let Some(nginx) = or_skip(NGINX.find()) else { return };
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        let app = leno_testkit::ports::free();
        let world = World::new();
        let text = format!(
            "daemon off; master_process off; pid {0}; error_log stderr error; events {{}}
http {{ access_log off; client_body_temp_path {1}; proxy_temp_path {1}; fastcgi_temp_path {1}; uwsgi_temp_path {1}; scgi_temp_path {1};
server {{ listen {app} proxy_protocol; return 200 \"$proxy_protocol_addr $proxy_protocol_port\"; }} }}",
            world.path("nginx.pid").display(),
            world.path("nginx").display()
        );
        let file = world.path("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let mut child =
            Command::new(&nginx).args(["-e", "stderr", "-c"]).arg(file).stdin(Stdio::null()).spawn().unwrap();
        soon(async {
            while TcpStream::connect(app).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let web = world.web(asking(version, Protocol::Http, Transport::Plain, app), 1).await;
        let mut stream = TcpStream::connect(web).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n").await.unwrap();
        let seen = String::from_utf8(rest(&mut stream).await).unwrap();
        let _gone = child.kill();
        let _ended = child.wait();
        let told = format!("127.0.0.1 {}", stream.local_addr().unwrap().port());
        assert!(seen.ends_with(&told), "{version:?}: {seen}");
    }
}

/// Opaque bytes carry it across the mesh; the application sees it first.
#[tokio::test]
async fn an_application_in_the_mesh_is_told_of_opaque_connections() {
    let app = serving(Ipv4Addr::LOCALHOST, echo).await;
    for hbone in [false, true] {
        let world = World::new();
        let path = world.app(workload(&[(app.port(), Protocol::Tcp)], Vec::new())).await;
        let address = Address::Unix(path);
        let transport = if hbone { Transport::Hbone(address) } else { Transport::Native(address) };
        let target = SocketAddr::new(OWN, app.port());
        let web = world.web(asking(ProxyProtocol::V1, Protocol::Tcp, transport, target), 2).await;
        let mut stream = TcpStream::connect(web).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        stream.shutdown().await.unwrap();
        let seen = String::from_utf8(rest(&mut stream).await).unwrap();
        let port = stream.local_addr().unwrap().port();
        assert!(seen.starts_with(&format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} ")), "{seen}");
        assert!(seen.ends_with("\r\nping"), "{seen}");
    }
}
