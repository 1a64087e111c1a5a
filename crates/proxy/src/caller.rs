//! A connection from a peer, and how the peer learns whether it is served.
//!
//! Each transport has its own way to say so, and the path of a connection knows none of them.

use std::io;

use http::StatusCode;
use leno_http::exchange::{Incoming, Reply};
use leno_http::head::ResponseHead;
use leno_http::io::Io;
use leno_model::failure::Failure;
use leno_telemetry::tunnels::Direction;
use leno_wire::open::{Refusal, Verdict};
use tokio::io::AsyncWriteExt;

/// See the module.
pub(crate) enum Caller {
    /// It is told nothing: it came in plaintext, or its requests are answered one by one.
    Untold(Box<dyn Io>),
    /// By `leno/1`, for opaque bytes: the first byte tells.
    Native(Box<dyn Io>),
    /// By HBONE: the answer to its CONNECT tells.
    Stream(Box<Stream>),
}

/// A CONNECT that waits for its answer.
pub(crate) struct Stream {
    /// What the peer sends.
    pub(crate) body: Incoming,
    /// Where the answer goes.
    pub(crate) reply: Reply,
    /// Counts the answer.
    pub(crate) counts: Direction,
}

impl Caller {
    /// Lets its bytes through.
    pub(crate) async fn accept(self) -> io::Result<Box<dyn Io>> {
        match self {
            Self::Untold(io) => Ok(io),
            Self::Native(mut io) => {
                io.write_all(&[Verdict::Accepted.byte()]).await?;
                io.flush().await?;
                Ok(io)
            }
            Self::Stream(stream) => {
                let Stream { body, reply, counts } = *stream;
                counts.granted.inc();
                let mut tunnel = reply.head(ResponseHead::new(StatusCode::OK)).into_tunnel(body);
                tunnel.flush().await?;
                Ok(Box::new(tunnel))
            }
        }
    }

    /// Ends it, with the reason where it waits for one.
    pub(crate) async fn refuse(self, failure: Failure) {
        match self {
            Self::Untold(mut io) => {
                let _gone = io.shutdown().await;
            }
            Self::Native(mut io) => {
                let verdict = Verdict::Refused(Refusal::of(failure));
                let _gone = io.write_all(&[verdict.byte()]).await;
                let _gone = io.shutdown().await;
            }
            Self::Stream(stream) => {
                stream.counts.failed(failure.row().details);
                stream.reply.local(failure, false);
            }
        }
    }

    /// Does something for it, and gives up when it is known to wait no longer: a peer that resets its streams as fast as it
    /// opens them gets nothing done by that.
    pub(crate) async fn meanwhile<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match self {
            Self::Stream(stream) => tokio::select! {
                biased;
                failure = stream.reply.closed() => Err(failure),
                result = work => result,
            },
            Self::Untold(_) | Self::Native(_) => work.await,
        }
    }
}
