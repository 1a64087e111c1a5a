//! `ws URL`: checks a WebSocket echo and prints a verdict.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tonic::body::Body;

use crate::call::To;
use crate::client::{self, ClientError, Http2};
use crate::output::{self, Format};
use crate::target::{Scheme, Target};
use crate::units;
use crate::websocket::{self, Message, NORMAL, Opcode, Side, WebSocket, WebSocketError};

/// Arguments of `ws`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// ws://HOST:PORT/ws, or h2c://HOST:PORT/ws for a WebSocket over HTTP/2 (RFC 8441)
    url: Target,
    #[command(flatten)]
    to: To,
    /// Text and binary messages to send, each larger than the one before
    #[arg(long, default_value_t = 8)]
    messages: u32,
    /// Keep the WebSocket open and silent for this long between two messages
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = units::duration)]
    hold: Duration,
    /// How to print the verdict
    #[arg(long, value_enum, default_value = "json")]
    output: Format,
}

/// Why the check failed.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the server answered {0} instead of upgrading")]
    Refused(StatusCode),
    #[error("Sec-WebSocket-Accept doesn't fit the key")]
    Accept,
    #[error("use ws:// or h2c://, not {0}://")]
    Scheme(Scheme),
    #[error(transparent)]
    WebSocket(#[from] WebSocketError),
    #[error("the echo of {what} differs")]
    Differs { what: &'static str },
}

/// Runs the check within the time limit. 0 when everything came back as sent.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let start = Instant::now();
    let limit = args.to.timeout + args.hold;
    let checked = match tokio::time::timeout(limit, Box::pin(check(&args))).await {
        Ok(checked) => checked,
        Err(_late) => Err(ClientError::Timeout(limit).into()),
    };
    let millis = start.elapsed().as_millis();
    let verdict = match &checked {
        Ok(echoed) => json!({"ok": true, "echoed": echoed, "millis": millis}),
        Err(error) => json!({"ok": false, "error": output::in_full(error), "millis": millis}),
    };
    match args.output {
        Format::Json => output::line(&format!("{verdict:#}"))?,
        Format::Text => output::line(&match &checked {
            Ok(echoed) => format!("ok: {echoed} messages in {millis} ms"),
            Err(error) => format!("failed: {}", output::in_full(error)),
        })?,
    }
    Ok(if checked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Number of messages that were echoed.
async fn check(args: &Args) -> Result<u32, CheckError> {
    let mut socket = WebSocket::new(TokioIo::new(open(args).await?), Side::Client, &[]);
    for n in 1..=args.messages {
        let size = 1_usize << n.min(17);
        let text = Message::Text("ü".repeat(size / 2));
        same(&mut socket, "a text", text.clone(), text).await?;
        let binary = Message::Binary(Bytes::from(vec![u8::try_from(n & 0xFF).unwrap_or_default(); size]));
        same(&mut socket, "a binary message", binary.clone(), binary).await?;
    }
    tokio::time::sleep(args.hold).await;
    let ping = Bytes::from_static(b"still there?");
    same(&mut socket, "a ping", Message::Ping(ping.clone()), Message::Pong(ping)).await?;
    for (fin, opcode, part) in [
        (false, Opcode::Text, "frag"),
        (false, Opcode::Continuation, "men"),
        (true, Opcode::Continuation, "ts"),
    ] {
        socket.send_frame(fin, opcode, part.as_bytes()).await?;
    }
    expect(&mut socket, "a fragmented text", Message::Text("fragments".to_owned())).await?;
    same(&mut socket, "the close", Message::Close(Some(NORMAL)), Message::Close(Some(NORMAL))).await?;
    Ok(2 * args.messages + 3)
}

type Socket = WebSocket<TokioIo<Upgraded>>;

async fn same(
    socket: &mut Socket,
    what: &'static str,
    sent: Message,
    back: Message,
) -> Result<(), CheckError> {
    socket.send(&sent).await?;
    expect(socket, what, back).await
}

async fn expect(socket: &mut Socket, what: &'static str, expected: Message) -> Result<(), CheckError> {
    let received = socket.receive().await?;
    if received == expected { Ok(()) } else { Err(CheckError::Differs { what }) }
}

async fn open(args: &Args) -> Result<Upgraded, CheckError> {
    let address = args.to.address(&args.url);
    let mut headers = args.to.headers();
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    match args.url.scheme {
        Scheme::Ws => open_http1(&address, &args.url, headers).await,
        Scheme::H2c => open_http2(&address, &args.url, headers).await,
        other => Err(CheckError::Scheme(other)),
    }
}

async fn open_http1(address: &str, target: &Target, mut headers: HeaderMap) -> Result<Upgraded, CheckError> {
    let key = websocket::key();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(
        header::SEC_WEBSOCKET_KEY,
        HeaderValue::from_str(&key).map_err(|error| ClientError::Invalid(error.into()))?,
    );
    let request = client::request(target, Version::HTTP_11, Method::GET, headers, Bytes::new())
        .map_err(ClientError::Invalid)?;
    let mut response =
        client::http1(address).await?.send_request(request).await.map_err(ClientError::Request)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(CheckError::Refused(response.status()));
    }
    let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accept != websocket::accept(key.as_bytes()).as_deref().map(str::as_bytes) {
        return Err(CheckError::Accept);
    }
    Ok(hyper::upgrade::on(&mut response).await.map_err(ClientError::Request)?)
}

async fn open_http2(address: &str, target: &Target, headers: HeaderMap) -> Result<Upgraded, CheckError> {
    let mut request: Request<Body> =
        client::request(target, Version::HTTP_2, Method::CONNECT, headers, Bytes::new())
            .map_err(ClientError::Invalid)?;
    *request.body_mut() = Body::empty();
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let mut response = Http2::new(address.to_owned()).send(request).await?;
    if !response.status().is_success() {
        return Err(CheckError::Refused(response.status()));
    }
    Ok(hyper::upgrade::on(&mut response).await.map_err(ClientError::Request)?)
}
