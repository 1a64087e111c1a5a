//! The server side of the bookshop's gRPC services, on the same port as HTTP.
//!
//! `grpc-timeout` is kept: a unary answer that takes longer, and a stream that lasts longer, end with DEADLINE_EXCEEDED.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::{HeaderMap, Request as HttpRequest, Response as HttpResponse, header};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::{Request, Response, Status, Streaming};

use super::app::{App, Caller};
use crate::books::{self, Book};
use crate::proto::pricing_server::{Pricing, PricingServer};
use crate::proto::ratings_server::{Ratings, RatingsServer};
use crate::proto::{
    Basket, BasketLine, BookRequest, CounterOffer, Hop, Offer, Price, RatingSummary, WatchRequest,
};
use crate::{limits, trail};

/// When the caller stops waiting, as a request extension.
#[derive(Clone, Copy, Debug)]
struct Deadline(Instant);

/// Whether a request is gRPC.
pub(crate) fn speaks(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    kind.strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// A failure on purpose.
pub(crate) fn fault() -> HttpResponse<Body> {
    Status::unavailable("failed on purpose").into_http()
}

/// Answers one call.
pub(crate) async fn serve(app: Arc<App>, mut request: HttpRequest<Incoming>) -> HttpResponse<Body> {
    let deadline = timeout(request.headers()).map(|left| Instant::now() + left);
    let shop = Bookshop(app);
    let path = request.uri().path().to_owned();
    if let Some(deadline) = deadline {
        request.extensions_mut().insert(Deadline(deadline));
    }
    let reply = async {
        let Ok(response) = if path.starts_with("/leno.sample.v1.Ratings/") {
            RatingsServer::new(shop).max_decoding_message_size(limits::GRPC_MESSAGE_BYTES).call(request).await
        } else if path.starts_with("/leno.sample.v1.Pricing/") {
            PricingServer::new(shop).max_decoding_message_size(limits::GRPC_MESSAGE_BYTES).call(request).await
        } else {
            Ok(Status::unimplemented("no such service").into_http())
        };
        response
    };
    match deadline {
        Some(deadline) => timeout_at(deadline, reply).await.unwrap_or_else(|_late| too_late().into_http()),
        None => reply.await,
    }
}

fn too_late() -> Status {
    Status::deadline_exceeded("took longer than grpc-timeout")
}

/// The caller's `grpc-timeout`: up to eight digits and a unit. What isn't one is ignored.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

struct Bookshop(Arc<App>);

impl Bookshop {
    /// Asks the services behind this one; the trail of all of them, or UNAVAILABLE naming the calls that failed.
    async fn trail<T>(&self, request: &Request<T>, book: &Book) -> Result<Vec<Hop>, Status> {
        // The metadata is the request's header map; tonic only lends it as its own type.
        let headers = request.metadata().clone().into_headers();
        let caller = request.extensions().get::<Caller>();
        let own = self.0.hop("gRPC", caller, &headers);
        let answers = self.0.consult(book, own, &headers).await;
        if answers.errors.is_empty() {
            Ok(answers.trail.into_iter().map(Hop::from).collect())
        } else {
            Err(Status::unavailable(answers.errors.join("; ")))
        }
    }

    /// The trail of a streaming call, which asks nobody else.
    fn own_trail<T>(&self, request: &Request<T>) -> Vec<Hop> {
        let headers = request.metadata().clone().into_headers();
        let caller = request.extensions().get::<Caller>();
        vec![trail::Hop::into(self.0.hop("gRPC", caller, &headers))]
    }
}

fn find(book: u32) -> Result<&'static Book, Status> {
    books::find(book).ok_or_else(|| Status::not_found(format!("no book {book}")))
}

#[tonic::async_trait]
impl Ratings for Bookshop {
    async fn summarize(&self, request: Request<BookRequest>) -> Result<Response<RatingSummary>, Status> {
        let book = find(request.get_ref().book)?;
        let trail = self.trail(&request, book).await?;
        Ok(Response::new(RatingSummary { book: book.id, readers: book.readers, tenths: book.tenths, trail }))
    }
}

#[tonic::async_trait]
impl Pricing for Bookshop {
    async fn quote(&self, request: Request<BookRequest>) -> Result<Response<Price>, Status> {
        let book = find(request.get_ref().book)?;
        let trail = self.trail(&request, book).await?;
        Ok(Response::new(Price { book: book.id, cents: book.cents, sequence: 1, trail }))
    }

    type WatchStream = BoxStream<'static, Result<Price, Status>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let trail = self.own_trail(&request);
        let deadline = request.extensions().get::<Deadline>().map(|deadline| deadline.0);
        let WatchRequest { book, count, interval_ms } = *request.get_ref();
        let book = find(book)?;
        let interval = Duration::from_millis(interval_ms.into());
        if interval > limits::DELAY {
            return Err(Status::invalid_argument("the interval is at most 600000 ms"));
        }
        let tasks = self.0.tasks.clone();
        let prices = stream::unfold((Some(1_u32), trail), move |(next, trail)| {
            let tasks = tasks.clone();
            async move {
                let sequence = next.filter(|next| count == 0 || *next <= count)?;
                let wait = if sequence == 1 { Duration::ZERO } else { interval };
                let late = async {
                    match deadline {
                        Some(deadline) => tokio::time::sleep_until(deadline).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = late => return Some((Err(too_late()), (None, trail))),
                    () = tasks.stopping(), if count == 0 => {
                        return Some((Err(Status::unavailable("shutting down")), (None, trail)));
                    }
                    () = tokio::time::sleep(wait) => {}
                }
                // A little up, a little down, the same in every run.
                let cents = book.cents + u64::from(sequence % 3) * 10;
                let price = Price { book: book.id, cents, sequence, trail };
                Some((Ok(price), (sequence.checked_add(1), Vec::new())))
            }
        });
        Ok(Response::new(prices.boxed()))
    }

    async fn total(&self, request: Request<Streaming<BasketLine>>) -> Result<Response<Basket>, Status> {
        let trail = self.own_trail(&request);
        let mut lines = request.into_inner();
        let mut basket = Basket { lines: 0, cents: 0, trail };
        while let Some(BasketLine { book, quantity }) = lines.message().await? {
            let cents = find(book)?.cents.saturating_mul(quantity.into());
            basket.lines = basket.lines.saturating_add(1);
            basket.cents = basket.cents.saturating_add(cents);
        }
        Ok(Response::new(basket))
    }

    type HaggleStream = BoxStream<'static, Result<CounterOffer, Status>>;

    async fn haggle(
        &self,
        request: Request<Streaming<Offer>>,
    ) -> Result<Response<Self::HaggleStream>, Status> {
        let trail = self.own_trail(&request);
        let answers = stream::unfold((Some(request.into_inner()), trail), |(offers, trail)| async move {
            let mut offers = offers?;
            match offers.message().await {
                Ok(Some(offer)) => match counter(offer, trail) {
                    Ok(answer) => Some((Ok(answer), (Some(offers), Vec::new()))),
                    Err(status) => Some((Err(status), (None, Vec::new()))),
                },
                Ok(None) => None,
                Err(status) => Some((Err(status), (None, Vec::new()))),
            }
        });
        Ok(Response::new(answers.boxed()))
    }
}

/// Nine tenths of the price are agreed to; below that the shop meets the customer half way.
fn counter(offer: Offer, trail: Vec<Hop>) -> Result<CounterOffer, Status> {
    let book = find(offer.book)?;
    let agreed = offer.cents >= book.cents * 9 / 10;
    let cents = if agreed { offer.cents } else { offer.cents.midpoint(book.cents) };
    Ok(CounterOffer { book: book.id, cents, agreed, trail, note: offer.note })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn deadlines() {
        for (text, expected) in [
            ("200m", Some(Duration::from_millis(200))),
            ("1H", Some(Duration::from_secs(3600))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("100000000n", None),
            ("-1S", None),
            ("S", None),
            ("", None),
            ("5s", None),
        ] {
            let headers =
                HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), HeaderValue::from_static(text))]);
            assert_eq!(timeout(&headers), expected, "{text}");
        }
    }

    #[test]
    fn recognises_grpc() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=1", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(speaks(&headers), expected, "{kind}");
        }
    }

    #[test]
    fn haggling() {
        let counter = |cents| counter(Offer { book: 1, cents, note: vec![7] }, Vec::new()).unwrap();
        assert_eq!((counter(1000).cents, counter(1000).agreed), (1445, false));
        assert_eq!((counter(1701).cents, counter(1701).agreed), (1701, true));
        assert_eq!(counter(1).note, [7]);
    }
}
