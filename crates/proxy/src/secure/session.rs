//! A TLS 1.3 session after its handshake (RFC 8446), with keys that rustls has agreed on and updates.
//!
//! rustls moves what passes by copies into its own buffers, three for each byte that is read. Here a record is opened from
//! the buffer that it was read to into the reader's, and sealed from the writer's into the one that is sent.
//!
//! Invariants: nothing is handed out that wasn't authenticated, and nothing after an end or a fault. A peer that is waited
//! for can't make it hold more than a record and a handshake message, nor write more than it was given, nor work without end
//! for nothing; a reader that waits holds what one read has brought.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use leno_http::io::{Io, Unread};
use leno_http::limits::BULK_BUFFER;
use rustls::kernel::KernelConnection;
use rustls::{AlertDescription, ConnectionTrafficSecrets, ExtractedSecrets};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::outbox::Outbox;
use super::pieces::Pieces;
use super::posts::{Alert, CLOSE, FATAL, Note, Posts, UPDATE};
use super::records::{self, Content, Fault, HEADER, Opener, PLAIN, Sealer};
use crate::limits::{SEALED_AT_ONCE, UNPRODUCTIVE_RECORDS};

/// Which side of the handshake this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// Keys after those in use (§7.2).
pub(super) trait Updates: 'static {
    fn for_sending(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error>;
    fn for_receiving(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error>;
}

impl<Data: 'static> Updates for KernelConnection<Data> {
    fn for_sending(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
        self.update_tx_secret()
    }

    fn for_receiving(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
        self.update_rx_secret()
    }
}

/// What a handshake has left.
pub(super) struct Agreed {
    pub(super) secrets: ExtractedSecrets,
    pub(super) updates: Box<dyn Updates>,
    /// Records that one key may seal.
    pub(super) limit: u64,
    /// What came behind the handshake.
    pub(super) rest: Vec<u8>,
}

/// See the module.
pub(crate) struct Session {
    io: Box<dyn Io>,
    updates: Box<dyn Updates>,
    opener: Opener,
    sealer: Sealer,
    unread: Unread,
    opened: Opened,
    outbox: Outbox,
    posts: Posts,
    reading: Reading,
    writing: Writing,
    /// Records in a row that brought the reader nothing.
    unproductive: u8,
    /// Whether a peer that asked for an update has its answer in the outbox.
    owes_update: bool,
    /// Who waits to write. Where the reader writes, the duplex knows the reader alone.
    writer: Option<Waker>,
}

/// A record at the front of what is unread, opened in its place, since the reader had no room for all of it.
#[derive(Clone, Copy, Default)]
struct Opened {
    left: usize,
    /// Its type, padding and tag.
    behind: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Open,
    /// The peer has said that nothing follows.
    Ended,
    /// The connection has ended without that.
    CutOff,
    Alerted(AlertDescription),
    Broken(Fault),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    Open,
    Closed,
}

impl Session {
    pub(super) fn new(io: Box<dyn Io>, side: Side, agreed: Agreed) -> Result<Self, Fault> {
        let Agreed { secrets, updates, limit, rest } = agreed;
        Ok(Self {
            io,
            updates,
            opener: Opener::new(secrets.rx)?,
            sealer: Sealer::new(secrets.tx, limit)?,
            unread: Unread::from(rest),
            opened: Opened::default(),
            outbox: Outbox::default(),
            posts: Posts::new(side),
            reading: Reading::Open,
            writing: Writing::Open,
            unproductive: 0,
            owes_update: false,
            writer: None,
        })
    }

    /// Hands out what is there, and reads until something is.
    fn poll_into(&mut self, buf: &mut ReadBuf<'_>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        while buf.remaining() > 0 {
            if self.owes_update {
                self.drain_aside(cx);
            }
            if self.opened.left > 0 {
                self.hand_out(buf);
                continue;
            }
            let has_some = buf.filled().len() > before;
            match self.reading {
                Reading::Open => {}
                _ if has_some => break,
                Reading::Ended => break,
                Reading::CutOff => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Reading::Alerted(alert) => {
                    let told = rustls::Error::AlertReceived(alert);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, told)));
                }
                Reading::Broken(fault) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
                }
            }
            let result = match records::length(self.unread.bytes()) {
                Ok(Some(length)) if length <= self.unread.bytes().len() => self.open(length, buf),
                // Who has filled a buffer and has room for another goes on: larger pieces are cheaper.
                Ok(_) if has_some && !(self.unread.has_filled() && buf.remaining() >= BULK_BUFFER) => break,
                Ok(length) => {
                    let filled = self.unread.poll_fill(&mut self.io, length.unwrap_or(HEADER), cx);
                    match filled {
                        Poll::Pending if has_some => break,
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Err(error)) if !has_some => return Poll::Ready(Err(error)),
                        Poll::Ready(Ok(0) | Err(_)) => self.end(Reading::CutOff),
                        Poll::Ready(Ok(_)) => {}
                    }
                    Ok(())
                }
                Err(fault) => Err(fault),
            };
            if let Err(fault) = result {
                self.refuse(fault, cx);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads no more.
    fn end(&mut self, reading: Reading) {
        self.reading = reading;
        self.unread = Unread::default();
    }

    /// Gives the reader what it has room for.
    fn hand_out(&mut self, buf: &mut ReadBuf<'_>) {
        let n = self.opened.left.min(buf.remaining());
        buf.put_slice(self.unread.bytes().get(..n).unwrap_or_default());
        self.opened.left -= n;
        self.unread.consume(if self.opened.left == 0 { n + self.opened.behind } else { n });
    }

    /// Opens the record of this length that is next.
    fn open(&mut self, length: usize, buf: &mut ReadBuf<'_>) -> Result<(), Fault> {
        let record = self.unread.bytes().get_mut(..length).unwrap_or_default();
        let room = records::room(length);
        if buf.remaining() >= room {
            let out = buf.initialize_unfilled_to(room);
            let (content, n) = self.opener.open_to(record, out)?;
            self.unread.consume(length);
            if content == Content::Data {
                self.has_come(n)?;
                buf.advance(n);
                return Ok(());
            }
            let post = out.get(..n).unwrap_or_default();
            return self.take_in(content, post);
        }
        let (content, n) = self.opener.open_in_place(record)?;
        if content == Content::Data {
            self.has_come(n)?;
            let behind = length - HEADER - n;
            self.unread.consume(if n == 0 { length } else { HEADER });
            self.opened = Opened { left: n, behind };
            return Ok(());
        }
        let post = record.get(HEADER..).and_then(|opened| opened.get(..n)).unwrap_or_default().to_vec();
        self.unread.consume(length);
        self.take_in(content, &post)
    }

    /// Whether so much data may come now.
    fn has_come(&mut self, bytes: usize) -> Result<(), Fault> {
        if self.posts.is_partial() {
            return Err(Fault::Unexpected("data within a handshake message"));
        }
        if bytes == 0 {
            return self.bear();
        }
        self.unproductive = 0;
        Ok(())
    }

    /// Counts what brings the reader nothing.
    fn bear(&mut self) -> Result<(), Fault> {
        self.unproductive = self.unproductive.saturating_add(1);
        if self.unproductive > UNPRODUCTIVE_RECORDS {
            return Err(Fault::Unexpected("too many records without data"));
        }
        Ok(())
    }

    /// What the peer tells of the session.
    fn take_in(&mut self, content: Content, post: &[u8]) -> Result<(), Fault> {
        match content {
            Content::Alert => match self.posts.alert(post)? {
                Alert::Close => self.end(Reading::Ended),
                Alert::Warning => self.bear()?,
                Alert::Fatal(alert) => {
                    self.end(Reading::Alerted(alert));
                    self.writing = Writing::Closed;
                }
            },
            _ => {
                let note = self.posts.handshake(post)?;
                self.bear()?;
                if let Note::Update { asks } = note {
                    let keys = self.updates.for_receiving().map_err(|_no_keys| Fault::Keys)?;
                    self.opener = Opener::new(keys)?;
                    // One answer does for all that were asked while it couldn't be sent (§4.6.3).
                    if asks && !self.owes_update && self.writing == Writing::Open {
                        self.owes_update = true;
                        self.update()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells the peer that other keys follow, and takes them.
    fn update(&mut self) -> Result<(), Fault> {
        self.post(Content::Handshake, &UPDATE)?;
        self.sealer.update(self.updates.for_sending().map_err(|_no_keys| Fault::Keys)?)
    }

    fn post(&mut self, content: Content, bytes: &[u8]) -> Result<(), Fault> {
        let pieces = [IoSlice::new(bytes)];
        self.sealer.seal(content, &mut Pieces::new(&pieces), bytes.len(), &mut self.outbox)
    }

    /// Ends the session, and tells the peer why as far as it can be sent.
    fn refuse(&mut self, fault: Fault, cx: &mut Context<'_>) {
        self.end(Reading::Broken(fault));
        if self.writing == Writing::Open {
            self.writing = Writing::Closed;
            if self.post(Content::Alert, &[FATAL, fault.alert()]).is_ok() {
                self.drain_aside(cx);
            }
        }
    }

    /// Writes what was sealed, for whoever writes.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let drained = self.outbox.poll_drain(&mut *self.io, cx);
        match &drained {
            Poll::Ready(_) => self.owes_update = false,
            Poll::Pending => self.writer = Some(cx.waker().clone()),
        }
        drained
    }

    /// The same for whoever reads. What can't be sent goes before whatever is written next, and an error is the writer's.
    fn drain_aside(&mut self, cx: &mut Context<'_>) {
        if self.outbox.poll_drain(&mut *self.io, cx).is_ready() {
            self.owes_update = false;
        }
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// Seals as much as is taken at once.
    fn seal(&mut self, bufs: &[IoSlice<'_>]) -> Result<usize, Fault> {
        let all = bufs.iter().fold(0_usize, |sum, buf| sum.saturating_add(buf.len())).min(SEALED_AT_ONCE);
        let (mut pieces, mut left) = (Pieces::new(bufs), all);
        while left > 0 {
            if self.sealer.is_worn() {
                self.update()?;
            }
            let length = left.min(PLAIN);
            self.sealer.seal(Content::Data, &mut pieces, length, &mut self.outbox)?;
            left -= length;
        }
        Ok(all)
    }
}

impl AsyncRead for Session {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_into(buf, cx)
    }
}

leno_http::forward_socket!(Session, io);

impl AsyncWrite for Session {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        if self.writing == Writing::Closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = match self.seal(bufs) {
            Ok(taken) => taken,
            Err(fault) => {
                self.refuse(fault, cx);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
            }
        };
        match self.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // The rest goes out before anything else is taken, or by a flush.
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writing == Writing::Open {
            self.writing = Writing::Closed;
            self.post(Content::Alert, &CLOSE)
                .map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
