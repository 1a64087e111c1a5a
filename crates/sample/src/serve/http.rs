//! HTTP requests from the first byte to the answer: `/healthz`, the utility paths, gRPC, and the service's own page.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tonic::body::Body;

use super::app::{App, Caller};
use super::{grpc, page, upgrade, utility};
use crate::books;
use crate::client::Executor;
use crate::limits;

/// The version of the service that answered.
pub(crate) const X_VERSION: HeaderName = HeaderName::from_static("x-version");
const X_SERVICE: HeaderName = HeaderName::from_static("x-service");

/// The book that a service speaks about when the request names none.
const FRONT_BOOK: u32 = 1;

/// Serves one connection; when the process stops, its requests are finished first.
pub(crate) async fn connection(stream: TcpStream, peer: SocketAddr, app: Arc<App>) {
    let mut builder = auto::Builder::new(Executor);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(app.idle_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS)
        .max_header_list_size(limits::HEADER_LIST_BYTES)
        .enable_connect_protocol();
    let tasks = app.tasks.clone();
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(answer(app, peer, request).await) }
    });
    let mut served = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    // How a client leaves is its own affair.
    tokio::select! {
        _ = served.as_mut() => return,
        () = tasks.stopping() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

/// Answers any request and marks the answer with service and version.
async fn answer(app: Arc<App>, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let (service, version) = (HeaderValue::from_str(&app.name), app.version.clone());
    let mut response = Box::pin(dispatch(app, peer, request)).await;
    if let Ok(service) = service {
        response.headers_mut().insert(X_SERVICE, service);
    }
    response.headers_mut().insert(X_VERSION, version);
    response
}

async fn dispatch(app: Arc<App>, peer: SocketAddr, mut request: Request<Incoming>) -> Response<Body> {
    if request.uri().path() == "/healthz" {
        let health = json!({
            "status": "ok",
            "service": app.name,
            "version": app.version(),
            "requests": app.arrived(),
        });
        return json(StatusCode::OK, &health);
    }
    app.arrives();
    let is_grpc = grpc::speaks(request.headers());
    if let Some(status) = app.faults.strike().await {
        return if is_grpc { grpc::fault() } else { error(status, "failed on purpose") };
    }
    let caller = Caller { peer, authority: request.uri().authority().cloned() };
    if is_grpc {
        request.extensions_mut().insert(caller);
        return grpc::serve(app, request).await;
    }
    let path = request.uri().path().to_owned();
    let mut segments = path.trim_start_matches('/').splitn(3, '/');
    match (segments.next().unwrap_or_default(), segments.next(), segments.next()) {
        ("echo", ..) => utility::echo(&app, &caller, request).await,
        ("mirror", None, _) => utility::mirror(request),
        ("status", Some(code), None) => utility::status(code),
        ("delay", Some(millis), None) => utility::delay(millis).await,
        ("bytes", Some(count), None) => utility::bytes(count),
        ("stream", None, _) => utility::stream(&app, request.uri()),
        ("ws", None, _) => upgrade::websocket(&app, request),
        ("", None, _) => book(&app, &caller, &request, FRONT_BOOK).await,
        (collection, Some(id), None) if collection == app.collection() => match id.parse() {
            Ok(id) => book(&app, &caller, &request, id).await,
            Err(_no_number) => error(StatusCode::NOT_FOUND, "books have numbers"),
        },
        _ => json(
            StatusCode::NOT_FOUND,
            &json!({"error": "no such page", "path": path, "host": host(&request)}),
        ),
    }
}

/// The host as the client named it.
fn host(request: &Request<Incoming>) -> Option<String> {
    let authority = request.uri().authority().map(ToString::to_string);
    let field = || {
        request.headers().get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned())
    };
    authority.or_else(field)
}

/// The service's own business: what it and the services behind it say about a book.
async fn book(app: &App, caller: &Caller, request: &Request<Incoming>, id: u32) -> Response<Body> {
    let places_order = request.method() == Method::POST && app.name == "orders";
    if !places_order && request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refused = error(StatusCode::METHOD_NOT_ALLOWED, "books are only read here");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let Some(book) = books::find(id) else { return error(StatusCode::NOT_FOUND, "no such book") };

    let own = app.hop(&format!("{:?}", request.version()), Some(caller), request.headers());
    let mut answers = app.consult(book, own, request.headers()).await;
    let mut fields: Map<String, Value> = Map::new();
    fields.insert("service".to_owned(), json!(app.name));
    fields.insert("version".to_owned(), json!(app.version()));
    fields.extend(book.as_told_by(&app.name, app.version()));
    if places_order {
        fields.insert("order".to_owned(), json!(app.place()));
    }
    fields.append(&mut answers.values);
    let status = if answers.errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    if !answers.errors.is_empty() {
        fields.insert("errors".to_owned(), json!(answers.errors));
    }
    fields.insert("trail".to_owned(), json!(answers.trail));
    if app.name == "shop" && page::is_wanted(request.headers()) {
        return html(status, page::render(&fields, &answers.trail));
    }
    json(status, &Value::Object(fields))
}

/// A JSON answer, with a line end for terminals.
pub(crate) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    respond(status, "application/json", format!("{value:#}\n"))
}

/// A failure as JSON.
pub(crate) fn error(status: StatusCode, message: &str) -> Response<Body> {
    json(status, &json!({"error": message}))
}

fn html(status: StatusCode, text: String) -> Response<Body> {
    respond(status, "text/html; charset=utf-8", text)
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
