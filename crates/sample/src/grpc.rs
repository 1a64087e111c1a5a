//! The gRPC methods as their clients call them, and their messages as JSON.
//!
//! The server side is `serve::grpc`.

use std::time::Duration;

use http::{HeaderMap, Uri, header};
use serde_json::{Value, json};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Status};

use crate::client::{self, Http2};
use crate::limits;
use crate::proto::pricing_client::PricingClient;
use crate::proto::ratings_client::RatingsClient;
use crate::proto::{Basket, BookRequest, CounterOffer, Price, RatingSummary};
use crate::target::Target;
use crate::trail::Hop;

/// A method of the bookshop's gRPC services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// `Ratings/Summarize`, unary.
    Summarize,
    /// `Pricing/Quote`, unary.
    Quote,
    /// `Pricing/Watch`, server streaming.
    Watch,
    /// `Pricing/Total`, client streaming.
    Total,
    /// `Pricing/Haggle`, bidirectional.
    Haggle,
}

const PACKAGE: &str = "leno.sample.v1.";

/// The URL names no known method.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0} names no gRPC method; use /Ratings/Summarize, /Pricing/Quote, /Pricing/Watch, /Pricing/Total or /Pricing/Haggle"
)]
pub(crate) struct UnknownMethod(String);

impl Method {
    /// The method that a URL names by its path, with or without the package; without a path the first label of the host
    /// decides (`ratings` or `pricing`).
    pub(crate) fn of(target: &Target) -> Result<Self, UnknownMethod> {
        let path = target.path.split('?').next().unwrap_or_default().trim_start_matches('/');
        let service = target.host.split('.').next().unwrap_or_default();
        match (path.strip_prefix(PACKAGE).unwrap_or(path), service) {
            ("Ratings/Summarize", _) | ("", "ratings") => Ok(Self::Summarize),
            ("Pricing/Quote", _) | ("", "pricing") => Ok(Self::Quote),
            ("Pricing/Watch", _) => Ok(Self::Watch),
            ("Pricing/Total", _) => Ok(Self::Total),
            ("Pricing/Haggle", _) => Ok(Self::Haggle),
            _ => Err(UnknownMethod(target.to_string())),
        }
    }

    /// The request path (gRPC over HTTP/2, `:path`).
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Summarize => "/leno.sample.v1.Ratings/Summarize",
            Self::Quote => "/leno.sample.v1.Pricing/Quote",
            Self::Watch => "/leno.sample.v1.Pricing/Watch",
            Self::Total => "/leno.sample.v1.Pricing/Total",
            Self::Haggle => "/leno.sample.v1.Pricing/Haggle",
        }
    }

    /// Whether one message is answered by one message.
    pub(crate) fn is_unary(self) -> bool {
        matches!(self, Self::Summarize | Self::Quote)
    }
}

/// The origin for `:scheme` and `:authority`.
pub(crate) fn origin(target: &Target) -> Result<Uri, Status> {
    Uri::builder()
        .scheme("http")
        .authority(target.authority.as_str())
        .path_and_query("/")
        .build()
        .map_err(|error| Status::invalid_argument(error.to_string()))
}

/// A client of `Ratings` with the sample's limits.
pub(crate) fn ratings(channel: Http2, origin: Uri) -> RatingsClient<Http2> {
    RatingsClient::with_origin(channel, origin).max_decoding_message_size(limits::GRPC_MESSAGE_BYTES)
}

/// A client of `Pricing` with the sample's limits.
pub(crate) fn pricing(channel: Http2, origin: Uri) -> PricingClient<Http2> {
    PricingClient::with_origin(channel, origin).max_decoding_message_size(limits::GRPC_MESSAGE_BYTES)
}

/// A request with these headers and a deadline that the server is told of.
pub(crate) fn request<T>(message: T, mut headers: HeaderMap, deadline: Duration) -> Request<T> {
    headers.entry(header::USER_AGENT).or_insert_with(client::user_agent);
    let mut request = Request::from_parts(MetadataMap::from_headers(headers), Extensions::default(), message);
    request.set_timeout(deadline);
    request
}

/// Calls a unary method for one book: the answer as JSON without its trail, and the trail.
pub(crate) async fn unary(
    channel: Http2,
    origin: Uri,
    method: Method,
    request: Request<BookRequest>,
) -> Result<(Value, Vec<Hop>), Status> {
    match method {
        Method::Summarize => {
            let answer = ratings(channel, origin).summarize(request).await?.into_inner();
            Ok(summary(answer))
        }
        Method::Quote => Ok(price(pricing(channel, origin).quote(request).await?.into_inner())),
        Method::Watch | Method::Total | Method::Haggle => Err(Status::invalid_argument("not a unary method")),
    }
}

fn hops(trail: Vec<crate::proto::Hop>) -> Vec<Hop> {
    trail.into_iter().map(Hop::from).collect()
}

/// A rating summary as JSON, and its trail.
pub(crate) fn summary(message: RatingSummary) -> (Value, Vec<Hop>) {
    let RatingSummary { book, readers, tenths, trail } = message;
    (json!({"book": book, "readers": readers, "mark": f64::from(tenths) / 10.0}), hops(trail))
}

/// A price as JSON, and its trail.
pub(crate) fn price(message: Price) -> (Value, Vec<Hop>) {
    let Price { book, cents, sequence, trail } = message;
    (json!({"book": book, "cents": cents, "sequence": sequence}), hops(trail))
}

/// A basket as JSON, and its trail.
pub(crate) fn basket(message: Basket) -> (Value, Vec<Hop>) {
    let Basket { lines, cents, trail } = message;
    (json!({"lines": lines, "cents": cents}), hops(trail))
}

/// A counter-offer as JSON, and its trail.
pub(crate) fn counter_offer(message: CounterOffer) -> (Value, Vec<Hop>) {
    let CounterOffer { book, cents, agreed, trail, note: _ } = message;
    (json!({"book": book, "cents": cents, "agreed": agreed}), hops(trail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_by_path_or_host() {
        for (url, expected) in [
            ("grpc://ratings:9090", Some(Method::Summarize)),
            ("grpc://pricing.default.svc.cluster.local:9090", Some(Method::Quote)),
            ("grpc://127.0.0.1:1/Pricing/Watch?count=3", Some(Method::Watch)),
            ("grpc://x:1/leno.sample.v1.Pricing/Total", Some(Method::Total)),
            ("grpc://x:1/leno.sample.v1.Pricing/Haggle", Some(Method::Haggle)),
            ("grpc://x:1", None),
            ("grpc://pricing:1/Ratings/Quote", None),
        ] {
            assert_eq!(Method::of(&url.parse().unwrap()).ok(), expected, "{url}");
        }
    }
}
