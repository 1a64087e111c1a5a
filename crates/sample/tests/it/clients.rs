//! `call`, `ws` and `grpc-check`.

use serde_json::json;

use crate::odd::nobody;
use crate::process::{call, run, serve};

#[tokio::test]
async fn grpc_check_passes_and_fails() {
    let service = serve("pricing", &[]).await;
    let printed = run(&["grpc-check", service.address()]).await;
    let verdict = printed.json();
    assert_eq!((printed.code, &verdict["ok"]), (Some(0), &json!(true)), "{verdict:#}");
    assert_eq!(verdict["checks"].as_object().unwrap().len(), 6);

    let broken = serve("pricing", &["--error-rate", "1"]).await;
    let printed = run(&["grpc-check", broken.address()]).await;
    let verdict = printed.json();
    assert_eq!((printed.code, &verdict["ok"]), (Some(1), &json!(false)));
    assert_eq!(verdict["checks"]["unary"]["grpc_status"], 14);
    assert_eq!(run(&["grpc-check", broken.address(), "--output", "text"]).await.out.lines().count(), 6);
}

#[tokio::test]
async fn grpc_calls_print_each_message() {
    let service = serve("pricing", &["--version", "v5"]).await;
    for (path, expected) in [
        ("/Ratings/Summarize?book=2", vec![json!({"book": 2, "mark": 4.7, "readers": 61})]),
        ("/leno.sample.v1.Pricing/Quote?book=6", vec![json!({"book": 6, "cents": 1190, "sequence": 1})]),
        (
            "/Pricing/Watch?book=1&count=2&interval=1",
            vec![
                json!({"book": 1, "cents": 1900, "sequence": 1}),
                json!({"book": 1, "cents": 1910, "sequence": 2}),
            ],
        ),
        ("/Pricing/Total?book=1&quantity=3", vec![json!({"lines": 1, "cents": 5670})]),
        ("/Pricing/Haggle?book=1&cents=1000", vec![json!({"book": 1, "cents": 1445, "agreed": false})]),
    ] {
        let printed = run(&["call", &service.url("grpc", path), "-H", "x-request-id: 9"]).await;
        let mut lines: Vec<serde_json::Value> =
            printed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let trail = lines[0]["trail"].take();
        assert_eq!(trail[0]["headers"]["x-request-id"], "9", "{path}");
        assert_eq!((&trail[0]["protocol"], &trail[0]["version"]), (&json!("gRPC"), &json!("v5")));
        for line in &mut lines {
            line.as_object_mut().unwrap().remove("trail");
        }
        assert_eq!(lines, expected, "{path}");
    }
}

#[tokio::test]
async fn grpc_failures_have_their_status() {
    let service = serve("pricing", &["--latency", "30ms"]).await;
    for (path, more, status, message) in [
        ("/Pricing/Quote?book=77", &[][..], 5, "no book 77"),
        ("/Pricing/Quote", &["--timeout", "20ms"], 4, ""),
        ("/Pricing/Watch?count=0&interval=5", &["-H", "x: y", "--timeout", "80ms"], 4, ""),
    ] {
        let printed = run(&[&["call", &service.url("grpc", path)], more].concat()).await;
        assert_ne!(printed.code, Some(0), "{path}");
        // At its deadline the client may give up first; then it says so itself.
        if !printed.error.contains("no answer within") {
            let last =
                printed.out.lines().rev().find(|line| line.contains("grpc_status")).unwrap_or(&printed.out);
            assert!(
                last.contains(&status.to_string()) && printed.out.contains(message),
                "{path}: {}",
                printed.out
            );
        }
    }
}

#[tokio::test]
async fn websockets_over_both_versions_of_http() {
    let service = serve("any", &[]).await;
    for scheme in ["ws", "h2c"] {
        let printed = run(&["ws", &service.url(scheme, "/ws"), "--hold", "5ms"]).await;
        let verdict = printed.json();
        assert_eq!(
            (printed.code, &verdict["ok"], &verdict["echoed"]),
            (Some(0), &json!(true), &json!(19)),
            "{verdict:#}"
        );
        let printed = run(&["ws", &service.url(scheme, "/status/403")]).await;
        assert_eq!((printed.code, &printed.json()["ok"]), (Some(1), &json!(false)));
        assert!(printed.out.contains("answered 403 Forbidden instead of upgrading"), "{}", printed.out);
    }
}

#[tokio::test]
async fn connect_overrides_where_to_dial() {
    let service = serve("any", &[]).await;
    for scheme in ["http", "h2c"] {
        let url = format!("{scheme}://shop.example:1234/echo");
        let (code, answer) = call(&url, &["--connect", service.address()]).await;
        assert_eq!(
            (code, &answer["body"]["trail"][0]["headers"]["host"]),
            (Some(0), &json!("shop.example:1234"))
        );
        let (_, answer) = call(&url, &["--connect", service.address(), "-H", "user-agent: me"]).await;
        assert_eq!(answer["body"]["headers"]["user-agent"], "me");
    }
    let (_, answer) = call("http://x/echo", &["--connect", service.address(), "-H", "host: other"]).await;
    assert_eq!(answer["body"]["headers"]["host"], "other");
    let printed = run(&["ws", "ws://shop.example/ws", "--connect", service.address()]).await;
    assert_eq!(printed.code, Some(0));
    let printed = run(&["grpc-check", "shop.example:1", "--connect", service.address()]).await;
    assert_eq!(printed.code, Some(0));
}

#[tokio::test]
async fn nobody_there_is_said_in_one_line() {
    let nobody = nobody();
    let gone = &nobody.address;
    for scheme in ["http", "h2c", "tcp", "echo"] {
        let printed = run(&["call", &format!("{scheme}://{gone}/")]).await;
        assert_eq!(printed.code, Some(2));
        assert_eq!(printed.error.lines().count(), 1);
        assert!(printed.error.contains(&format!("cannot connect to {gone}: ")), "{}", printed.error);
    }
}
