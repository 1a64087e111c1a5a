//! Handshakes by rustls (RFC 8446 §4), up to the first record of the session: what comes behind it isn't rustls'.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use leno_http::io::Io;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{CommonState, ExtractedSecrets};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::session::{Agreed, Session, Side, Updates};
use crate::limits::HANDSHAKE_BYTES;

/// One side of a handshake.
pub(crate) trait Shaking: Sized {
    type Data: 'static;
    const SIDE: Side;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn common(&self) -> &CommonState;

    fn into_kernel(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), rustls::Error>;
}

macro_rules! shaking {
    ($connection:ty, $data:ty, $side:expr) => {
        impl Shaking for $connection {
            type Data = $data;
            const SIDE: Side = $side;

            fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, $data> {
                self.process_tls_records(incoming)
            }

            fn common(&self) -> &CommonState {
                self
            }

            fn into_kernel(self) -> Result<(ExtractedSecrets, KernelConnection<$data>), rustls::Error> {
                self.dangerous_into_kernel_connection()
            }
        }
    };
}

shaking!(UnbufferedClientConnection, ClientConnectionData, Side::Client);
shaking!(UnbufferedServerConnection, ServerConnectionData, Side::Server);

/// A handshake that is done.
pub(crate) struct Shaken<S> {
    io: Box<dyn Io>,
    connection: S,
    rest: Vec<u8>,
}

impl<S: Shaking> Shaken<S> {
    /// What was agreed on.
    pub(crate) fn session(&self) -> &CommonState {
        self.connection.common()
    }

    /// What follows it.
    pub(crate) fn into_session(self) -> io::Result<Session> {
        let Self { io, connection, rest } = self;
        let suite = connection.common().negotiated_cipher_suite().and_then(|suite| suite.tls13());
        let limit = suite.ok_or(io::ErrorKind::Unsupported)?.common.confidentiality_limit;
        let (secrets, updates) = connection.into_kernel().map_err(io::Error::other)?;
        let updates: Box<dyn Updates> = Box::new(updates);
        Session::new(io, S::SIDE, Agreed { secrets, updates, limit, rest }).map_err(io::Error::other)
    }
}

/// What is to be done next.
enum Next {
    Go,
    Read,
    Done,
    Fail(rustls::Error),
}

/// Shakes hands. A peer that is refused is told why.
pub(crate) async fn shake<S: Shaking>(mut io: Box<dyn Io>, mut connection: S) -> io::Result<Shaken<S>> {
    let (mut incoming, mut outgoing) = (Vec::new(), Vec::new());
    // Whole records that rustls has before it. What it doesn't need isn't shown: it may be the session's.
    let mut shown = 0;
    loop {
        let status = connection.process(incoming.get_mut(..shown).unwrap_or_default());
        let discard = status.discard;
        let next = match status.state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(&mut data, &mut outgoing)?;
                Next::Go
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                // It goes out when there is nothing more to add.
                data.done();
                Next::Go
            }
            Ok(ConnectionState::BlockedHandshake) => Next::Read,
            Ok(ConnectionState::WriteTraffic(_)) => Next::Done,
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            Err(error) => Next::Fail(error),
        };
        incoming.drain(..discard.min(incoming.len()));
        shown = shown.saturating_sub(discard);
        match next {
            Next::Go => {}
            Next::Done if !connection.common().is_handshaking() => {
                send(&mut io, &mut outgoing).await?;
                if shown > 0 {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "more than a handshake"));
                }
                return Ok(Shaken { io, connection, rest: incoming });
            }
            Next::Done | Next::Read => shown += another(&mut io, &mut incoming, shown, &mut outgoing).await?,
            Next::Fail(error) => {
                tell(&mut io, &mut connection, &mut outgoing).await;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }
}

/// Sends what rustls says of a failure, as far as it can be sent at once: whoever doesn't read needs no reason.
async fn tell<S: Shaking>(io: &mut Box<dyn Io>, connection: &mut S, outgoing: &mut Vec<u8>) {
    // As long as it has something to say, it looks at nothing that has come.
    while connection.common().wants_write() {
        let Ok(ConnectionState::EncodeTlsData(mut data)) = connection.process(&mut []).state else { break };
        if encode(&mut data, outgoing).is_err() {
            break;
        }
    }
    let sending = send(io, outgoing);
    tokio::pin!(sending);
    let _unheard = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
}

async fn send(io: &mut Box<dyn Io>, outgoing: &mut Vec<u8>) -> io::Result<()> {
    if outgoing.is_empty() {
        return Ok(());
    }
    io.write_all(outgoing).await?;
    outgoing.clear();
    io.flush().await
}

fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) -> io::Result<()> {
    let at = outgoing.len();
    loop {
        // It tells how much room it needs.
        match data.encode(outgoing.get_mut(at..).unwrap_or_default()) {
            Ok(_all) => return Ok(()),
            Err(EncodeError::InsufficientSize(more)) => outgoing.resize(at + more.required_size, 0),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

/// Bytes that are read of a handshake at a time: a flight, in most cases.
const FLIGHT: usize = 4096;

/// The length of the record behind those that are shown, once it is all there. Whoever waits for it has sent everything.
async fn another(
    io: &mut Box<dyn Io>,
    incoming: &mut Vec<u8>,
    shown: usize,
    outgoing: &mut Vec<u8>,
) -> io::Result<usize> {
    loop {
        let rest = incoming.get(shown..).unwrap_or_default();
        if let Some(length) = length(rest) {
            return Ok(length);
        }
        if incoming.len() > HANDSHAKE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a handshake that is too long"));
        }
        send(io, outgoing).await?;
        incoming.reserve(FLIGHT);
        if io.read_buf(incoming).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The length of the record that is first, if all of it is there. What can't be one is rustls' to refuse.
fn length(bytes: &[u8]) -> Option<usize> {
    let &[kind, _, _, high, low, ..] = bytes else { return None };
    let length = 5 + usize::from(u16::from_be_bytes([high, low]));
    if !(20..=23).contains(&kind) || length > RECORD_OF_RUSTLS {
        return Some(bytes.len());
    }
    (length <= bytes.len()).then_some(length)
}

/// The largest record that rustls reads to its end: of TLS 1.2 (RFC 5246 §6.2.3).
const RECORD_OF_RUSTLS: usize = 5 + (1 << 14) + 2047;
