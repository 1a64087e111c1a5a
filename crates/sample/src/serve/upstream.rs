//! The services that a service calls, as declared by `--call`.
//!
//! A well-behaved client: connections are kept and reused, a request that a closed connection never took is sent on a
//! new one, and nothing that may have been processed is repeated.

mod conversation;
mod idle;

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use serde_json::{Map, Value, json};
use tonic::body::Body;

use crate::client::{self, ClientError, Http2};
use crate::grpc;
use crate::limits;
use crate::output::in_full;
use crate::proto::BookRequest;
use crate::stock::StockError;
use crate::target::{Scheme, Target};
use crate::trail::Hop;
use conversation::StockClient;
use idle::Idle;

/// A parsed `--call`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// Key of the answer in the caller's own answer; the first label of the host unless given.
    name: String,
    target: Target,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Http1,
    Http2,
    Grpc(grpc::Method),
    Stock,
}

impl FromStr for Call {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // An equals sign before the scheme ends the name; later ones belong to a query.
        let (name, url) = match text.split_once('=') {
            Some((name, url)) if !name.contains("://") => (Some(name), url),
            _ => (None, text),
        };
        let target: Target = url.parse()?;
        let how = match target.scheme {
            Scheme::Http => How::Http1,
            Scheme::H2c => How::Http2,
            Scheme::Tcp => How::Stock,
            Scheme::Grpc => match grpc::Method::of(&target)? {
                method if method.is_unary() => How::Grpc(method),
                method => {
                    return Err(
                        format!("{} isn't unary; a service calls unary methods only", method.path()).into()
                    );
                }
            },
            Scheme::Echo | Scheme::Ws => {
                return Err(format!("a service doesn't call {} URLs", target.scheme).into());
            }
        };
        let label = target.host.split('.').next().unwrap_or_default();
        Ok(Self { name: name.unwrap_or(label).to_owned(), target, how })
    }
}

/// What one call gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) value: Result<Value, String>,
    /// The called service and those behind it, so far as known.
    pub(crate) trail: Vec<Hop>,
}

/// A service that is called, with its kept connections.
#[derive(Debug)]
pub(crate) struct Upstream {
    call: Call,
    timeout: Duration,
    http1: Idle<http1::SendRequest<Body>>,
    http2: Http2,
    stock: Idle<StockClient>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{status}: {excerpt}")]
    Status { status: StatusCode, excerpt: String, trail: Vec<Hop> },
    #[error("{}: {}", .0.code(), .0.message())]
    Grpc(tonic::Status),
    #[error(transparent)]
    Stock(#[from] StockError),
}

type Answer = Result<(Value, Vec<Hop>), CallError>;

impl Upstream {
    pub(crate) fn new(call: Call, timeout: Duration) -> Self {
        let http2 = Http2::new(call.target.address());
        Self { call, timeout, http1: Idle::new(), http2, stock: Idle::new() }
    }

    /// Asks about one book. Never fails: a failure is an outcome.
    pub(crate) async fn ask(&self, book: u32, headers: &HeaderMap) -> Outcome {
        let asked = tokio::time::timeout(self.timeout, self.ask_as_declared(book, headers.clone()));
        let answer = asked.await.unwrap_or(Err(ClientError::Timeout(self.timeout).into()));
        let name = self.call.name.clone();
        match answer {
            Ok((value, trail)) => Outcome { name, value: Ok(value), trail },
            Err(error) => {
                let text = in_full(&error);
                let mut trail = if let CallError::Status { trail, .. } = error { trail } else { Vec::new() };
                if trail.is_empty() {
                    trail.push(Hop { service: name.clone(), error: text.clone(), ..Hop::default() });
                }
                Outcome { name, value: Err(text), trail }
            }
        }
    }

    async fn ask_as_declared(&self, book: u32, headers: HeaderMap) -> Answer {
        match self.call.how {
            How::Http1 => self.ask_http1(self.http_request(book, Version::HTTP_11, headers)?).await,
            How::Http2 => self.ask_http2(self.http_request(book, Version::HTTP_2, headers)?).await,
            How::Grpc(method) => self.ask_grpc(method, book, headers).await,
            How::Stock => self.ask_stock(book).await,
        }
    }

    fn http_request(
        &self,
        book: u32,
        version: Version,
        headers: HeaderMap,
    ) -> Result<Request<Body>, ClientError> {
        let mut target = self.call.target.clone();
        target.path = target.path.replace("{id}", &book.to_string());
        Ok(client::request(&target, version, Method::GET, headers, Bytes::new())?)
    }

    async fn ask_http1(&self, mut request: Request<Body>) -> Answer {
        loop {
            let kept = self.http1.take(|connection| connection.is_ready());
            let reused = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => client::http1(&self.call.target.address()).await?,
            };
            let mut error = match connection.try_send_request(request).await {
                Ok(response) => {
                    let answer = self.read(response).await;
                    if connection.ready().await.is_ok() {
                        self.http1.put(connection);
                    }
                    return answer;
                }
                Err(error) => error,
            };
            // A connection that was closed while it was idle took nothing of the request and gives it back.
            request = match error.take_message() {
                Some(request) if reused => request,
                _ => return Err(ClientError::Request(error.into_error()).into()),
            };
        }
    }

    async fn ask_http2(&self, request: Request<Body>) -> Answer {
        let response = self.http2.send(request).await?;
        self.read(response).await
    }

    /// Takes an answer apart: the bookshop's own carry a trail, other JSON and text are taken as they are.
    async fn read(&self, response: Response<Incoming>) -> Answer {
        let status = response.status();
        let protocol = format!("{:?}", response.version());
        let body = client::collect(response.into_body()).await?;
        let mut trail = Vec::new();
        let value = match serde_json::from_slice(&body) {
            Ok(Value::Object(mut fields)) => {
                trail = take_trail(&mut fields);
                Value::Object(fields)
            }
            Ok(other) => other,
            Err(_no_json) => Value::String(excerpt(&body)),
        };
        if status.is_client_error() || status.is_server_error() {
            return Err(CallError::Status { status, excerpt: excerpt(&body), trail });
        }
        if trail.is_empty() {
            trail.push(Hop { service: self.call.name.clone(), protocol, ..Hop::default() });
        }
        Ok((value, trail))
    }

    async fn ask_grpc(&self, method: grpc::Method, book: u32, headers: HeaderMap) -> Answer {
        let origin = grpc::origin(&self.call.target).map_err(CallError::Grpc)?;
        let request = grpc::request(BookRequest { book }, headers, self.timeout);
        grpc::unary(self.http2.clone(), origin, method, request).await.map_err(CallError::Grpc)
    }

    async fn ask_stock(&self, book: u32) -> Answer {
        let mut client = match self.stock.take(StockClient::is_open) {
            Some(client) => client,
            None => StockClient::open(&self.call.target.address()).await?,
        };
        let line = client.ask(&format!("COUNT {book}")).await?;
        let hop = Hop {
            service: client.service.clone(),
            version: client.version.clone(),
            protocol: "TCP".to_owned(),
            ..Hop::default()
        };
        self.stock.put(client);
        let fields = line.strip_prefix("OK ").ok_or_else(|| StockError::Refused(line.clone()))?;
        let pairs = fields.split_ascii_whitespace().filter_map(|field| field.split_once('='));
        let value: Map<String, Value> = pairs
            .map(|(key, value)| {
                (
                    key.to_owned(),
                    value.parse::<u64>().map_or_else(|_text| json!(value), |number| json!(number)),
                )
            })
            .collect();
        Ok((Value::Object(value), vec![hop]))
    }
}

fn take_trail(fields: &mut Map<String, Value>) -> Vec<Hop> {
    // Another program's field of the same name isn't a trail.
    fields.remove("trail").and_then(|trail| serde_json::from_value(trail).ok()).unwrap_or_default()
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    text.get(..text.floor_char_boundary(limits::EXCERPT_BYTES)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls() {
        for (text, expected) in [
            ("http://reviews:9080/reviews/{id}", Some(("reviews", How::Http1))),
            (
                "stars=grpc://127.0.0.1:1/Ratings/Summarize",
                Some(("stars", How::Grpc(grpc::Method::Summarize))),
            ),
            ("grpc://pricing.shop.svc:9090", Some(("pricing", How::Grpc(grpc::Method::Quote)))),
            ("tcp://stock:7000", Some(("stock", How::Stock))),
            ("h2c://x:1/?a=b", Some(("x", How::Http2))),
            ("grpc://pricing:1/Pricing/Watch", None),
            ("echo://x:1", None),
            ("reviews", None),
        ] {
            let call = text.parse::<Call>().ok();
            assert_eq!(call.as_ref().map(|call| (call.name.as_str(), call.how)), expected, "{text}");
        }
    }

    #[test]
    fn foreign_trails_are_ignored() {
        let mut fields = Map::from_iter([("trail".to_owned(), json!("muddy"))]);
        assert!(take_trail(&mut fields).is_empty());
        let mut fields = Map::from_iter([("trail".to_owned(), json!([{"service": "a", "extra": 1}]))]);
        assert_eq!(take_trail(&mut fields).len(), 1);
    }
}
