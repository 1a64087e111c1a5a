//! The dialling end of HTTP/1 against raw bytes.

use std::os::fd::BorrowedFd;

use bytes::Bytes;
use http::{Method, StatusCode};
use leno_http::client::Config;
use leno_http::exchange::{Answer, Frame, Progress};
use leno_http::h1::ClientConnection;
use leno_http::head::{Framing, RequestHead, ResponseHead, Scheme};
use leno_model::failure::Failure;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::net::TcpStream;

use crate::support::{body_of, client, in_time, read_all, read_until, write};

fn get() -> RequestHead {
    request(Method::GET, Framing::None)
}

fn request(method: Method, framing: Framing) -> RequestHead {
    let mut head = RequestHead::new(method, Scheme::Http, "a", "/x?y").expect("well-formed");
    head.set_framing(framing);
    head
}

/// Sends a request and gives the answer's bytes to it; the answer's head, the connection and the rest.
async fn ask(
    connection: &mut ClientConnection,
    head: &RequestHead,
) -> Result<(ResponseHead, Vec<u8>), Failure> {
    let (outgoing, mut response) = connection.send(head).expect("open");
    drop(outgoing);
    loop {
        match in_time(response.head()).await? {
            Answer::Informational(_) => {}
            Answer::Final(head, mut incoming) => {
                let mut body = Vec::new();
                loop {
                    match in_time(incoming.frame()).await {
                        Frame::Data(data) => body.extend_from_slice(&data),
                        Frame::Trailers(_) => {}
                        Frame::End => return Ok((head, body)),
                        Frame::Abort(failure) => return Err(failure),
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_connection_is_reused_as_far_as_its_answers_allow() {
    for (method, answer, body, reusable) in [
        (Method::GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", true),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "ok",
            true,
        ),
        (Method::GET, "HTTP/1.1 204 No\r\n\r\n", "", true),
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "", true),
        (
            Method::GET,
            "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "ok",
            true,
        ),
        (Method::GET, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", "ok", true),
        (Method::GET, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false),
        (Method::GET, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "ok", false),
        (Method::GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", "ok", false),
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "", false),
    ] {
        let (mut peer, io) = duplex(1024);
        let mut connection = client(io);
        assert!(connection.is_reusable() && connection.idle_since().is_some());
        write(&mut peer, answer).await;
        let (head, got) = ask(&mut connection, &request(method.clone(), Framing::None)).await.expect(answer);
        assert!(head.status().is_success());
        assert_eq!(String::from_utf8_lossy(&got), body, "{answer:?}");
        assert_eq!(connection.is_reusable(), reusable, "{method} {answer:?}");
        assert_eq!(
            read_until(&mut peer, "\r\n\r\n").await,
            format!("{method} /x?y HTTP/1.1\r\nhost: a\r\n\r\n")
        );
        if reusable {
            write(&mut peer, "HTTP/1.1 204 No\r\n\r\n").await;
            ask(&mut connection, &get()).await.expect("reused");
            drop(peer);
            assert!(!connection.is_reusable(), "the end of file is seen");
        } else {
            assert!(connection.send(&get()).is_err());
        }
    }
}

/// Asks the kernel.
fn has_arrived(socket: BorrowedFd<'_>) -> bool {
    let socket = std::net::TcpStream::from(socket.try_clone_to_owned().expect("room"));
    !matches!(socket.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn an_end_is_seen_before_the_event_loop_tells_of_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let io = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
    let (mut peer, _) = listener.accept().expect("accepted");
    let mut connection = ClientConnection::new(Box::new(io), &Config::default());
    std::io::Write::write_all(&mut peer, b"HTTP/1.1 204 No\r\n\r\n").expect("written");
    ask(&mut connection, &get()).await.expect("answered");
    assert!(connection.is_reusable() && connection.is_surely_reusable(has_arrived));
    // Not to be closed with bytes unread, or it would be reset.
    let _request = std::io::Read::read(&mut peer, &mut [0; 1024]).expect("read");
    drop(peer);
    assert!(connection.is_reusable(), "nothing has told of it");
    assert!(!connection.is_surely_reusable(has_arrived) && !connection.is_reusable());
}

#[tokio::test]
async fn an_answer_is_here_once_its_sender_cannot_break_it_off() {
    for (answer, is_here) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", false),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\n\r\nok", false),
        // Which chunk is the last is known when it is read.
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false),
    ] {
        let (mut peer, io) = duplex(1024);
        let mut connection = client(io);
        write(&mut peer, answer).await;
        let (_outgoing, mut response) = connection.send(&get()).expect("open");
        let Ok(Answer::Final(_, incoming)) = in_time(response.head()).await else { panic!("{answer:?}") };
        assert_eq!(incoming.is_here(), is_here, "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_may_end_with_the_connection_only_where_nothing_else_tells_its_length() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\n\r\nok", Ok("ok")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", Err(Failure::UpstreamClosed)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", Err(Failure::UpstreamClosed)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\n", Err(Failure::UpstreamProtocol)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", Err(Failure::UpstreamProtocol)),
        (
            "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            Err(Failure::UpstreamProtocol),
        ),
        ("HTTP/1.1 200 O", Err(Failure::UpstreamClosed)),
        ("", Err(Failure::UpstreamClosed)),
    ] {
        let (mut peer, io) = duplex(1024);
        let mut connection = client(io);
        write(&mut peer, answer).await;
        peer.shutdown().await.expect("shut");
        let got = ask(&mut connection, &get()).await.map(|(_, body)| body);
        assert_eq!(got, expected.map(|text| text.as_bytes().to_vec()), "{answer:?}");
        assert!(!connection.is_reusable(), "{answer:?}");
    }
}

#[tokio::test]
async fn progress_tells_what_a_retry_may_assume() {
    for (answer, progress) in
        [("", Progress::Sent), ("HT", Progress::ResponseStarted), ("HTTP/9", Progress::ResponseStarted)]
    {
        let (mut peer, io) = duplex(1024);
        let mut connection = client(io);
        let (_outgoing, mut response) = connection.send(&get()).expect("open");
        assert_eq!(response.progress(), Progress::NotSent);
        write(&mut peer, answer).await;
        peer.shutdown().await.expect("shut");
        assert!(in_time(response.head()).await.is_err());
        assert_eq!(response.progress(), progress, "{answer:?}");
    }

    let (peer, io) = duplex(1024);
    drop(peer);
    let mut connection = client(io);
    let (_outgoing, mut response) = connection.send(&get()).expect("open");
    assert_eq!(in_time(response.head()).await.err(), Some(Failure::UpstreamClosed));
    assert_eq!(response.progress(), Progress::NotSent);

    let refusing = tokio_test_io();
    let mut connection = ClientConnection::new(refusing, &Config::default());
    let (_outgoing, mut response) = connection.send(&get()).expect("open");
    assert_eq!(in_time(response.head()).await.err(), Some(Failure::TlsFailed));
    assert_eq!(response.progress(), Progress::Refused);
}

/// A socket that takes everything and then says that the peer refused this client.
fn tokio_test_io() -> Box<dyn leno_http::io::Io> {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    struct Refusing;
    impl leno_http::io::Io for Refusing {}

    impl tokio::io::AsyncRead for Refusing {
        fn poll_read(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            _buf: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::PermissionDenied.into()))
        }
    }
    impl tokio::io::AsyncWrite for Refusing {
        fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    Box::new(Refusing)
}

#[tokio::test]
async fn interim_responses_are_passed_on_but_not_for_ever() {
    let (mut peer, io) = duplex(64 * 1024);
    let mut connection = client(io);
    let (_outgoing, mut response) = connection.send(&get()).expect("open");
    write(&mut peer, &"HTTP/1.1 102 Processing\r\n\r\n".repeat(17)).await;
    for _ in 0..16 {
        assert!(
            matches!(in_time(response.head()).await, Ok(Answer::Informational(head)) if head.status() == 102)
        );
    }
    assert!(matches!(in_time(response.head()).await, Err(Failure::UpstreamProtocol)));
}

#[tokio::test]
async fn an_answer_before_the_body_ends_the_connection_but_counts() {
    let (mut peer, io) = duplex(64);
    let mut connection = client(io);
    let (mut outgoing, mut response) =
        connection.send(&request(Method::POST, Framing::Length(1000))).expect("open");
    outgoing.data(Bytes::from(vec![b'x'; 500])).expect("data");
    write(&mut peer, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await;
    let Ok(Answer::Final(head, incoming)) = in_time(response.head()).await else { panic!("an answer") };
    assert_eq!((head.status(), incoming.is_ended()), (StatusCode::PAYLOAD_TOO_LARGE, true));
    assert!(!connection.is_reusable());
    drop(outgoing);
    assert!(!connection.is_reusable());
}

#[tokio::test]
async fn bodies_are_sent_as_announced() {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", "1".parse().expect("value"));
    for (framing, expected) in [
        (Framing::Length(5), "content-length: 5\r\n\r\nhello"),
        (Framing::Stream, "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"),
        (Framing::None, "content-length: 0\r\n\r\n"),
    ] {
        let (mut peer, io) = duplex(1024);
        let mut connection = client(io);
        let (mut outgoing, mut response) = connection.send(&request(Method::POST, framing)).expect("open");
        if framing != Framing::None {
            outgoing.ready().await.expect("ready");
            outgoing.data(Bytes::from_static(b"hello")).expect("data");
        }
        outgoing.trailers(trailers.clone());
        let (answer, text) = tokio::join!(in_time(response.head()), async {
            let text = read_until(&mut peer, expected).await;
            write(&mut peer, "HTTP/1.1 204 No\r\n\r\n").await;
            text
        });
        assert!(matches!(answer, Ok(Answer::Final(..))));
        assert_eq!(text, format!("POST /x?y HTTP/1.1\r\nhost: a\r\n{expected}"));
        assert!(connection.is_reusable());
    }
}

#[tokio::test]
async fn a_granted_connect_is_a_tunnel() {
    let (mut peer, io) = duplex(1024);
    let mut connection = client(io);
    let head = RequestHead::new(Method::CONNECT, Scheme::Http, "b:443", "").expect("well-formed");
    let (outgoing, mut response) = connection.send(&head).expect("open");
    let (answer, ()) = tokio::join!(in_time(response.head()), async {
        assert_eq!(read_until(&mut peer, "\r\n\r\n").await, "CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n");
        write(&mut peer, "HTTP/1.1 200 Yes\r\nContent-Length: 5\r\n\r\nhello").await;
    });
    let Ok(Answer::Final(head, incoming)) = answer else { panic!("granted") };
    assert!(head.fields().get("content-length").is_none());
    let mut tunnel = outgoing.into_tunnel(incoming);
    tunnel.write_all(b"bye").await.expect("write");
    tunnel.shutdown().await.expect("shut");
    assert_eq!(read_all(&mut peer).await, "bye");
    peer.shutdown().await.expect("shut");
    let mut text = String::new();
    tunnel.read_to_string(&mut text).await.expect("read");
    assert_eq!(text, "hello");
    drop(tunnel);
    assert!(!connection.is_reusable());
}

#[tokio::test]
async fn a_refused_connect_is_an_answer() {
    let (mut peer, io) = duplex(1024);
    let mut connection = client(io);
    let head = RequestHead::new(Method::CONNECT, Scheme::Http, "b:443", "").expect("well-formed");
    let (_outgoing, mut response) = connection.send(&head).expect("open");
    write(&mut peer, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno").await;
    let Ok(Answer::Final(head, mut incoming)) = in_time(response.head()).await else { panic!("answered") };
    assert_eq!(head.status(), StatusCode::FORBIDDEN);
    assert_eq!(body_of(&mut incoming).await.0, b"no");
    assert!(!connection.is_reusable());
}

#[tokio::test]
async fn the_end_of_an_idle_connection_can_be_awaited() {
    let (peer, io) = duplex(1024);
    let mut connection = client(io);
    let (_, ()) = tokio::join!(in_time(connection.closed()), async { drop(peer) });
    assert!(!connection.is_reusable());
}
