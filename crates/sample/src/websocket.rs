//! WebSocket messages over any byte stream (RFC 6455), both sides, without extensions.
//!
//! Invariant: what breaks the protocol is answered by a close frame with the RFC's code and nothing is read after it.
//! The opening handshake is `serve::upgrade` and `ws`.

mod frame;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes, BytesMut};
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::limits;
use frame::{Frame, Violation};
pub(crate) use frame::{Opcode, Side};

/// Why a WebSocket ended other than by a clean close.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebSocketError {
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    #[error("the connection ended without a close frame")]
    Cut,
    #[error("the peer broke the protocol: {0}")]
    Violation(#[from] Violation),
}

/// A whole message, or a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Text(String),
    Binary(Bytes),
    Ping(Bytes),
    Pong(Bytes),
    /// The code, if one was given.
    Close(Option<u16>),
}

/// Going away (RFC 6455 §7.4.1).
pub(crate) const GOING_AWAY: u16 = 1001;
/// Normal closure.
pub(crate) const NORMAL: u16 = 1000;

/// A WebSocket after its handshake.
#[derive(Debug)]
pub(crate) struct WebSocket<S> {
    io: S,
    side: Side,
    received: BytesMut,
    /// Opcode and payload of a message whose last fragment hasn't come.
    partial: Option<(Opcode, BytesMut)>,
    mask: fastrand::Rng,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Takes over a connection; `received` are bytes that came right behind the handshake.
    pub(crate) fn new(io: S, side: Side, received: &[u8]) -> Self {
        Self { io, side, received: BytesMut::from(received), partial: None, mask: fastrand::Rng::new() }
    }

    /// The next message. After an error nothing more can be read. Cancel-safe.
    pub(crate) async fn receive(&mut self) -> Result<Message, WebSocketError> {
        loop {
            let decoded = frame::decode(&self.received, self.side, limits::WEBSOCKET_MESSAGE_BYTES)?;
            if let Some((frame, length)) = decoded {
                self.received.advance(length);
                if let Some(message) = self.assemble(frame)? {
                    return Ok(message);
                }
            } else if self.io.read_buf(&mut self.received).await? == 0 {
                return Err(WebSocketError::Cut);
            }
        }
    }

    /// Adds a frame to the message under way; a message when it is complete.
    fn assemble(&mut self, frame: Frame) -> Result<Option<Message>, Violation> {
        let Frame { fin, opcode, payload } = frame;
        match opcode {
            Opcode::Ping => return Ok(Some(Message::Ping(payload.freeze()))),
            Opcode::Pong => return Ok(Some(Message::Pong(payload.freeze()))),
            Opcode::Close => return frame::close_code(&payload).map(|code| Some(Message::Close(code))),
            Opcode::Text | Opcode::Binary if self.partial.is_some() => return Err(Violation::Interleaved),
            Opcode::Text | Opcode::Binary => self.partial = Some((opcode, payload)),
            Opcode::Continuation => {
                let (_, partial) = self.partial.as_mut().ok_or(Violation::NothingToContinue)?;
                if partial.len() + payload.len() > limits::WEBSOCKET_MESSAGE_BYTES {
                    return Err(Violation::TooLong);
                }
                partial.extend_from_slice(&payload);
            }
        }
        if !fin {
            return Ok(None);
        }
        match self.partial.take() {
            Some((Opcode::Text, text)) => match String::from_utf8(text.to_vec()) {
                Ok(text) => Ok(Some(Message::Text(text))),
                Err(_invalid) => Err(Violation::NotUtf8),
            },
            Some((_, payload)) => Ok(Some(Message::Binary(payload.freeze()))),
            None => Ok(None),
        }
    }

    /// Sends a message in one frame.
    pub(crate) async fn send(&mut self, message: &Message) -> Result<(), WebSocketError> {
        match message {
            Message::Text(text) => self.send_frame(true, Opcode::Text, text.as_bytes()).await,
            Message::Binary(payload) => self.send_frame(true, Opcode::Binary, payload).await,
            Message::Ping(payload) => self.send_frame(true, Opcode::Ping, payload).await,
            Message::Pong(payload) => self.send_frame(true, Opcode::Pong, payload).await,
            Message::Close(code) => {
                let payload = code.map(u16::to_be_bytes);
                self.send_frame(true, Opcode::Close, payload.as_ref().map_or(&[], |code| &code[..])).await
            }
        }
    }

    /// Sends one frame; fragments are the caller's business.
    pub(crate) async fn send_frame(
        &mut self,
        fin: bool,
        opcode: Opcode,
        payload: &[u8],
    ) -> Result<(), WebSocketError> {
        let mask = match self.side {
            Side::Client => Some(self.mask.u32(..).to_be_bytes()),
            Side::Server => None,
        };
        self.io.write_all(&frame::encode(fin, opcode, mask, payload)).await?;
        Ok(self.io.flush().await?)
    }

    /// Ends the sending direction of the connection.
    pub(crate) async fn shutdown(&mut self) -> std::io::Result<()> {
        self.io.shutdown().await
    }
}

/// Sends every message back until the client closes, breaks the protocol, or `stop` completes.
pub(crate) async fn echo<S>(
    mut socket: WebSocket<S>,
    stop: impl Future<Output = ()>,
) -> Result<(), WebSocketError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stop = std::pin::pin!(stop);
    loop {
        let received = tokio::select! {
            received = socket.receive() => received,
            () = stop.as_mut() => Ok(Message::Close(Some(GOING_AWAY))),
        };
        match received {
            Ok(Message::Ping(payload)) => socket.send(&Message::Pong(payload)).await?,
            Ok(Message::Pong(_)) => {}
            Ok(Message::Close(code)) => {
                socket.send(&Message::Close(code)).await?;
                return Ok(socket.shutdown().await?);
            }
            Ok(message) => socket.send(&message).await?,
            Err(WebSocketError::Violation(violation)) => {
                socket.send(&Message::Close(Some(violation.code()))).await?;
                return Ok(socket.shutdown().await?);
            }
            Err(error) => return Err(error),
        }
    }
}

/// `Sec-WebSocket-Accept` for a key (RFC 6455 §4.2.2); `None` when the key isn't 16 bytes in base64.
pub(crate) fn accept(key: &[u8]) -> Option<String> {
    let nonce = STANDARD.decode(key).ok()?;
    (nonce.len() == 16).then(|| {
        let mut hash = Sha1::new();
        hash.update(key);
        hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        STANDARD.encode(hash.finalize())
    })
}

/// A fresh `Sec-WebSocket-Key`. It guards against caches, not attackers (RFC 6455 §10.3).
pub(crate) fn key() -> String {
    STANDARD.encode(fastrand::u128(..).to_be_bytes())
}

#[cfg(test)]
mod tests;
