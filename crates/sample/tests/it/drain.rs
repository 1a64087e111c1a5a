//! SIGTERM: nothing is lost, nothing new is taken, and the process ends with 0.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::{PATIENCE, Service, Streaming, listen, serve};

/// Waits until the service has taken a request, as far as a client can see: bytes sent, none left in the kernel.
async fn under_way(service: &Service, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    // A first exchange on the connection proves that it is accepted.
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"}\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn streams_under_way_are_finished() {
    let service = serve("any", &[]).await;
    let mut streams = Vec::new();
    for (scheme, path) in [("http", "/stream"), ("h2c", "/stream"), ("grpc", "/Pricing/Watch")] {
        let url = format!("{}?count=4&interval=200", service.url(scheme, path));
        // The unit is written for the one, implied for the other.
        let url = if scheme == "grpc" { url } else { format!("{url}ms") };
        let mut stream = Streaming::start(&["call", &url]);
        stream.line().await;
        streams.push(stream);
    }
    service.terminate();
    for stream in streams {
        let (code, rest) = stream.rest().await;
        let last = if rest.contains("id: ") { "id: 4" } else { "\"sequence\":4" };
        assert!(code == Some(0) && rest.contains(last), "{rest}");
    }
    assert_eq!(service.ended().await, Some(0));
}

#[tokio::test]
async fn endless_streams_end() {
    let service = serve("any", &["--drain=60s"]).await;
    let (mut events, mut prices) = (
        Streaming::start(&["call", &service.url("http", "/stream?count=0&interval=1ms")]),
        Streaming::start(&["call", &service.url("grpc", "/Pricing/Watch?count=0&interval=1")]),
    );
    events.line().await;
    prices.line().await;
    service.terminate();
    assert_eq!(events.rest().await.0, Some(0));
    let (code, rest) = prices.rest().await;
    assert!(code == Some(1) && rest.contains("\"grpc_status\": 14"), "{rest}");
    assert_eq!(service.ended().await, Some(0));
}

#[tokio::test]
async fn a_slow_answer_is_waited_for_and_says_close() {
    let service = serve("any", &["--latency=400ms"]).await;
    let mut stream = under_way(
        &service,
        "GET /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n",
    )
    .await;
    // The service asks for the body when it has the request, after its latency.
    let mut interim = [0; 12];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100");
    service.terminate();
    let address = service.address().to_owned();
    let refused = async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.contains("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert_eq!(service.ended().await, Some(0));
}

#[tokio::test]
async fn idle_connections_and_open_websockets_do_not_hold_it_up() {
    let listeners = ["http://127.0.0.1:0", "tcp://127.0.0.1:0", "echo://127.0.0.1:0"];
    let service = listen("any", &listeners, &["--drain=60s"]).await;
    let idle = under_way(&service, "").await;
    let mut websocket = under_way(
        &service,
        "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(websocket.read_u8().await.unwrap());
    }
    let stock = TcpStream::connect(service.address_of(1)).await.unwrap();
    let mut echo = TcpStream::connect(service.address_of(2)).await.unwrap();
    echo.write_all(b"x").await.unwrap();
    assert_eq!(echo.read_u8().await.unwrap(), b'x');

    service.terminate();
    assert_eq!(rest(idle).await, "");
    let mut close = Vec::new();
    websocket.read_to_end(&mut close).await.unwrap();
    assert_eq!(close, [0x88, 2, 0x03, 0xE9], "a close frame with 1001");
    assert_eq!(rest(stock).await, "STOCK/1 any v1\n");
    assert_eq!(rest(echo).await, "");
    assert_eq!(service.ended().await, Some(0));
}

#[tokio::test]
async fn the_deadline_ends_what_does_not_end() {
    let service = serve("any", &["--drain=100ms"]).await;
    let stream = under_way(&service, "GET /delay/60000 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    service.terminate();
    assert_eq!(service.ended().await, Some(0));
    drop(stream);
}
