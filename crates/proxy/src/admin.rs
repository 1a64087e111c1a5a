//! The admin interface: a Unix socket that only the operator reaches. It shows and never changes configuration. Metrics
//! and readiness are also served on a TCP port where the proxy was given one.

use std::io;
use std::net::TcpListener as StdTcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::StatusCode;
use leno_http::exchange::{Exchange, Frame, Incoming, Reply};
use leno_http::head::{Framing, ResponseHead};
use leno_http::io::Io;
use leno_http::server::{Config, Connection, Protocol};
use leno_identity::Svid;
use leno_model::request::RequestView;
use leno_runtime::task::{self, Task};
use leno_runtime::time::timeout;
use leno_telemetry::Registry;
use leno_telemetry::access::Timestamp;
use leno_telemetry::exposition::Format;
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use crate::core::{Core, Shared};
use crate::explain::{self, Question};
use crate::limits::{ACCEPT_PAUSE, ADMIN_BODY_BYTES, ADMIN_CONNECTIONS, ADMIN_TIME};
use crate::local::Local;
use crate::sockets::Address;
use crate::view::HostTables;

#[cfg(test)]
mod tests;

/// Where the interface is served, which decides how much of it.
#[derive(Debug)]
pub enum Door {
    /// A Unix socket: whoever may open it is the operator.
    Operator(StdUnixListener),
    /// A TCP port for what scrapes metrics and checks readiness: nothing else is told there.
    Metrics(StdTcpListener),
}

impl Door {
    /// Where it is; `None` for a socket without a name.
    pub(crate) fn address(&self) -> Option<Address> {
        match self {
            Self::Operator(listener) => Address::unix(listener),
            Self::Metrics(listener) => Address::tcp(listener),
        }
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Operator(listener) => listener.as_fd(),
            Self::Metrics(listener) => listener.as_fd(),
        }
    }
}

/// Serves the admin interface for as long as the task is kept.
pub(crate) fn serve(shared: Arc<Shared>, local: Arc<Local>, door: Door) -> io::Result<Task<()>> {
    let (listener, is_operator) = match door {
        Door::Operator(listener) => (Listening::unix(listener)?, true),
        Door::Metrics(listener) => (Listening::tcp(listener)?, false),
    };
    let places = Rc::new(Semaphore::new(ADMIN_CONNECTIONS));
    let core = Core::new(shared, fastrand::u64(..));
    Ok(task::spawn_local("admin", async move {
        loop {
            let Ok(stream) = listener.accept().await else {
                leno_runtime::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (core, local, places) = (Rc::clone(&core), Arc::clone(&local), Rc::clone(&places));
            task::spawn_local("admin", async move {
                let Ok(_place) = places.try_acquire() else { return };
                connection(stream, async |exchange| answer(&core, &local, is_operator, exchange).await).await;
            })
            .detach();
        }
    }))
}

/// Answers what comes on a connection.
async fn connection(stream: Box<dyn Io>, answer: impl AsyncFn(Exchange)) {
    let mut connection = Connection::new(Protocol::Http1, stream, Rc::new(Config::default()));
    while let Some(exchange) = connection.accept().await {
        if timeout(ADMIN_TIME, answer(exchange)).await.is_err() {
            return;
        }
    }
}

enum Listening {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listening {
    fn unix(listener: StdUnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener).map(Self::Unix)
    }

    fn tcp(listener: StdTcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self::Tcp)
    }

    async fn accept(&self) -> io::Result<Box<dyn Io>> {
        Ok(match self {
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
            Self::Tcp(listener) => {
                let (stream, _peer) = listener.accept().await?;
                // An answer of several pieces doesn't wait for acknowledgements of the first.
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    }
}

async fn answer(core: &Rc<Core>, local: &Arc<Local>, is_operator: bool, exchange: Exchange) {
    let Exchange { head, mut body, reply } = exchange;
    let shared = &core.shared;
    let (status, kind, body) = match (head.method(), head.path()) {
        ("GET", "/stats/prometheus" | "/metrics") => {
            let accept = head.fields().joined("accept").unwrap_or_default();
            let format = Format::accepted(&String::from_utf8_lossy(&accept));
            return metrics(&shared.registry, format, reply).await;
        }
        ("GET", "/healthz/ready") => ready(shared, local),
        _ if !is_operator => {
            (StatusCode::NOT_FOUND, TEXT, "there are /stats/prometheus and /healthz/ready\n".to_owned())
        }
        ("GET", "/status") => (StatusCode::OK, JSON, status(shared, local)),
        ("GET", "/config") => (StatusCode::OK, JSON, config(shared, local)),
        ("POST", "/explain") => explained(core, local, &mut body).await,
        ("GET", _) => {
            let paths = "there are /stats/prometheus, /healthz/ready, /status, /config and POST /explain\n";
            (StatusCode::NOT_FOUND, TEXT, paths.to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET, and POST /explain\n".to_owned()),
    };
    reply.whole(response(status, kind), Bytes::from(body));
}

fn response(status: StatusCode, kind: &str) -> ResponseHead {
    let mut head = ResponseHead::new(status);
    let _managed = head.fields_mut().set("content-type", kind.as_bytes());
    head
}

/// Sends all metrics, and holds few of them at a time: there are as many series as the proxy has peers and outcomes.
async fn metrics(registry: &Registry, format: Format, reply: Reply) {
    let mut head = response(StatusCode::OK, format.content_type());
    head.set_framing(Framing::Stream);
    let mut outgoing = reply.head(head);
    for piece in registry.pieces(format) {
        // Whoever is gone needs no answer.
        if outgoing.ready().await.is_err() || outgoing.data(Bytes::from(piece)).is_err() {
            return;
        }
    }
    outgoing.finish();
}

/// The answer to an explain question in a body.
async fn explained(
    core: &Rc<Core>,
    local: &Arc<Local>,
    body: &mut Incoming,
) -> (StatusCode, &'static str, String) {
    let mut text = Vec::new();
    loop {
        match body.frame().await {
            Frame::Data(data) if text.len() + data.len() <= ADMIN_BODY_BYTES => text.extend_from_slice(&data),
            Frame::Data(_) => {
                return (StatusCode::PAYLOAD_TOO_LARGE, TEXT, "the question is too long\n".to_owned());
            }
            Frame::Trailers(_) => {}
            Frame::End => break,
            Frame::Abort(_) => {
                return (StatusCode::BAD_REQUEST, TEXT, "the question was cut short\n".to_owned());
            }
        }
    }
    let question: Question = match serde_json::from_slice(&text) {
        Ok(question) => question,
        Err(error) => return (StatusCode::BAD_REQUEST, TEXT, format!("not a question: {error}\n")),
    };
    match explain::explain(core, local, &question).await.map(|answer| serde_json::to_string_pretty(&answer)) {
        Ok(Ok(answer)) => (StatusCode::OK, JSON, answer),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        Err(invalid) => (StatusCode::BAD_REQUEST, TEXT, format!("{invalid}\n")),
    }
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

fn ready(shared: &Shared, local: &Local) -> (StatusCode, &'static str, String) {
    if shared.lifecycle.drain().is_begun() {
        return (StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".to_owned());
    }
    let mut missing = shared.lifecycle.readiness().missing();
    if missing.is_empty() && local.identities.usable(local.wall()).is_err() {
        missing.push("a valid certificate");
    }
    if missing.is_empty() {
        (StatusCode::OK, TEXT, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("waiting for {}\n", missing.join(", ")))
    }
}

/// Who this is and how far it has come, in a few words.
fn status(shared: &Shared, local: &Local) -> String {
    let identity = local.identities.current();
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map(|since| since.as_secs()).ok();
    let document = json!({
        "workload": local.name.to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "snapshot": shared.view.load().snapshot,
        "identity": identity.as_ref().map(|current| current.id().as_str()),
        "notBefore": identity.as_ref().and_then(|current| seconds(current.svid().not_before())),
        "notAfter": identity.as_ref().and_then(|current| seconds(current.svid().not_after())),
    });
    format!("{document:#}\n")
}

/// When a certificate ends.
fn certificate(svid: &Svid, now: SystemTime) -> Value {
    let left = svid.not_after().duration_since(now).unwrap_or_default();
    json!({
        "notAfter": Timestamp(svid.not_after()).to_string(),
        "secondsLeft": left.as_secs(),
        "expired": svid.expired(now),
    })
}

/// For how many seconds an endpoint is left out as an outlier, by the service port on which it did badly.
fn ejected(tables: &HostTables, uid: &str, now: Instant) -> Value {
    let whole = tables.clusters().iter().filter(|cluster| cluster.subset().is_none());
    let left = whole.filter_map(|cluster| {
        let (_, state) = cluster.endpoints().find(|(endpoint, _)| &*endpoint.uid == uid)?;
        Some((cluster.port().to_string(), Value::from(state.ejected(now)?.as_secs().max(1))))
    });
    Value::Object(left.collect())
}

/// What is in effect, without any secret.
fn config(shared: &Shared, local: &Local) -> String {
    let view = shared.view.load();
    let identity = local.identities.current();
    let now = Instant::now();
    let hosts: Vec<_> = view
        .hosts
        .values()
        .map(|tables| {
            json!({
                "host": tables.unit.host.as_str(),
                "vips": tables.unit.vips,
                "ports": tables.unit.ports.iter().map(|port| json!({
                    "port": port.port, "name": &*port.name, "protocol": port.protocol.as_str(),
                })).collect::<Vec<_>>(),
                "endpoints": tables.endpoints.endpoints.iter().map(|endpoint| json!({
                    "uid": &*endpoint.uid, "ip": endpoint.ip, "ready": endpoint.ready,
                    "identity": endpoint.identity.as_ref().map(|id| id.as_str()),
                    "ejected": ejected(tables, &endpoint.uid, now),
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    let document = json!({
        "workload": local.name.to_string(),
        "snapshot": view.snapshot,
        "identity": identity.as_ref().map(|current| current.id().as_str()),
        "certificate": identity.as_ref().map(|current| certificate(current.svid(), local.wall())),
        "hosts": hosts,
        "policies": view.inbound.as_deref().map(|tables| tables.unit.policies.iter().map(|policy| policy.origin.to_string()).collect::<Vec<_>>()),
        "mtls": view.inbound.as_deref().map(|tables| tables.unit.mtls.mode.as_str()),
    });
    format!("{document:#}\n")
}
