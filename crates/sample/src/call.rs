//! `call URL`: one request, gRPC call or TCP exchange; prints the answer.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tonic::Status;

use crate::client::{self, ClientError, Http2};
use crate::output::{self, Format};
use crate::proto::{BasketLine, BookRequest, Offer, WatchRequest};
use crate::target::{Scheme, Target};
use crate::trail::Hop;
use crate::{grpc, limits, stock, units};

/// Arguments of `call`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// http://, h2c://, grpc://HOST:PORT/Pricing/Quote?book=3, tcp://HOST:PORT/COUNT/3 or echo://HOST:PORT
    url: Target,
    /// Method of an HTTP request [default: GET, or POST with a body]
    #[arg(long, short = 'X')]
    method: Option<Method>,
    #[command(flatten)]
    to: To,
    /// Body of an HTTP request, or the bytes for echo://
    #[arg(long, short = 'd', default_value = "")]
    body: String,
    /// Print the head of an HTTP answer too
    #[arg(long, short = 'i')]
    include: bool,
    /// Text is the body as it came; JSON has status, headers and body
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

/// How to reach a server, the same for every client command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct To {
    /// A header line, repeatable
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header_line)]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Dial this address instead of the URL's
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) connect: Option<String>,
    /// Give up after this long
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = units::duration)]
    pub(crate) timeout: Duration,
}

impl To {
    /// The address to dial.
    pub(crate) fn address(&self, target: &Target) -> String {
        self.connect.clone().unwrap_or_else(|| target.address())
    }

    /// The header lines as a map.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        headers
    }
}

/// Parses `Name: value`.
fn header_line(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    let name = name.trim().parse().map_err(|_invalid| format!("{name:?} is no header name"))?;
    let value = value.trim().parse().map_err(|_invalid| format!("{value:?} is no header value"))?;
    Ok((name, value))
}

/// Makes the call. 0 when it was answered well, 1 when the answer is an error.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let limit = args.to.timeout;
    let call = async {
        match args.url.scheme {
            Scheme::Http => http(&args, Version::HTTP_11).await,
            Scheme::H2c => http(&args, Version::HTTP_2).await,
            Scheme::Grpc => rpc(&args).await,
            Scheme::Tcp => lines(&args).await,
            Scheme::Echo => raw(&args).await,
            Scheme::Ws => Err("use the command ws for WebSockets".into()),
        }
    };
    match tokio::time::timeout(limit, call).await {
        Ok(outcome) => outcome,
        Err(_late) => Err(ClientError::Timeout(limit).into()),
    }
}

fn exit(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn http(args: &Args, version: Version) -> Result<ExitCode, Box<dyn Error>> {
    let fallback = if args.body.is_empty() { Method::GET } else { Method::POST };
    let method = args.method.clone().unwrap_or(fallback);
    let body = Bytes::from(args.body.clone());
    let request = client::request(&args.url, version, method, args.to.headers(), body)?;
    let address = args.to.address(&args.url);
    let response = if version == Version::HTTP_2 {
        Http2::new(address).send(request).await?
    } else {
        client::http1(&address).await?.send_request(request).await.map_err(ClientError::Request)?
    };
    let good = !response.status().is_client_error() && !response.status().is_server_error();
    match args.output {
        Format::Json => {
            let (head, body) = response.into_parts();
            let body = client::collect(body).await?;
            let body = serde_json::from_slice(&body)
                .unwrap_or_else(|_no_json| json!(String::from_utf8_lossy(&body)));
            let headers = crate::serve::headers_as_json(&head.headers);
            let answer = json!({"status": head.status.as_u16(), "protocol": format!("{:?}", head.version), "headers": headers, "body": body});
            output::line(&format!("{answer:#}"))?;
        }
        Format::Text => print(response, args.include).await?,
    }
    Ok(exit(good))
}

/// Prints an answer piece by piece as it comes, so that event streams show.
async fn print(response: Response<Incoming>, include: bool) -> Result<(), Box<dyn Error>> {
    let (head, mut body) = response.into_parts();
    if include {
        output::line(&format!("{:?} {}", head.version, head.status))?;
        for (name, value) in &head.headers {
            output::line(&format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))?;
        }
        output::line("")?;
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ClientError::Body(error.into()))?;
        if let Some(data) = frame.data_ref() {
            output::bytes(data)?;
        }
    }
    Ok(())
}

/// Calls a gRPC method; each message of a stream is a line of JSON.
async fn rpc(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    match messages(args).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(status) => {
            let (code, message) = (i32::from(status.code()), status.message());
            output::line(&format!("{:#}", json!({"grpc_status": code, "grpc_message": message})))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn messages(args: &Args) -> Result<(), Status> {
    let method = grpc::Method::of(&args.url).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let number =
        |name: &str, default: u32| args.url.query(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let book = number("book", 1);
    let origin = grpc::origin(&args.url)?;
    let http2 = Http2::new(args.to.address(&args.url));
    let mut pricing = grpc::pricing(http2.clone(), origin.clone());
    let (headers, deadline) = (args.to.headers(), args.to.timeout);
    match method {
        grpc::Method::Summarize | grpc::Method::Quote => {
            let request = grpc::request(BookRequest { book }, headers, deadline);
            print_message(grpc::unary(http2, origin, method, request).await?)
        }
        grpc::Method::Watch => {
            let watch =
                WatchRequest { book, count: number("count", 3), interval_ms: number("interval", 100) };
            let mut prices = pricing.watch(grpc::request(watch, headers, deadline)).await?.into_inner();
            while let Some(price) = prices.message().await? {
                print_message(grpc::price(price))?;
            }
            Ok(())
        }
        grpc::Method::Total => {
            let lines = futures_util::stream::iter([BasketLine { book, quantity: number("quantity", 1) }]);
            let basket = pricing.total(grpc::request(lines, headers, deadline)).await?.into_inner();
            print_message(grpc::basket(basket))
        }
        grpc::Method::Haggle => {
            let offer = Offer { book, cents: number("cents", 1000).into(), note: Vec::new() };
            let offers = futures_util::stream::iter([offer]);
            let mut answers = pricing.haggle(grpc::request(offers, headers, deadline)).await?.into_inner();
            while let Some(answer) = answers.message().await? {
                print_message(grpc::counter_offer(answer))?;
            }
            Ok(())
        }
    }
}

fn print_message((mut message, trail): (Value, Vec<Hop>)) -> Result<(), Status> {
    if let Value::Object(fields) = &mut message {
        fields.insert("trail".to_owned(), json!(trail));
    }
    output::line(&message.to_string()).map_err(|error| Status::internal(error.to_string()))
}

/// A conversation with the stock service: greeting, one command from the URL's path, its reply.
async fn lines(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let path = args.url.path.trim_start_matches('/').replace('/', " ");
    let command = if path.is_empty() { "COUNT 1" } else { &path };
    let mut io = BufReader::new(client::dial(&args.to.address(&args.url)).await?);
    let greeting = stock::read_line(&mut io).await?.ok_or(stock::StockError::Closed)?;
    stock::greeted(&greeting)?;
    io.write_all(format!("{command}\n").as_bytes()).await?;
    let reply = stock::read_line(&mut io).await?.ok_or(stock::StockError::Closed)?;
    match args.output {
        Format::Json => output::line(&format!("{:#}", json!({"greeting": greeting, "reply": reply})))?,
        Format::Text => output::line(&format!("{greeting}\n{reply}"))?,
    }
    Ok(exit(!reply.starts_with("ERR")))
}

/// Sends the body, half-closes, and prints what comes until the server closes.
async fn raw(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let (mut read, mut write) = client::dial(&args.to.address(&args.url)).await?.into_split();
    let send = async {
        write.write_all(args.body.as_bytes()).await?;
        write.shutdown().await
    };
    let receive = async {
        let mut received = Vec::new();
        let most = limits::ANSWER_BYTES as u64;
        (&mut read).take(most).read_to_end(&mut received).await.map(|_| received)
    };
    let ((), received) = tokio::try_join!(send, receive)?;
    let text = String::from_utf8_lossy(&received);
    match args.output {
        Format::Json => output::line(&format!("{:#}", json!({"received": text})))?,
        Format::Text => output::bytes(&received)?,
    }
    Ok(exit(received == args.body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines() {
        let (name, value) = header_line("X-Shop-Reader:  oda: 7 ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-shop-reader", "oda: 7"));
        for text in ["x", ": y", "a b: c", "x: a\nb"] {
            assert!(header_line(text).is_err(), "{text:?}");
        }
    }
}
