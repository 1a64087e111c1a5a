//! Paths that every HTTP service has, for tests and experiments: echo, mirror, status, delay, bytes and an event stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tonic::body::Body;

use super::app::{App, Caller};
use super::http::{error, json as answer};
use crate::{limits, units};

/// Says what arrived: method, path, headers, and length and SHA-256 of the body. The body isn't held.
pub(crate) async fn echo(app: &App, caller: &Caller, request: Request<Incoming>) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let (mut length, mut hash, mut trailers) = (0_u64, Sha256::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(failed) => return error(StatusCode::BAD_REQUEST, &format!("the body broke off: {failed}")),
        };
        match frame.into_data() {
            Ok(data) => {
                length += data.len() as u64;
                hash.update(&data);
            }
            Err(other) => trailers.extend(other.into_trailers().unwrap_or_default()),
        }
    }
    let hop = app.hop(&format!("{:?}", head.version), Some(caller), &head.headers);
    answer(
        StatusCode::OK,
        &json!({
            "service": app.name,
            "version": app.version(),
            "method": head.method.as_str(),
            "path": head.uri.path_and_query().map_or("/", |path| path.as_str()),
            "authority": head.uri.authority().map(ToString::to_string),
            "protocol": format!("{:?}", head.version),
            "headers": headers(&head.headers),
            "body": {"length": length, "sha256": hex(&hash.finalize())},
            "trailers": headers(&trailers),
            "trail": [hop],
        }),
    )
}

/// Header lines as JSON: a text per name, or a list where a name occurs more than once.
pub(crate) fn headers(all: &HeaderMap) -> Value {
    let mut fields = Map::new();
    for name in all.keys() {
        let mut values: Vec<Value> =
            all.get_all(name).iter().map(|value| json!(String::from_utf8_lossy(value.as_bytes()))).collect();
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        fields.insert(name.as_str().to_owned(), value);
    }
    Value::Object(fields)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends the body back as it comes, trailers included.
pub(crate) fn mirror(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(Body::new(body));
    for name in [header::CONTENT_TYPE, header::TRAILER] {
        if let Some(value) = head.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// Answers with the status asked for.
pub(crate) fn status(code: &str) -> Response<Body> {
    match code.parse().ok().filter(|code| *code >= 200).and_then(|code| StatusCode::from_u16(code).ok()) {
        Some(status) => answer(status, &json!({"status": status.as_u16()})),
        None => error(StatusCode::BAD_REQUEST, "a final status has a number from 200 to 999"),
    }
}

/// Answers after so many milliseconds.
pub(crate) async fn delay(millis: &str) -> Response<Body> {
    match millis.parse().map(Duration::from_millis) {
        Ok(wait) if wait <= limits::DELAY => {
            tokio::time::sleep(wait).await;
            answer(StatusCode::OK, &json!({"delayed_ms": millis}))
        }
        _ => error(StatusCode::BAD_REQUEST, "write /delay/MILLISECONDS, at most 600000"),
    }
}

/// Answers with so many bytes of a fixed pattern.
pub(crate) fn bytes(count: &str) -> Response<Body> {
    match count.parse() {
        Ok(left) if left <= limits::GENERATED_BYTES => {
            let mut response = Response::new(Body::new(Pattern { left }));
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        _ => error(StatusCode::BAD_REQUEST, "write /bytes/COUNT, at most 1099511627776"),
    }
}

/// The alphabet over and over, in one piece that every answer shares. The piece's length isn't a multiple of 26, so that
/// a lost or doubled piece shows.
static PATTERN: [u8; limits::CHUNK_BYTES] = pattern();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, which would refuse both"
)]
const fn pattern() -> [u8; limits::CHUNK_BYTES] {
    let mut bytes = [0; limits::CHUNK_BYTES];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = b'a' + (at % 26) as u8;
        at += 1;
    }
    bytes
}

/// A body of known length that allocates nothing.
struct Pattern {
    left: u64,
}

impl HttpBody for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(limits::CHUNK_BYTES);
        if length == 0 {
            return Poll::Ready(None);
        }
        self.left -= length as u64;
        let piece = Bytes::from_static(PATTERN.get(..length).unwrap_or_default());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Server-sent events: `?count=N` of them, `?interval=DURATION` apart. With 0 they go on until the client leaves or the
/// process stops.
pub(crate) fn stream(app: &App, uri: &Uri) -> Response<Body> {
    let count: u64 = match query(uri, "count").unwrap_or("10").parse() {
        Ok(count) => count,
        Err(_no_number) => return error(StatusCode::BAD_REQUEST, "count is a number; 0 goes on"),
    };
    let interval = match units::duration(query(uri, "interval").unwrap_or("100ms")) {
        Ok(interval) if interval <= limits::DELAY => interval,
        Ok(_) => return error(StatusCode::BAD_REQUEST, "the interval is at most 600s"),
        Err(wrong) => return error(StatusCode::BAD_REQUEST, &wrong.to_string()),
    };
    let (service, version, tasks) = (app.name.clone(), app.version().to_owned(), app.tasks.clone());
    let events = futures_util::stream::unfold(1_u64, move |next| {
        let data = json!({"n": next, "service": service, "version": version});
        let tasks = tasks.clone();
        async move {
            if count != 0 && next > count {
                return None;
            }
            if next > 1 {
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = tasks.stopping(), if count == 0 => return None,
                }
            }
            let event = format!("id: {next}\nevent: tick\ndata: {data}\n\n");
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(event))), next + 1))
        }
    });
    let mut response = Response::new(Body::new(StreamBody::new(events)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn query<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn the_pattern_has_the_length_asked_for() {
        for left in [0, 1, 26, 65_536, 65_537, 200_000] {
            let collected = Pattern { left }.collect().await.unwrap().to_bytes();
            assert_eq!(collected.len() as u64, left);
            assert!(
                collected.iter().enumerate().all(|(at, byte)| usize::from(byte - b'a') == at % 65_536 % 26)
            );
        }
    }

    #[test]
    fn wrong_numbers_are_refused() {
        for response in [status("99"), status("1000"), status("x"), bytes("-1"), bytes("1099511627777")] {
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        }
        assert_eq!(status("418").status(), StatusCode::IM_A_TEAPOT);
    }
}
