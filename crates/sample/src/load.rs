//! `load URL`: an open-loop load generator for HTTP/1.1, HTTP/2 and gRPC, and a closed-loop mode.
//!
//! Invariant: nothing that the server does shifts the schedule, and no request that was due is left out of the latencies.
//! One thread does everything; the report says when that wasn't enough.

mod histogram;
mod http1;
mod http2;
mod pace;
mod report;
mod tally;
mod template;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use http::{HeaderName, Method};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpStream;

use crate::call::To;
use crate::output::{self, Format};
use crate::target::Target;
use crate::{client, limits, units};
use pace::{Pacer, Plan, Spread};
use report::{Report, Run};
use tally::{Answer, Failure, Kind, Tally};

/// Arguments of `load`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// http://, h2c:// (HTTP/2 with prior knowledge), or grpc://HOST:PORT/Pricing/Quote?book=3;
    /// with /Pricing/Haggle each request is a bidirectional stream
    url: Target,
    /// Requests per second, sent when they are due whatever the server does
    #[arg(long, value_parser = rate, required_unless_present = "closed")]
    rate: Option<f64>,
    /// Each worker sends its next request when it has the answer to the last
    #[arg(long, conflicts_with = "rate")]
    closed: bool,
    /// How long to send [default: 10s, or without end if --requests is given]
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    duration: Option<Duration>,
    /// Send at most so many requests
    #[arg(long)]
    requests: Option<u64>,
    /// Connections, all opened before the start
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Concurrent requests per HTTP/2 connection [default: 32, with --closed 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    streams: Option<u16>,
    /// How the open loop spreads its requests
    #[arg(long, value_enum, default_value = "constant")]
    spread: Spread,
    /// Seed of random arrivals
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Method of an HTTP request [default: GET, or POST with a body]
    #[arg(long, short = 'X')]
    method: Option<Method>,
    /// Body of an HTTP request
    #[arg(long, short = 'd', default_value = "", conflicts_with = "body_size")]
    body: String,
    /// A body of so many zeros instead; for Haggle the note in each offer, which comes back
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=16 << 20))]
    body_size: u32,
    /// Offers that each stream of Haggle sends
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// Offers of a stream that may be unanswered at a time: 1 waits for each answer
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    window: u16,
    #[command(flatten)]
    to: To,
    /// Answer header by which versions are counted
    #[arg(long, default_value = "x-version")]
    version_header: HeaderName,
    /// How to print the report
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(rate),
        _ => Err(format!("{text:?} is no rate between 0.001 and 1000000 per second")),
    }
}

/// A worker's share of a connection.
enum Connection {
    Http1(Box<http1::Connection>),
    Http2(http2::Connection),
}

impl Connection {
    async fn prepare(&mut self) -> Result<bool, Failure> {
        match self {
            Self::Http1(connection) => connection.prepare().await,
            Self::Http2(connection) => connection.prepare().await,
        }
    }

    /// One request on an open connection; the number of repetitions. `begun` becomes true with the answer's head.
    async fn exchange(&mut self, begun: &Cell<bool>) -> (Result<Answer, Failure>, u64) {
        match self {
            Self::Http1(connection) => (connection.exchange(begun).await, 0),
            Self::Http2(connection) => connection.exchange(begun).await,
        }
    }
}

/// Runs the load and prints the report. 0 when every request was answered well.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut interrupt = output::Interrupt::new()?;
    let mut workers = template::connections(&args)?;
    // Connections are opened first, so that the schedule doesn't begin with handshakes. Who fails here tries again
    // with its first request, which then counts as failed.
    let open = |worker| Box::pin(tokio::time::timeout(args.to.timeout, Connection::prepare(worker)));
    let opened = join_all(workers.iter_mut().map(open)).await;
    let plan = Plan {
        rate: args.rate,
        spread: args.spread,
        seed: args.seed,
        duration: args.duration.or_else(|| args.requests.is_none().then_some(Duration::from_secs(10))),
        requests: args.requests,
    };
    let (started_unix, cpu) = (SystemTime::now().duration_since(UNIX_EPOCH)?, cpu_time());
    let pacer = Pacer::start(plan)?;
    let tally = RefCell::new(Tally::new(pacer.started()));
    tally.borrow_mut().connections =
        opened.iter().filter(|opened| matches!(opened, Ok(Ok(true)))).count() as u64;
    let count = workers.len();
    let work = join_all(workers.into_iter().map(|worker| work(worker, &pacer, &tally, &args)));
    let (outcomes, interrupted) = with_interrupt(Box::pin(work), &mut interrupt, &pacer).await;
    let took = tally.borrow().elapsed();
    outcomes.into_iter().collect::<Result<(), _>>()?;
    let end = Instant::now();
    pacer.unsent(|due| tally.borrow_mut().miss(due, end)).await;
    let run = Run {
        url: args.url.to_string(),
        address: args.to.address(&args.url),
        rate: args.rate,
        seed: args.seed,
        workers: count,
        started_unix_ms: started_unix.as_millis(),
        took,
        cpu: cpu_time().saturating_sub(cpu),
        interrupted,
    };
    let report = Report::new(run, tally.into_inner());
    match args.output {
        Format::Json => output::line(&serde_json::to_string_pretty(&report)?)?,
        Format::Text => output::bytes(report.text().as_bytes())?,
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits for the work; after an interrupt, for the requests under way.
async fn with_interrupt<T>(
    work: impl Future<Output = T> + Unpin,
    interrupt: &mut output::Interrupt,
    pacer: &Pacer,
) -> (T, bool) {
    let mut work = work;
    tokio::select! {
        done = &mut work => return (done, false),
        () = interrupt.wait() => pacer.stop(),
    }
    (work.await, true)
}

/// One worker: takes turns until the run is over.
async fn work(
    mut connection: Connection,
    pacer: &Pacer,
    tally: &RefCell<Tally>,
    args: &Args,
) -> std::io::Result<()> {
    let timeout = args.to.timeout;
    while let Some(turn) = pacer.turn().await? {
        let sent = Instant::now();
        let (mut repeated, begun) = (0, Cell::new(false));
        let exchange = async {
            if connection.prepare().await? {
                tally.borrow_mut().connections += 1;
            }
            let (outcome, repetitions) = connection.exchange(&begun).await;
            repeated = repetitions;
            outcome
        };
        let outcome = match tokio::time::timeout(timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_late) if begun.get() => {
                Err(Failure::new(Kind::Cut, format!("no end of the answer within {timeout:?}")))
            }
            Err(_late) => Err(Failure::new(Kind::Timeout, format!("no answer within {timeout:?}"))),
        };
        let is_down = outcome.as_ref().is_err_and(|failure| failure.kind == Kind::Connect);
        {
            let mut tally = tally.borrow_mut();
            tally.repeated += repeated;
            tally.record(turn, sent, Instant::now(), outcome);
        }
        if is_down && args.closed {
            tokio::time::sleep(limits::REDIAL_PAUSE).await;
        }
    }
    Ok(())
}

/// Opens a TCP connection, or says in one line why it can't.
async fn dial(address: &str) -> Result<TcpStream, Failure> {
    client::dial(address).await.map_err(|error| Failure::new(Kind::Connect, output::in_full(&error)))
}

/// Processor time of this process so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}
