//! What a run sends, prepared once from its arguments, and the connections that send it.

use std::error::Error;
use std::num::TryFromIntError;
use std::rc::Rc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Version, header};

use super::http2::{Content, Offers};
use super::{Args, Connection, http1, http2};
use crate::proto::{BookRequest, Offer};
use crate::target::Scheme;
use crate::{client, grpc, limits};

/// Why a run didn't begin.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("{0}:// cannot be loaded; use http, h2c or grpc")]
    Scheme(Scheme),
    #[error("{0} cannot be loaded; use a unary method or /Pricing/Haggle")]
    Method(&'static str),
    #[error("{0} workers are more than {limit}", limit = limits::WORKERS)]
    Workers(usize),
}

/// One connection per worker, or one per `streams` workers.
pub(super) fn connections(args: &Args) -> Result<Vec<Connection>, Box<dyn Error>> {
    let version = match args.url.scheme {
        Scheme::Http => Version::HTTP_11,
        Scheme::H2c | Scheme::Grpc => Version::HTTP_2,
        other => return Err(LoadError::Scheme(other).into()),
    };
    let streams = match (version, args.streams) {
        (Version::HTTP_11, _) => 1,
        (_, Some(streams)) => streams.into(),
        (_, None) => {
            if args.closed {
                1
            } else {
                32
            }
        }
    };
    let workers = usize::from(args.connections) * streams;
    if workers > limits::WORKERS {
        return Err(LoadError::Workers(workers).into());
    }
    let connections = 0..args.connections;
    if version == Version::HTTP_11 {
        let template = Rc::new(http1_template(args)?);
        return Ok(connections
            .map(|_| Connection::Http1(Box::new(http1::Connection::new(Rc::clone(&template)))))
            .collect());
    }
    let template = Rc::new(http2_template(args)?);
    let shared = connections.map(|_| http2::Connection::new(Rc::clone(&template)));
    Ok(shared.flat_map(|shared| std::iter::repeat_n(shared, streams)).map(Connection::Http2).collect())
}

fn body(args: &Args) -> Result<Bytes, LoadError> {
    if args.body_size > 0 {
        let size = usize::try_from(args.body_size).unwrap_or(usize::MAX);
        return Ok(BytesMut::zeroed(size).freeze());
    }
    Ok(Bytes::from(args.body.clone()))
}

fn request(args: &Args, version: Version, body: &Bytes) -> Result<Request<()>, http::Error> {
    let fallback = if body.is_empty() { Method::GET } else { Method::POST };
    let method = args.method.clone().unwrap_or(fallback);
    client::request(&args.url, version, method, args.to.headers(), Bytes::new())
        .map(|request| request.map(drop))
}

fn http1_template(args: &Args) -> Result<http1::Template, Box<dyn Error>> {
    let body = body(args)?;
    let request = request(args, Version::HTTP_11, &body)?;
    let mut wire = BytesMut::new();
    wire.put_slice(format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).as_bytes());
    for (name, value) in request.headers() {
        wire.put_slice(name.as_str().as_bytes());
        wire.put_slice(b": ");
        wire.put_slice(value.as_bytes());
        wire.put_slice(b"\r\n");
    }
    if !body.is_empty() && !request.headers().contains_key(header::CONTENT_LENGTH) {
        wire.put_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    wire.put_slice(b"\r\n");
    wire.put_slice(&body);
    Ok(http1::Template {
        address: args.to.address(&args.url),
        request: wire.freeze(),
        is_head: request.method() == Method::HEAD,
        version_header: args.version_header.clone(),
    })
}

fn http2_template(args: &Args) -> Result<http2::Template, Box<dyn Error>> {
    let (content, request) = if args.url.scheme == Scheme::Grpc {
        grpc_request(args)?
    } else {
        let body = body(args)?;
        let request = request(args, Version::HTTP_2, &body)?;
        (Content::Body(body), request)
    };
    Ok(http2::Template {
        address: args.to.address(&args.url),
        request,
        content,
        version_header: args.version_header.clone(),
    })
}

/// A call with its message: of a stream, what is sent again and again.
fn grpc_request(args: &Args) -> Result<(Content, Request<()>), Box<dyn Error>> {
    let method = grpc::Method::of(&args.url)?;
    let number = |name| args.url.query(name).and_then(|text| text.parse::<u32>().ok());
    let book = number("book").unwrap_or(1);
    let content = match method {
        grpc::Method::Haggle => {
            let cents = number("cents").unwrap_or(1000).into();
            let message = framed(&Offer { book, cents, note: body(args)?.into() })?;
            Content::Offers(Offers { message, count: args.messages, window: args.window })
        }
        unary if unary.is_unary() => Content::Message(framed(&BookRequest { book })?),
        other => return Err(LoadError::Method(other.path()).into()),
    };

    let mut target = args.url.clone();
    method.path().clone_into(&mut target.path);
    let mut headers = args.to.headers();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let request = client::request(&target, Version::HTTP_2, Method::POST, headers, Bytes::new())?;
    Ok((content, request.map(drop)))
}

/// A message in gRPC's frame.
fn framed(message: &impl prost::Message) -> Result<Bytes, TryFromIntError> {
    let message = message.encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len())?);
    frame.put_slice(&message);
    Ok(frame.freeze())
}
