use proptest::prelude::*;

use super::*;

#[test]
fn accepts_the_key_of_the_rfc() {
    assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ==").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(accept(b"c2hvcnQ="), None);
    assert_eq!(accept(b"not base64"), None);
    assert!(accept(key().as_bytes()).is_some());
}

/// What a server makes of these bytes.
fn decode(bytes: &[u8]) -> Result<Option<(Frame, usize)>, Violation> {
    frame::decode(bytes, Side::Server, 1000)
}

#[test]
fn refuses_what_the_rfc_forbids() {
    for (bytes, expected) in [
        (&[0xC1, 0x80][..], Violation::ReservedBit),
        (&[0x83, 0x80], Violation::Opcode(3)),
        (&[0x8B, 0x80], Violation::Opcode(11)),
        (&[0x81, 0x00], Violation::Mask),
        (&[0x09, 0x80], Violation::Control),
        (&[0x89, 0xFE], Violation::Control),
        (&[0x82, 0xFE, 0, 125], Violation::Length),
        (&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], Violation::Length),
        (&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], Violation::Length),
        (&[0x82, 0xFE, 0x03, 0xE9], Violation::TooLong),
    ] {
        assert_eq!(decode(bytes), Err(expected), "{bytes:x?}");
    }
    let unmasked = frame::encode(true, Opcode::Text, None, b"x");
    assert_eq!(frame::decode(&unmasked, Side::Client, 10).unwrap().unwrap().1, 3);
}

#[test]
fn close_codes() {
    for (payload, expected) in [
        (&[][..], Ok(None)),
        (&[0x03, 0xE8], Ok(Some(1000))),
        (&[0x03, 0xE8, b'o', b'k'], Ok(Some(1000))),
        (&[0x03], Err(Violation::Close)),
        (&[0x03, 0xED], Err(Violation::Close)),
        (&[0x03, 0xE8, 0xFF], Err(Violation::Close)),
    ] {
        assert_eq!(frame::close_code(payload), expected, "{payload:x?}");
    }
}

proptest! {
    #[test]
    fn frames_survive(payload in proptest::collection::vec(any::<u8>(), 0..70_000), mask in any::<[u8; 4]>(), cut in any::<prop::sample::Index>()) {
        let wire = frame::encode(true, Opcode::Binary, Some(mask), &payload);
        let (decoded, length) = frame::decode(&wire, Side::Server, 70_000).unwrap().unwrap();
        prop_assert_eq!(length, wire.len());
        prop_assert_eq!(&decoded.payload[..], &payload[..]);
        prop_assert_eq!(frame::decode(&wire[..cut.index(wire.len())], Side::Server, 70_000), Ok(None));
    }

    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = decode(&bytes);
        let _ = frame::close_code(&bytes);
    }
}

/// Runs an echo server and hands a client to `converse`.
async fn with_echo<F: Future<Output = ()>>(converse: impl FnOnce(WebSocket<tokio::io::DuplexStream>) -> F) {
    let (client, server) = tokio::io::duplex(64 << 10);
    let server = echo(WebSocket::new(server, Side::Server, &[]), std::future::pending());
    let client = converse(WebSocket::new(client, Side::Client, &[]));
    let (served, ()) = tokio::join!(server, client);
    served.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn echoes_fragments_around_a_ping() {
    with_echo(|mut client| async move {
        client.send_frame(false, Opcode::Text, "gr\u{fc}n".as_bytes().get(..3).unwrap()).await.unwrap();
        client.send(&Message::Ping(Bytes::from_static(b"?"))).await.unwrap();
        client
            .send_frame(true, Opcode::Continuation, "gr\u{fc}n".as_bytes().get(3..).unwrap())
            .await
            .unwrap();
        assert_eq!(client.receive().await.unwrap(), Message::Pong(Bytes::from_static(b"?")));
        assert_eq!(client.receive().await.unwrap(), Message::Text("gr\u{fc}n".to_owned()));
        client.send(&Message::Close(Some(NORMAL))).await.unwrap();
        assert_eq!(client.receive().await.unwrap(), Message::Close(Some(NORMAL)));
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn closes_with_the_code_of_the_violation() {
    for (fin, opcode, payload, code) in [
        (true, Opcode::Text, &b"\xFF"[..], 1007),
        (true, Opcode::Continuation, b"x", 1002),
        (true, Opcode::Close, b"\x03", 1002),
    ] {
        with_echo(|mut client| async move {
            client.send_frame(fin, opcode, payload).await.unwrap();
            assert_eq!(client.receive().await.unwrap(), Message::Close(Some(code)));
            assert!(matches!(client.receive().await, Err(WebSocketError::Cut)));
        })
        .await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_stopping_server_goes_away() {
    let (client, server) = tokio::io::duplex(1 << 10);
    echo(WebSocket::new(server, Side::Server, &[]), std::future::ready(())).await.unwrap();
    let mut client = WebSocket::new(client, Side::Client, &[]);
    assert_eq!(client.receive().await.unwrap(), Message::Close(Some(GOING_AWAY)));
}
