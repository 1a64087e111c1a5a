//! One service of the bookshop: listeners, and a drain that loses no request.
//!
//! A listener speaks one of three protocols; HTTP ones take HTTP/1.1, HTTP/2 with prior knowledge and gRPC on the same
//! port. After SIGTERM nothing is accepted, what is under way is finished, and the process exits with 0.

mod app;
mod faults;
mod grpc;
mod http;
mod page;
mod tcp;
mod upgrade;
mod upstream;
mod utility;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderValue;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::tasks::{Group, Tasks};
use crate::{limits, output, units};
use app::App;
use faults::Faults;
use upstream::{Call, Upstream};

/// Arguments of `serve`. Each can come from the environment, so that a mesh file can set it per workload.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service to play: shop, catalog, reviews, ratings, pricing, stock, orders, or any other name
    name: String,
    /// Where to listen: http://HOST:PORT, tcp://HOST:PORT (the stock protocol) or echo://HOST:PORT (raw bytes);
    /// without a host on every address; repeatable [default: http://:9080, for ratings and pricing http://:9090, for stock tcp://:7000]
    #[arg(long, value_name = "URL", env = "SAMPLE_LISTEN", value_delimiter = ',')]
    listen: Vec<Listen>,
    /// The version that this process claims to be
    #[arg(long, env = "SAMPLE_VERSION", default_value = "v1")]
    version: HeaderValue,
    /// A service to call for each request: [NAME=]URL with http, h2c, grpc or tcp; {id} becomes the book; repeatable
    #[arg(long = "call", value_name = "[NAME=]URL", env = "SAMPLE_CALLS", value_delimiter = ',')]
    calls: Vec<Call>,
    /// How long to wait for a service that was called
    #[arg(long, value_name = "DURATION", env = "SAMPLE_CALL_TIMEOUT", default_value = "10s", value_parser = units::duration)]
    call_timeout: Duration,
    /// Wait this long before each answer
    #[arg(long, value_name = "DURATION", env = "SAMPLE_LATENCY", default_value = "0", value_parser = units::duration)]
    latency: Duration,
    /// Wait up to this much longer, at random
    #[arg(long, value_name = "DURATION", env = "SAMPLE_JITTER", default_value = "0", value_parser = units::duration)]
    jitter: Duration,
    /// Share of requests that fail on purpose, 0 to 1
    #[arg(long, value_name = "SHARE", env = "SAMPLE_ERROR_RATE", default_value = "0", value_parser = units::probability)]
    error_rate: f64,
    /// The HTTP status of such a failure; over gRPC it is UNAVAILABLE
    #[arg(long, value_name = "STATUS", env = "SAMPLE_ERROR_STATUS", default_value = "503", value_parser = clap::value_parser!(u16).range(400..600))]
    error_status: u16,
    /// Seed of jitter and failures
    #[arg(long, env = "SAMPLE_SEED", default_value_t = 1)]
    seed: u64,
    /// Close an HTTP/1.1 connection that has been idle this long
    #[arg(long, value_name = "DURATION", env = "SAMPLE_IDLE_TIMEOUT", default_value = "75s", value_parser = units::duration)]
    idle_timeout: Duration,
    /// How long to finish requests after SIGTERM
    #[arg(long, value_name = "DURATION", env = "SAMPLE_DRAIN", default_value = "10s", value_parser = units::duration)]
    drain: Duration,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Stock,
    Echo,
}

/// A parsed `--listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listen {
    protocol: Protocol,
    /// `HOST:PORT`; an empty host is every address.
    address: String,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (protocol, address) = match text.split_once("://") {
            Some(("http", address)) => (Protocol::Http, address),
            Some(("tcp", address)) => (Protocol::Stock, address),
            Some(("echo", address)) => (Protocol::Echo, address),
            _ => return Err("write http://HOST:PORT, tcp://HOST:PORT or echo://HOST:PORT".to_owned()),
        };
        match address.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(_)) => Ok(Self { protocol, address: address.to_owned() }),
            _ => Err("the address needs a port, such as :9080 or 127.0.0.1:0".to_owned()),
        }
    }
}

/// Connections that may wait to be accepted: what the kernel allows by default.
const BACKLOG: i32 = 4096;

impl Listen {
    fn default_of(service: &str) -> Self {
        let (protocol, address) = match service {
            "stock" => (Protocol::Stock, ":7000"),
            "ratings" | "pricing" => (Protocol::Http, ":9090"),
            _ => (Protocol::Http, ":9080"),
        };
        Self { protocol, address: address.to_owned() }
    }

    async fn bind(&self) -> Result<TcpListener, ServeError> {
        let bound = if self.address.starts_with(':') {
            match TcpListener::bind(format!("[::]{}", self.address)).await {
                Ok(listener) => Ok(listener),
                // A machine without IPv6.
                Err(_no_ipv6) => TcpListener::bind(format!("0.0.0.0{}", self.address)).await,
            }
        } else {
            TcpListener::bind(&self.address).await
        };
        // A proxy in front may open more connections at once than wait in a queue of the usual length.
        let listening = bound.and_then(|listener| {
            rustix::net::listen(&listener, BACKLOG)?;
            Ok(listener)
        });
        listening.map_err(|source| ServeError::Bind { address: self.address.clone(), source })
    }

    fn scheme(&self) -> &'static str {
        match self.protocol {
            Protocol::Http => "http",
            Protocol::Stock => "tcp",
            Protocol::Echo => "echo",
        }
    }
}

/// Why a service didn't start.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("cannot listen on {address}")]
    Bind { address: String, source: io::Error },
}

/// Serves until SIGTERM or SIGINT, then drains.
pub(crate) use utility::headers as headers_as_json;

pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut listens = args.listen;
    if listens.is_empty() {
        listens.push(Listen::default_of(&args.name));
    }
    let mut stop = output::Interrupt::new()?;
    let group = Group::new();
    let faults = Faults::new(args.latency, args.jitter, args.error_rate, args.error_status, args.seed);
    let upstreams = args.calls.into_iter().map(|call| Upstream::new(call, args.call_timeout)).collect();
    let app =
        Arc::new(App::new(args.name, args.version, upstreams, faults, args.idle_timeout, group.tasks()));

    for listen in listens {
        let listener = listen.bind().await?;
        let address = listener.local_addr()?;
        output::line(&format!("{} {} listens on {}://{address}", app.name, app.version(), listen.scheme()))?;
        group.tasks().spawn(accept(listener, listen.protocol, Arc::clone(&app)));
    }
    stop.wait().await;
    drop(app);
    if !group.drain(args.drain).await {
        output::note(&format!("gave up on requests that were still open after {:?}", args.drain));
    }
    Ok(ExitCode::SUCCESS)
}

/// Accepts until told to stop; each connection becomes a task.
async fn accept(listener: TcpListener, protocol: Protocol, app: Arc<App>) {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
    let tasks: Tasks = app.tasks.clone();
    loop {
        let accepted = tokio::select! {
            () = tasks.stopping() => return,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
        };
        match accepted {
            (Ok(place), Ok((stream, peer))) => {
                let app = Arc::clone(&app);
                tasks.spawn(async move {
                    connection(stream, peer, protocol, app).await;
                    drop(place);
                });
            }
            (_, Err(error)) => {
                output::note(&format!("cannot accept: {error}"));
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
            (Err(_closed), _) => return,
        }
    }
}

/// Serves one connection. How a client leaves is its own affair, so errors end here.
async fn connection(stream: TcpStream, peer: SocketAddr, protocol: Protocol, app: Arc<App>) {
    // Only costs latency when it fails.
    let _ = stream.set_nodelay(true);
    match protocol {
        Protocol::Http => Box::pin(http::connection(stream, peer, app)).await,
        Protocol::Stock => drop(tcp::stock(stream, &app).await),
        Protocol::Echo => drop(tcp::echo(stream, &app.tasks).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listens() {
        for (text, expected) in [
            ("http://:9080", Some((Protocol::Http, ":9080"))),
            ("tcp://127.0.0.1:0", Some((Protocol::Stock, "127.0.0.1:0"))),
            ("echo://[::1]:7", Some((Protocol::Echo, "[::1]:7"))),
            ("9080", None),
            ("http://127.0.0.1", None),
            ("grpc://:1", None),
        ] {
            let parsed = text.parse::<Listen>().ok();
            assert_eq!(
                parsed.as_ref().map(|listen| (listen.protocol, listen.address.as_str())),
                expected,
                "{text}"
            );
        }
    }
}
