//! `grpc-check ADDR`: the four kinds of call, a failure and a deadline, with a verdict on each.
//!
//! The streaming checks prove that messages arrive one by one: the bidirectional one sends its next offer only after the
//! answer to the last, and the endless one is cancelled after three messages.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::stream;
use http::{HeaderMap, Uri};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use crate::call::To;
use crate::client::Http2;
use crate::grpc;
use crate::output::{self, Format};
use crate::proto::{BasketLine, BookRequest, Offer, WatchRequest};
use crate::target::{BadTarget, Target};

/// Arguments of `grpc-check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// HOST:PORT, or grpc://HOST:PORT
    #[arg(value_parser = address)]
    address: Target,
    #[command(flatten)]
    to: To,
    /// How to print the verdicts
    #[arg(long, value_enum, default_value = "json")]
    output: Format,
}

fn address(text: &str) -> Result<Target, BadTarget> {
    if text.contains("://") { text.parse() } else { format!("grpc://{text}").parse() }
}

/// What a check found wrong.
type Check = Result<(), Status>;

/// Runs every check; 0 when all are well.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let client = Client {
        http2: Http2::new(args.to.address(&args.address)),
        origin: grpc::origin(&args.address)?,
        headers: args.to.headers(),
        deadline: args.to.timeout,
    };
    let mut kinds = Map::new();
    let mut all_well = true;
    for name in ["unary", "server_streaming", "client_streaming", "bidirectional", "failure", "deadline"] {
        let start = Instant::now();
        let checked = match tokio::time::timeout(client.deadline, Box::pin(client.check(name))).await {
            Ok(checked) => checked,
            Err(_late) => Err(Status::deadline_exceeded(format!("no answer within {:?}", client.deadline))),
        };
        all_well &= checked.is_ok();
        kinds.insert(name.to_owned(), verdict(&checked, start.elapsed()));
    }
    match args.output {
        Format::Json => output::line(&format!("{:#}", json!({"ok": all_well, "checks": kinds})))?,
        Format::Text => {
            for (name, verdict) in &kinds {
                output::line(&match verdict.get("error").and_then(Value::as_str) {
                    Some(error) => format!("{name}: failed: {error}"),
                    None => format!("{name}: ok"),
                })?;
            }
        }
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict(checked: &Check, took: Duration) -> Value {
    let millis = took.as_millis();
    match checked {
        Ok(()) => json!({"ok": true, "millis": millis}),
        Err(status) => json!({
            "ok": false, "millis": millis,
            "grpc_status": i32::from(status.code()),
            "error": format!("{}: {}", status.code(), status.message()),
        }),
    }
}

struct Client {
    http2: Http2,
    origin: Uri,
    headers: HeaderMap,
    deadline: Duration,
}

/// Turns an unexpected answer into a verdict.
fn wrong(what: impl std::fmt::Display) -> Status {
    Status::data_loss(format!("unexpected answer: {what}"))
}

fn ensure(holds: bool, what: &str) -> Check {
    if holds { Ok(()) } else { Err(wrong(what)) }
}

impl Client {
    async fn check(&self, name: &str) -> Check {
        match name {
            "unary" => self.unary().await,
            "server_streaming" => self.server_streaming().await,
            "client_streaming" => self.client_streaming().await,
            "bidirectional" => self.bidirectional().await,
            "failure" => self.failure().await,
            _ => self.expiry().await,
        }
    }

    fn pricing(&self) -> crate::proto::pricing_client::PricingClient<Http2> {
        grpc::pricing(self.http2.clone(), self.origin.clone())
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        grpc::request(message, self.headers.clone(), self.deadline)
    }

    async fn unary(&self) -> Check {
        let price = self.pricing().quote(self.request(BookRequest { book: 1 })).await?.into_inner();
        ensure(price.book == 1 && price.cents == 1890, &format!("{price:?}"))?;
        ensure(!price.trail.is_empty(), "no trail")
    }

    /// An endless stream, left after three messages.
    async fn server_streaming(&self) -> Check {
        let watch = WatchRequest { book: 2, count: 0, interval_ms: 5 };
        let mut prices = self.pricing().watch(self.request(watch)).await?.into_inner();
        for sequence in 1..=3 {
            let price = prices.message().await?.ok_or_else(|| wrong("the stream ended early"))?;
            ensure(price.sequence == sequence, &format!("{price:?}"))?;
        }
        let watch = WatchRequest { book: 2, count: 2, interval_ms: 1 };
        let mut prices = self.pricing().watch(self.request(watch)).await?.into_inner();
        let mut received = 0;
        while prices.message().await?.is_some() {
            received += 1;
        }
        ensure(received == 2, &format!("{received} messages instead of 2"))
    }

    async fn client_streaming(&self) -> Check {
        let lines = (1..=3).map(|book| BasketLine { book, quantity: 100 });
        let basket = self.pricing().total(self.request(stream::iter(lines))).await?.into_inner();
        ensure(basket.lines == 3 && basket.cents == 733_000, &format!("{basket:?}"))
    }

    /// Each offer depends on the answer to the one before.
    async fn bidirectional(&self) -> Check {
        let (offers, queue) = mpsc::channel::<Offer>(1);
        let stream =
            stream::unfold(queue, |mut queue| async move { queue.recv().await.map(|offer| (offer, queue)) });
        let closed = |_closed| wrong("the server hung up");
        offers.send(Offer { book: 3, cents: 100, note: Vec::new() }).await.map_err(closed)?;
        let mut answers = self.pricing().haggle(self.request(stream)).await?.into_inner();
        for _ in 0..10 {
            let answer = answers.message().await?.ok_or_else(|| wrong("the stream ended early"))?;
            if answer.agreed {
                drop(offers);
                return ensure(answers.message().await?.is_none(), "an answer without an offer");
            }
            offers.send(Offer { book: 3, cents: answer.cents, note: Vec::new() }).await.map_err(closed)?;
        }
        Err(wrong("no agreement in ten rounds"))
    }

    async fn failure(&self) -> Check {
        let refused = self.pricing().quote(self.request(BookRequest { book: 99 })).await;
        match refused {
            Err(status) if status.code() == Code::NotFound && status.message() == "no book 99" => Ok(()),
            Err(status) => Err(status),
            Ok(price) => Err(wrong(format!("{price:?} for a book that doesn't exist"))),
        }
    }

    /// The server (or a proxy on the way) must end a stream at its deadline; this client wouldn't.
    async fn expiry(&self) -> Check {
        let watch = WatchRequest { book: 2, count: 0, interval_ms: 10 };
        let request = grpc::request(watch, self.headers.clone(), Duration::from_millis(200));
        let mut prices = match self.pricing().watch(request).await {
            Ok(prices) => prices.into_inner(),
            Err(status) => return expired(status),
        };
        loop {
            match prices.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Err(wrong("the stream ended without a status")),
                Err(status) => return expired(status),
            }
        }
    }
}

fn expired(status: Status) -> Check {
    if status.code() == Code::DeadlineExceeded { Ok(()) } else { Err(status) }
}
