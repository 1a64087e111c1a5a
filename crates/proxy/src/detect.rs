//! What a connection speaks, found out without guessing.
//!
//! Silence decides nothing: after a short wait the destination is dialled as well, and whoever speaks first decides
//! (a server that speaks first is not HTTP). A port that is declared HTTP never falls back to opaque bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use leno_http::detect::{self, Detection};
use leno_http::io::{Io, Prefixed};
use leno_http::limits::{HEADER_TIMEOUT, IDLE_TIMEOUT};
use leno_http::server::Protocol;
use leno_model::failure::Failure;
use tokio::io::AsyncReadExt;

use crate::core::Core;
use crate::dial::Dialled;
use crate::limits::{DETECT_BYTES, DETECT_SILENCE, HANDSHAKE};
use crate::local::Local;
use crate::opaque;
use crate::record::Ends;
use crate::upstream::{self, Chosen, Client, Spoken, To};

/// What was found.
pub(crate) enum Detected {
    /// Requests.
    Http(Protocol, Box<dyn Io>),
    /// Something else, with the name that its ClientHello asks for; nothing is dialled yet.
    Opaque(Box<dyn Io>, Option<Arc<str>>),
    /// The server spoke first, or was dialled when the client turned out to be opaque.
    Spoke {
        /// The client.
        client: Box<dyn Io>,
        /// Which server it is.
        chosen: Box<Chosen>,
        /// The server, with what it said.
        upstream: Dialled,
    },
    /// The destination could not be reached.
    Failed(Failure),
    /// The client went away first.
    Gone,
}

/// The bytes read so far, and what they are.
struct Peeked {
    io: Box<dyn Io>,
    bytes: BytesMut,
    found: Option<Detection>,
}

impl Peeked {
    fn new(io: Box<dyn Io>) -> Self {
        Self { io, bytes: BytesMut::new(), found: None }
    }

    /// Waits for the first bytes, or for the client's end. Cancelling loses nothing.
    async fn begin(&mut self) {
        self.bytes.reserve(1024);
        let _told_by_the_next_read = self.io.read_buf(&mut self.bytes).await;
    }

    /// Reads until the bytes say what they are; false when the connection breaks. A client that ends before that, as one
    /// that only listens may do at once, is opaque: its end is passed on like its bytes. Cancelling loses nothing.
    async fn read(&mut self) -> bool {
        loop {
            match detect::detect(&self.bytes) {
                Detection::NeedMore if self.bytes.len() < DETECT_BYTES => {}
                Detection::NeedMore => {
                    self.found = Some(Detection::Opaque);
                    return true;
                }
                found => {
                    self.found = Some(found);
                    return true;
                }
            }
            self.bytes.reserve(1024);
            match self.io.read_buf(&mut self.bytes).await {
                Ok(0) => {
                    self.found = Some(Detection::Opaque);
                    return true;
                }
                Err(_) => return false,
                Ok(_) => {}
            }
        }
    }

    /// The name that a ClientHello asks for.
    fn server_name(&self) -> Option<Arc<str>> {
        match &self.found {
            Some(Detection::Tls(hello)) => hello.sni.as_deref().map(Into::into),
            _ => None,
        }
    }

    fn into_io(self) -> Box<dyn Io> {
        Prefixed::boxed(self.bytes.freeze(), self.io)
    }
}

/// What a client begins with, where only the client can begin. One that stays silent, or says nothing that is known, is
/// opaque.
pub(crate) async fn client(io: Box<dyn Io>) -> Detected {
    let mut peeked = Peeked::new(io);
    match leno_runtime::time::timeout(HANDSHAKE, peeked.read()).await {
        Ok(false) => Detected::Gone,
        Ok(true) | Err(_) => decided(peeked),
    }
}

/// The name that a client's ClientHello asks for; `None` for the rest, and when the client is gone.
pub(crate) async fn server_name(io: Box<dyn Io>) -> Option<(Option<Arc<str>>, Box<dyn Io>)> {
    match client(io).await {
        Detected::Opaque(io, name) => Some((name, io)),
        Detected::Http(_, io) => Some((None, io)),
        Detected::Spoke { .. } | Detected::Failed(_) | Detected::Gone => None,
    }
}

/// The HTTP version of a connection that must be HTTP. What is no HTTP/2 preface is left to the HTTP/1 codec, which
/// answers 400 to what is no request either.
pub(crate) async fn http(io: Box<dyn Io>) -> Option<(Protocol, Box<dyn Io>)> {
    let mut peeked = Peeked::new(io);
    // Clients connect ahead of their first request, but a request that has begun is not left half said.
    leno_runtime::time::timeout(IDLE_TIMEOUT, peeked.begin()).await.ok()?;
    match leno_runtime::time::timeout(HEADER_TIMEOUT, peeked.read()).await {
        Ok(true) if !peeked.bytes.is_empty() => {}
        _ => return None,
    }
    let protocol = match peeked.found {
        Some(Detection::Http2) => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Some((protocol, peeked.into_io()))
}

/// Reads until a ClientHello is there as a whole, or it is clear that none comes; `None` when the client ends first.
pub(crate) async fn client_hello(io: Box<dyn Io>) -> Option<Box<dyn Io>> {
    let mut peeked = Peeked::new(io);
    if peeked.read().await { Some(peeked.into_io()) } else { None }
}

/// Whether a connection begins with a ClientHello that offers a protocol of the mesh. A client that is silent for
/// `patience` is not TLS.
pub(crate) async fn mesh_tls(io: Box<dyn Io>, patience: Duration) -> Option<(Box<dyn Io>, bool)> {
    let mut peeked = Peeked::new(io);
    match leno_runtime::time::timeout(patience, peeked.read()).await {
        Ok(true) | Err(_) => {}
        Ok(false) => return None,
    }
    // A ClientHello whose first part has come will come whole.
    if peeked.found.is_none() && peeked.bytes.first() == Some(&0x16) {
        match leno_runtime::time::timeout(HANDSHAKE, peeked.read()).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return None,
        }
    }
    let is_mesh = match &peeked.found {
        Some(Detection::Tls(hello)) => hello.alpn.iter().any(|name| &**name == leno_wire::open::ALPN),
        _ => false,
    };
    Some((peeked.into_io(), is_mesh))
}

/// What a connection speaks of which nothing is declared.
pub(crate) async fn any(
    core: &Core,
    local: &Arc<Local>,
    to: &To<'_>,
    ends: &Ends,
    io: Box<dyn Io>,
) -> Detected {
    let mut peeked = Peeked::new(io);
    match leno_runtime::time::timeout(DETECT_SILENCE, peeked.read()).await {
        Ok(true) => return decided(peeked),
        Ok(false) => return Detected::Gone,
        Err(_silent) => {}
    }
    let (chosen, mut upstream) = match reach(core, local, to, ends).await {
        Ok(reached) => reached,
        Err(failure) => return Detected::Failed(failure),
    };
    let mut greeting = BytesMut::with_capacity(1024);
    let client_decides = tokio::select! {
        biased;
        decided = peeked.read() => decided,
        read = upstream.io.read_buf(&mut greeting) => {
            if matches!(read, Ok(0) | Err(_)) {
                return Detected::Gone;
            }
            upstream.io = Prefixed::boxed(greeting.freeze(), upstream.io);
            return Detected::Spoke { client: peeked.into_io(), chosen, upstream };
        }
    };
    match peeked.found {
        _ if !client_decides => Detected::Gone,
        // Opaque after all: what was dialled is of use.
        Some(Detection::Opaque | Detection::Tls(_)) | None => {
            Detected::Spoke { client: peeked.into_io(), chosen, upstream }
        }
        Some(_) => decided(peeked),
    }
}

fn decided(peeked: Peeked) -> Detected {
    match peeked.found {
        Some(Detection::Http1) => Detected::Http(Protocol::Http1, peeked.into_io()),
        Some(Detection::Http2) => Detected::Http(Protocol::Http2, peeked.into_io()),
        _ => {
            let name = peeked.server_name();
            Detected::Opaque(peeked.into_io(), name)
        }
    }
}

async fn reach(
    core: &Core,
    local: &Arc<Local>,
    to: &To<'_>,
    ends: &Ends,
) -> Result<(Box<Chosen>, Dialled), Failure> {
    let chosen = upstream::choose(core, to, Spoken::Opaque, Client::opaque(to, ends), &[])?;
    let upstream = opaque::dial_chosen(core, local, &chosen).await?;
    Ok((chosen, upstream))
}
