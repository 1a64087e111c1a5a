//! The metrics of the whole mesh on one port. Each scrape asks every sidecar, the gateway and the control plane, and
//! puts the answers together; the label `workload` says whose a series is.
//!
//! Invariant: a process that doesn't answer costs its own series and nothing else; `leno_metrics_up` says which.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, TcpListener as StdListener},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HOST, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use leno_runtime::{Task, spawn_blocking, spawn_local};
use leno_telemetry::exposition::{self, Format, Source};
use tokio::{
    net::{TcpListener, TcpStream, UnixStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::Mesh;
use crate::limits::{
    ACCEPT_PAUSE, EXPOSITION_BYTES, EXPOSITION_WAIT, EXPOSITIONS_AT_ONCE, EXPOSITIONS_BYTES, SCRAPER_WAIT,
    SCRAPERS,
};

/// The label that says whose a series is: a replica, `gateway` or `control`.
const LABEL: &str = "workload";

/// Serves metrics for as long as the task is kept.
pub(super) fn serve(mesh: &Rc<Mesh>, listener: StdListener) -> io::Result<Task<()>> {
    listener.set_nonblocking(true)?;
    let is_loopback = listener.local_addr()?.ip().is_loopback();
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(SCRAPERS));
    let mesh = Rc::clone(mesh);
    Ok(spawn_local("metrics", async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let mesh = Rc::clone(&mesh);
            spawn_local("metrics", async move {
                connection(&mesh, stream, is_loopback).await;
                drop(place);
            })
            .detach();
        }
    }))
}

async fn connection(mesh: &Rc<Mesh>, stream: TcpStream, is_loopback: bool) {
    let service =
        service_fn(|request| async move { Ok::<_, Infallible>(answer(mesh, &request, is_loopback).await) });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(SCRAPER_WAIT);
    // A scraper that is gone needs no answer.
    let _ended = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(mesh: &Rc<Mesh>, request: &Request<Incoming>, is_loopback: bool) -> Response<Full<Bytes>> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let (status, text) = match (request.method(), request.uri().path()) {
        _ if is_loopback && !host.is_some_and(is_local) => {
            (StatusCode::FORBIDDEN, "ask by address, or as localhost\n".to_owned())
        }
        (&Method::GET, "/metrics" | "/stats/prometheus") => match collect(mesh).await {
            Some(text) => (StatusCode::OK, text),
            None => (StatusCode::INTERNAL_SERVER_ERROR, "metrics can't be put together\n".to_owned()),
        },
        (&Method::GET, _) => (StatusCode::NOT_FOUND, "there is /metrics\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Format::Text.content_type()));
    response
}

/// Whether a `Host` is one that only this machine's own clients use: a page in a browser whose name was made to point
/// to loopback (DNS rebinding) has another.
fn is_local(host: &str) -> bool {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

/// Asks everybody, and puts the answers together.
async fn collect(mesh: &Mesh) -> Option<String> {
    let places = Rc::new(Semaphore::new(EXPOSITIONS_AT_ONCE));
    let asked: Vec<(String, Task<Option<String>>)> = sources(mesh)
        .into_iter()
        .map(|(name, socket)| {
            let places = Rc::clone(&places);
            let asking = async move {
                let _place = places.acquire().await.ok()?;
                timeout(EXPOSITION_WAIT, fetch(socket)).await.ok().flatten()
            };
            (name, spawn_local("metrics", asking))
        })
        .collect();
    let mut answers = Vec::new();
    let mut left = EXPOSITIONS_BYTES;
    for (name, asking) in asked {
        let text = asking.await.ok().flatten().filter(|text| text.len() <= left);
        left -= text.as_ref().map_or(0, String::len);
        answers.push((name, text));
    }
    spawn_blocking("metrics", move || merge(&answers)).await.ok()
}

/// Who has metrics, and where they are asked.
fn sources(mesh: &Mesh) -> Vec<(String, PathBuf)> {
    let programs = mesh.programs.iter().map(|program| program.name().to_owned());
    let programs = programs.map(|name| (name.clone(), mesh.context.admin(&name)));
    let members = mesh.context.members();
    let members = members.iter().map(|member| (member.replica.name.clone(), member.replica.admin.clone()));
    programs.chain(members).collect()
}

/// What one process shows.
async fn fetch(socket: PathBuf) -> Option<String> {
    let stream = UnixStream::connect(socket).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::get("/stats/prometheus").header(HOST, "admin").body(Empty::<Bytes>::new()).ok()?;
    let asking = async move {
        let response = sender.send_request(request).await.ok()?;
        let is_ok = response.status() == StatusCode::OK;
        let body = Limited::new(response.into_body(), EXPOSITION_BYTES).collect().await.ok()?;
        is_ok.then(|| String::from_utf8(body.to_bytes().into()).ok()).flatten()
    };
    // The connection ends with the sender.
    let (text, _ended) = tokio::join!(asking, connection);
    text
}

fn merge(answers: &[(String, Option<String>)]) -> String {
    let up = |is_up: bool| {
        format!(
            "# HELP leno_metrics_up Whether the process answered this scrape in time.\n\
             # TYPE leno_metrics_up gauge\nleno_metrics_up {}\n",
            u8::from(is_up)
        )
    };
    let ups: Vec<String> = answers.iter().map(|(_, text)| up(text.is_some())).collect();
    let mut sources = Vec::new();
    for ((name, text), up) in answers.iter().zip(&ups) {
        sources.push(Source { name, text: up });
        sources.extend(text.as_deref().map(|text| Source { name, text }));
    }
    let mut out = Vec::new();
    // Writing to memory doesn't fail; strays are lines of no family, which no registry of ours writes.
    let _strays = exposition::merge(LABEL, &sources, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_names_are_asked_by() {
        for yes in ["127.0.0.1:15020", "127.0.0.1", "localhost:15020", "LOCALHOST", "[::1]:15020", "10.1.2.3"]
        {
            assert!(is_local(yes), "{yes}");
        }
        for no in ["", "example.com", "example.com:15020", "localhost.example.com", "127.0.0.1.nip.io:80"] {
            assert!(!is_local(no), "{no}");
        }
    }

    #[test]
    fn series_name_their_process_and_silence_is_told() {
        let text = "# HELP a_total A.\n# TYPE a_total counter\na_total{b=\"c\"} 1\n";
        let answers = [("web".to_owned(), Some(text.to_owned())), ("db".to_owned(), None)];
        let merged = merge(&answers);
        assert!(merged.contains("a_total{workload=\"web\",b=\"c\"} 1\n"), "{merged}");
        assert!(merged.contains("leno_metrics_up{workload=\"web\"} 1\n"), "{merged}");
        assert!(merged.contains("leno_metrics_up{workload=\"db\"} 0\n"), "{merged}");
        assert_eq!(merged.matches("# TYPE leno_metrics_up gauge\n").count(), 1, "{merged}");
    }
}
