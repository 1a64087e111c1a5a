//! Connections that begin with who is behind them: the PROXY protocol, as it comes in.

use std::net::SocketAddr;

use bytes::BytesMut;
use leno_http::io::{Io, Prefixed};
use leno_http::proxy_protocol::{Decoded, Ends, decode};
use leno_model::failure::Failure;
use tokio::io::AsyncReadExt as _;

use crate::limits::HANDSHAKE;
use crate::refused::Refused;

/// Reads the header of a connection from `remote` to `local`, in bounded time; what follows it comes next. The ends are
/// those that count from now on.
pub(crate) async fn accept(
    io: Box<dyn Io>,
    remote: Option<SocketAddr>,
    local: SocketAddr,
) -> Result<(Box<dyn Io>, Option<SocketAddr>, SocketAddr), Refused> {
    match leno_runtime::time::timeout(HANDSHAKE, header(io)).await {
        Ok(Ok((io, Some(Ends { source, destination })))) => Ok((io, Some(source), destination)),
        Ok(Ok((io, None))) => Ok((io, remote, local)),
        Ok(Err(refused)) => Err(refused),
        Err(_elapsed) => Err(Refused::because(Failure::ProxyHeader, "no PROXY header in time")),
    }
}

async fn header(mut io: Box<dyn Io>) -> Result<(Box<dyn Io>, Option<Ends>), Refused> {
    let mut buffer = BytesMut::with_capacity(256);
    loop {
        // Bounded: what is longer than the limit is refused by its length alone.
        match decode(&buffer) {
            Decoded::Header(ends, length) => {
                let rest = buffer.split_off(length).freeze();
                return Ok((Prefixed::boxed(rest, io), ends));
            }
            Decoded::Refused(why) => return Err(Refused::because(Failure::ProxyHeader, why)),
            Decoded::NeedMore => {}
        }
        match io.read_buf(&mut buffer).await {
            Ok(1..) => {}
            Ok(0) => return Err(Refused::because(Failure::ProxyHeader, "the connection ended")),
            Err(error) => return Err(Refused::because(Failure::ProxyHeader, error)),
        }
    }
}
