//! What one service answers.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::{call, get, listen, run, serve};

/// SHA-256 of `hello`.
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[tokio::test]
async fn echo_tells_what_arrived() {
    let service = serve("any", &["--version", "v7"]).await;
    for (scheme, protocol) in [("http", "HTTP/1.1"), ("h2c", "HTTP/2.0")] {
        let url = service.url(scheme, "/echo/a/b?c=%20d");
        let (code, answer) = call(
            &url,
            &["-d", "hello", "-X", "PUT", "-H", "x-request-id: 7", "-H", "x-two: a", "-H", "x-two: b"],
        )
        .await;
        assert_eq!((code, &answer["headers"]["x-version"]), (Some(0), &json!("v7")));
        let body = &answer["body"];
        assert_eq!(body["method"], "PUT");
        assert_eq!(body["path"], "/echo/a/b?c=%20d");
        assert_eq!(body["protocol"], protocol);
        assert_eq!(body["headers"]["x-two"], json!(["a", "b"]));
        assert_eq!(body["body"], json!({"length": 5, "sha256": HELLO}));
        let hop = &body["trail"][0];
        assert_eq!((&hop["service"], &hop["version"]), (&json!("any"), &json!("v7")));
        assert_eq!(
            (&hop["headers"]["x-request-id"], &hop["headers"]["host"]),
            (&json!("7"), &json!(service.address()))
        );
    }
}

#[tokio::test]
async fn utility_paths() {
    let service = serve("any", &[]).await;
    for (path, code, status) in [
        ("/healthz", Some(0), 200),
        ("/status/204", Some(0), 204),
        ("/status/418", Some(1), 418),
        ("/status/no", Some(1), 400),
        ("/delay/1", Some(0), 200),
        ("/delay/600001", Some(1), 400),
        ("/bytes/x", Some(1), 400),
        ("/stream?count=x", Some(1), 400),
        ("/ws", Some(1), 400),
        ("/nothing", Some(1), 404),
        ("/any/99", Some(1), 404),
        ("/any/2", Some(0), 200),
    ] {
        let (got, answer) = call(&service.url("http", path), &[]).await;
        assert_eq!((got, &answer["status"]), (code, &json!(status)), "{path}");
    }
    let (_, answer) = call(&service.url("http", "/any/2"), &["-X", "DELETE"]).await;
    assert_eq!((&answer["status"], &answer["headers"]["allow"]), (&json!(405), &json!("GET, HEAD")));
}

#[tokio::test]
async fn bytes_have_their_length_and_head_has_none() {
    let service = serve("any", &[]).await;
    let printed = run(&["call", &service.url("http", "/bytes/100000")]).await;
    assert_eq!(printed.out.len(), 100_000);
    let (_, answer) = call(&service.url("http", "/bytes/100000"), &["-X", "HEAD"]).await;
    assert_eq!((&answer["headers"]["content-length"], &answer["body"]), (&json!("100000"), &json!("")));
}

#[tokio::test]
async fn mirror_sends_back_body_and_trailers() {
    let service = serve("any", &[]).await;
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    let request = "POST /mirror HTTP/1.1\r\nhost: x\r\ntrailer: x-sum\r\nte: trailers\r\nconnection: close\r\n\
                   transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 532\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("hello\r\n") && answer.ends_with("0\r\nx-sum: 532\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn events_come_one_by_one() {
    let service = serve("any", &[]).await;
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    stream.write_all(b"GET /stream?count=0&interval=1ms HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut seen = String::new();
    // An endless stream: what is seen was not held back for its end.
    while !seen.contains("id: 5\nevent: tick\n") {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).await.unwrap();
        assert_ne!(read, 0, "{seen}");
        seen.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    assert!(seen.contains("content-type: text/event-stream"));
}

#[tokio::test]
async fn failures_on_purpose_are_the_same_for_the_same_seed() {
    let mut runs = Vec::new();
    for seed in ["7", "7", "8"] {
        let service = serve("any", &["--error-rate", "0.5", "--error-status", "500", "--seed", seed]).await;
        let mut statuses = Vec::new();
        for _ in 0..12 {
            statuses.push(call(&service.url("http", "/any/1"), &[]).await.1["status"].clone());
        }
        assert_eq!(get(&service.url("http", "/healthz"), &[]).await["status"], "ok");
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    assert!(runs[0].contains(&json!(500)) && runs[0].contains(&json!(200)));
}

#[tokio::test]
async fn failures_on_purpose_over_grpc_and_tcp() {
    let listeners = ["http://127.0.0.1:0", "tcp://127.0.0.1:0"];
    let service = listen("any", &listeners, &["--error-rate", "1"]).await;
    let (code, answer) = call(&service.url("grpc", "/Pricing/Quote"), &[]).await;
    assert_eq!((code, &answer["grpc_status"]), (Some(1), &json!(14)));
    let printed = run(&["call", &format!("tcp://{}", service.address_of(1))]).await;
    assert_eq!(
        (printed.code, printed.error.contains("closed the connection")),
        (Some(2), true),
        "{}",
        printed.error
    );
}

#[tokio::test]
async fn the_stock_service_speaks_first() {
    let service = listen("stock", &["tcp://127.0.0.1:0"], &["--version", "v2"]).await;
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    let mut greeting = [0; 17];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"STOCK/1 stock v2\n");
    stream.write_all(b"COUNT 3\r\nCOUNT 9\nwhat\nBYE\n").await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(
        rest,
        "OK 3 count=9 sold=143 shelf=D2\nERR no such book\nERR unknown command; COUNT BOOK or BYE\nBYE\n"
    );
}

#[tokio::test]
async fn raw_echo_half_closes() {
    let service = listen("any", &["echo://127.0.0.1:0"], &[]).await;
    let printed = run(&["call", &service.url("echo", ""), "-d", &"abc".repeat(30_000)]).await;
    assert_eq!((printed.code, printed.out.len()), (Some(0), 90_000));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let service = serve("any", &["--idle-timeout", "50ms"]).await;
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn wrong_arguments_say_what_is_expected() {
    for (arguments, expected) in [
        (&["serve", "x", "--listen", "9080"][..], "write http://HOST:PORT"),
        (&["serve", "x", "--listen", "http://127.0.0.1"], "needs a port"),
        (&["serve", "x", "--call", "https://y"], "scheme \"https\" isn't spoken here"),
        (&["serve", "x", "--call", "grpc://y:1"], "names no gRPC method"),
        (&["serve", "x", "--call", "grpc://y:1/Pricing/Haggle"], "isn't unary"),
        (&["serve", "x", "--latency", "5"], "write a number and us, ms, s, m or h"),
        (&["serve", "x", "--error-rate", "2"], "no probability between 0 and 1"),
        (&["call", "reviews"], "no URL of the form"),
        (&["call", "http://x", "-H", "x"], "write NAME: VALUE"),
        (&["load", "http://x"], "--rate"),
        (&["load", "http://x", "--rate", "0"], "no rate between"),
        (&["load", "tcp://x", "--rate", "1"], "use http, h2c or grpc"),
        (&["load", "grpc://x/Pricing/Watch", "--rate", "1"], "use a unary method or /Pricing/Haggle"),
        (&["load", "h2c://x", "--rate", "1", "--connections", "60000"], "are more than 20000"),
        (&["ws", "http://127.0.0.1:1"], "use ws:// or h2c://"),
    ] {
        let printed = run(arguments).await;
        let all = format!("{}{}", printed.out, printed.error);
        assert!(printed.code != Some(0) && all.contains(expected), "{arguments:?}: {all}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let service = serve("any", &[]).await;
    let printed = run(&["serve", "any", "--listen", &service.url("http", "")]).await;
    assert_eq!(printed.code, Some(2));
    assert!(
        printed.error.contains(&format!("cannot listen on {}: ", service.address())),
        "{}",
        printed.error
    );
}
