//! The WebSocket handshake (RFC 6455 §4.2 over HTTP/1.1, RFC 8441 over HTTP/2), then the echo.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use tonic::body::Body;

use super::app::App;
use super::http::error;
use crate::websocket::{self, Side, WebSocket};

/// Upgrades the connection (or stream) and echoes every message, or says what is wrong with the request.
pub(crate) fn websocket(app: &App, mut request: Request<Incoming>) -> Response<Body> {
    let accepted = if request.version() == Version::HTTP_2 { http2(&request) } else { http1(&request) };
    let response = match accepted {
        Ok(response) => response,
        Err(reason) => {
            let mut refused = error(StatusCode::BAD_REQUEST, reason);
            refused.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return refused;
        }
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let tasks = app.tasks.clone();
    app.tasks.spawn(async move {
        // A client that doesn't go through with it is gone; so is one that leaves without a close frame.
        if let Ok(upgraded) = upgrade.await {
            let socket = WebSocket::new(TokioIo::new(upgraded), Side::Server, &[]);
            let _ = websocket::echo(socket, tasks.stopping()).await;
        }
    });
    response
}

fn http1(request: &Request<Incoming>) -> Result<Response<Body>, &'static str> {
    let headers = request.headers();
    if request.method() != Method::GET
        || !lists(headers, header::UPGRADE, "websocket")
        || !lists(headers, header::CONNECTION, "upgrade")
    {
        return Err("a WebSocket begins with GET, Connection: Upgrade and Upgrade: websocket");
    }
    version(headers)?;
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or("Sec-WebSocket-Key is missing")?;
    let accept = websocket::accept(key.as_bytes()).ok_or("Sec-WebSocket-Key isn't 16 bytes in base64")?;
    let accept =
        HeaderValue::from_str(&accept).map_err(|_impossible| "Sec-WebSocket-Key cannot be answered")?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

fn http2(request: &Request<Incoming>) -> Result<Response<Body>, &'static str> {
    let protocol = request.extensions().get::<Protocol>().map(Protocol::as_str);
    if request.method() != Method::CONNECT || protocol != Some("websocket") {
        return Err("over HTTP/2 a WebSocket begins with CONNECT and :protocol websocket");
    }
    version(request.headers())?;
    Ok(Response::new(Body::empty()))
}

fn version(headers: &HeaderMap) -> Result<(), &'static str> {
    match headers.get(header::SEC_WEBSOCKET_VERSION) {
        Some(version) if version == "13" => Ok(()),
        _ => Err("only Sec-WebSocket-Version 13 is spoken"),
    }
}

/// Whether a comma-separated header lists a token, in any case.
fn lists(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(token))
}
