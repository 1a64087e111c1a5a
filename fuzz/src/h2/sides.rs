//! What a connection stands between: a socket in memory, and tasks that are polled when they are woken, and only then.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use leno_http::client::Config;
use leno_http::h2::{ClientConnection, ServerConnection};
use leno_http::head::RequestHead;
use leno_http::io::Io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;

/// Polls of one task without anything from outside: more is a task that spins.
const POLLS: usize = 200_000;

/// Gives pieces, one with each read, and keeps what is written.
#[derive(Clone, Default)]
pub(super) struct Socket(Rc<RefCell<Wire>>);

#[derive(Default)]
struct Wire {
    pieces: VecDeque<Bytes>,
    /// Whether everybody else may do something before each piece.
    pauses: bool,
    has_paused: bool,
    is_closed: bool,
    reader: Option<Waker>,
    written: Vec<u8>,
    how: Writes,
    writer: Option<Waker>,
}

/// How what is written is taken.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Writes {
    /// At once.
    #[default]
    All,
    /// In small pieces, each after a pause.
    Narrow,
    /// Not at all.
    Blocked,
}

impl Socket {
    pub(super) fn new(pieces: Vec<Bytes>, how: Writes) -> Self {
        let pauses = pieces.len() > 2;
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        Self(Rc::new(RefCell::new(Wire { pieces, pauses, how, ..Wire::default() })))
    }

    /// Lets the end follow.
    pub(super) fn close(&self) {
        let mut wire = self.0.borrow_mut();
        wire.is_closed = true;
        if let Some(waker) = wire.reader.take() {
            waker.wake();
        }
    }

    /// Takes what is written at once from now on.
    pub(super) fn unblock(&self) {
        let mut wire = self.0.borrow_mut();
        wire.how = Writes::All;
        if let Some(waker) = wire.writer.take() {
            waker.wake();
        }
    }

    pub(super) fn written(&self) -> Vec<u8> {
        self.0.borrow().written.clone()
    }
}

impl Io for Socket {}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.borrow_mut();
        if wire.pauses && !wire.pieces.is_empty() {
            wire.has_paused = !wire.has_paused;
            if wire.has_paused {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let Some(piece) = wire.pieces.front_mut() else {
            if wire.is_closed {
                return Poll::Ready(Ok(()));
            }
            wire.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        buf.put_slice(&piece.split_to(piece.len().min(buf.remaining())));
        if piece.is_empty() {
            wire.pieces.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.0.borrow_mut();
        let taken = match wire.how {
            Writes::All => buf.len(),
            Writes::Narrow => {
                wire.writer = if wire.writer.is_none() { Some(cx.waker().clone()) } else { None };
                if wire.writer.is_some() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                buf.len().min(1000)
            }
            Writes::Blocked => {
                wire.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        wire.written.extend_from_slice(&buf[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Tasks of one core, which may begin others.
#[derive(Clone, Default)]
pub(super) struct Tasks(Rc<RefCell<Vec<Task>>>);

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

thread_local! {
    /// For timers, none of which fires here.
    static RUNTIME: Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
}

impl Tasks {
    pub(super) fn begin(&self, future: impl Future<Output = ()> + 'static) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.0.borrow_mut().push(Task { future: Box::pin(future), woken });
    }

    /// Polls those that are woken until none is; how many haven't ended.
    pub(super) fn settle(&self) -> usize {
        RUNTIME.with(|runtime| {
            let _entered = runtime.enter();
            let mut waiting: Vec<Task> = Vec::new();
            let mut polls = 0;
            loop {
                waiting.append(&mut self.0.borrow_mut());
                let before = polls;
                waiting.retain_mut(|Task { future, woken }| {
                    if !woken.0.swap(false, Ordering::Relaxed) {
                        return true;
                    }
                    polls += 1;
                    let waker = Waker::from(Arc::clone(woken));
                    future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
                });
                assert!(polls < POLLS, "it spins");
                if polls == before && self.0.borrow().is_empty() {
                    let left = waiting.len();
                    self.0.borrow_mut().append(&mut waiting);
                    return left;
                }
            }
        })
    }
}

/// What tasks wait for.
#[derive(Clone, Default)]
pub(super) struct Gate(Rc<RefCell<(bool, Vec<Waker>)>>);

impl Gate {
    pub(super) fn open(&self) {
        let wakers = {
            let mut gate = self.0.borrow_mut();
            gate.0 = true;
            std::mem::take(&mut gate.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) async fn opened(&self) {
        poll_fn(|cx| {
            let mut gate = self.0.borrow_mut();
            if gate.0 {
                return Poll::Ready(());
            }
            gate.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// What our client sends of a request before it is answered, to a server that allows extended CONNECT.
pub(super) fn sent_by_http2(head: &RequestHead) -> Bytes {
    let settings = Bytes::from_static(b"\0\0\x06\x04\0\0\0\0\0\0\x08\0\0\0\x01");
    let (socket, tasks) = (Socket::new(vec![settings], Writes::All), Tasks::default());
    let (mut connection, driver) = ClientConnection::new(Box::new(socket.clone()), &Config::default());
    tasks.begin(driver);
    let head = head.clone();
    tasks.begin(async move {
        let halves = connection.send(&head).await.expect("a fresh connection takes a request");
        std::future::pending::<()>().await;
        drop(halves);
    });
    tasks.settle();
    socket.written().into()
}

/// The request that our server makes of what a client sends.
pub(super) fn accepted(sent: Bytes) -> RequestHead {
    let (tasks, got) = (Tasks::default(), Rc::new(Cell::new(None)));
    let socket = Socket::new(vec![sent.clone()], Writes::All);
    let mut connection = ServerConnection::new(Box::new(socket), Rc::default());
    let place = Rc::clone(&got);
    tasks.begin(async move { place.set(connection.accept().await) });
    tasks.settle();
    let exchange =
        got.take().unwrap_or_else(|| panic!("what was sent is no request: {}", sent.escape_ascii()));
    exchange.head
}
