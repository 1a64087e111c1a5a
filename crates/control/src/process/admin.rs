//! The admin interface: a Unix socket that only the operator reaches. It shows metrics and changes nothing.

use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use leno_runtime::task::{self, Task};
use leno_telemetry::Registry;
use leno_telemetry::exposition::Format;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::limits::{ACCEPT_PAUSE, ADMIN_CONNECTIONS, ADMIN_TIMEOUT};

const TEXT: &str = "text/plain; charset=utf-8";

/// Serves the admin interface for as long as the task is kept. What is started with it serves only once the control
/// plane is ready.
pub(super) fn serve(listener: StdListener, metrics: Registry) -> io::Result<Task<()>> {
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
    Ok(task::spawn("control.admin", async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let metrics = metrics.clone();
            task::spawn("control.admin", async move {
                connection(stream, metrics).await;
                drop(place);
            })
            .detach();
        }
    }))
}

async fn connection(stream: UnixStream, metrics: Registry) {
    let service = service_fn(|request| {
        let answer = answer(&request, &metrics);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(ADMIN_TIMEOUT).keep_alive(true);
    // A client that is gone needs no answer.
    let _ended = server.serve_connection(TokioIo::new(stream), service).await;
}

fn answer(request: &Request<Incoming>, metrics: &Registry) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics" | "/stats/prometheus") => {
            let accept =
                request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let format = Format::accepted(accept);
            (StatusCode::OK, format.content_type(), metrics.encode_to_string(format))
        }
        (&Method::GET, "/healthz/ready") => (StatusCode::OK, TEXT, "ready\n".to_owned()),
        (&Method::GET, _) => {
            (StatusCode::NOT_FOUND, TEXT, "there are /metrics and /healthz/ready\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
