//! The right to answer a request over HTTP/1.

use std::future::poll_fn;
use std::task::{Context, Poll};

use leno_model::failure::Failure;

use super::body::Decoder;
use super::conn::{Conn, Reading, Shared, Writing};
use super::encode::{self, Encoding};
use super::halves::Outgoing;
use crate::head::{Connect, ResponseHead, Version};

/// The send half of a response before its head.
#[derive(Debug)]
pub(crate) struct Reply {
    conn: Shared,
    open: bool,
}

impl Reply {
    pub(super) fn new(conn: Shared) -> Self {
        Self { conn, open: true }
    }

    pub(crate) async fn informational(&mut self, head: &ResponseHead) -> Result<(), Failure> {
        {
            let mut conn = self.conn.borrow_mut();
            if conn.answered.version == Version::Http10 || !head.is_informational() {
                return Ok(());
            }
            if head.status() == http::StatusCode::CONTINUE {
                conn.expecting = false;
            }
            let request = conn.answered.clone();
            encode::response(head, &request, conn.text());
        }
        poll_fn(|cx| self.conn.borrow_mut().poll_flush(cx)).await
    }

    pub(crate) fn head(mut self, head: &ResponseHead) -> Outgoing {
        self.open = false;
        let mut conn = self.conn.borrow_mut();
        if head.is_informational() || matches!(conn.writing, Writing::Failed(_)) {
            conn.break_off(Failure::Internal);
            drop(conn);
            return Outgoing::new(&self.conn);
        }
        let mut request = conn.answered.clone();
        // A client that wasn't told to go on may send its body or not; one whose CONNECT is refused may have sent
        // tunnel bytes. Neither must be taken for a request.
        let unclear = match request.connect {
            Connect::Connect => !head.status().is_success(),
            _ => conn.expecting && matches!(conn.reading, Reading::Body(_) | Reading::Abandoned(_)),
        };
        request.persistent = conn.persistent && !unclear && !conn.drain.is_begun();
        let (encoding, persistent) = encode::response(head, &request, conn.text());
        conn.persistent = persistent;
        let tunnel = encoding == Encoding::Plain
            && match &request.connect {
                Connect::None => false,
                Connect::Connect | Connect::Extended(_) => head.status().is_success(),
                Connect::Upgrade(_) => head.status() == http::StatusCode::SWITCHING_PROTOCOLS,
            };
        conn.writing = match encoding {
            Encoding::None => Writing::Idle,
            Encoding::Plain if tunnel => Writing::Tunnel,
            encoding => Writing::Body(encoding),
        };
        if let Reading::Switch { dropped } = conn.reading {
            conn.reading = match (tunnel, dropped) {
                (true, false) => Reading::Body(Decoder::until_close()),
                (true, true) => Reading::Abandoned(Decoder::until_close()),
                (false, _) => Reading::Idle,
            };
        }
        Conn::release_and_wake_all(conn);
        Outgoing::new(&self.conn)
    }

    pub(crate) fn abort(mut self, failure: Failure) {
        self.break_off(failure);
    }

    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let mut conn = self.conn.borrow_mut();
        match conn.writing {
            Writing::Failed(failure) => Poll::Ready(failure),
            _ => conn.poll_gone(cx),
        }
    }

    fn break_off(&mut self, failure: Failure) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let mut conn = self.conn.borrow_mut();
        conn.break_off(failure);
        Conn::release_and_wake_owner(conn);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.break_off(Failure::Internal);
    }
}
