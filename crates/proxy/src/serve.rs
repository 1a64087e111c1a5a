//! The requests of one downstream connection: HTTP/1 one after the other, HTTP/2 side by side.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use leno_http::exchange::Exchange;
use leno_http::h2;
use leno_http::head::{Scheme, Version};
use leno_http::io::Io;
use leno_http::server::{Config, Connection, Protocol, Tell};
use leno_model::failure::Failure;
use leno_runtime::place::boxed;
use leno_runtime::task;

use crate::core::Core;
use crate::path::Path;
use crate::places;
use crate::refused::{self, Refused};
use crate::request;

/// Serves requests until the connection ends.
pub(crate) async fn requests(
    core: Rc<Core>,
    path: Rc<Path>,
    protocol: Protocol,
    io: Box<dyn Io>,
    scheme: Scheme,
) {
    let h2 = h2::Settings { peer_is_proxy: path.is_from_proxy(), ..h2::Settings::default() };
    let broken_streams = (protocol == Protocol::Http2).then(|| {
        let (core, path) = (Rc::clone(&core), Rc::clone(&path));
        Tell::by(move |broken| refused::stream(&core, &path, broken))
    });
    let budget = Some(core.shared.budget.clone());
    let config = Rc::new(Config { scheme, h2, budget, broken_streams, ..Config::default() });
    let mut connection = Connection::new(protocol, io, config);
    let each = async |exchange| {
        // In a box, or idle connections would hold the room that a request needs, and a task would move it about.
        let (core, path, busy) = (Rc::clone(&core), Rc::clone(&path), places::busy());
        let serving = Box::into_pin(boxed(|| request::serve(core, path, exchange, busy)));
        match protocol {
            Protocol::Http1 => serving.await,
            // Bounded by the connection's limit of concurrent streams.
            Protocol::Http2 => {
                task::spawn_local("request", serving).detach();
            }
        }
    };
    let Some((failure, rule)) = exchanges(&core, &mut connection, each).await else { return };
    let name = match protocol {
        Protocol::Http1 => Version::Http11,
        Protocol::Http2 => Version::Http2,
    };
    refused::request(&core, &path, name.as_str(), &Refused::because(failure, rule));
}

/// What a connection hears of first.
enum Heard {
    /// The next exchange, or the end.
    Accepted(Option<Exchange>),
    /// Draining begins.
    Begun,
    /// Draining is over.
    Forced,
}

/// Serves exchanges by `each` until the connection ends or draining is over. Why it ended, if the client broke a rule.
pub(crate) async fn exchanges(
    core: &Core,
    connection: &mut Connection,
    each: impl AsyncFn(Exchange),
) -> Option<(Failure, String)> {
    let drain = core.shared.lifecycle.drain().clone();
    let _until_drained = drain.guard();
    let handle = connection.drain_handle();
    // Registered once per connection: that takes a lock which all cores share.
    let (mut begun, mut forced) = (pin!(drain.begun()), pin!(drain.forced()));
    // Whom they wake; asked again they are only when somebody else waits, or there is something to hear.
    let mut woken: Option<Waker> = None;
    loop {
        // Waiting for an end is for those who wait for a request.
        let heard = {
            let mut accepting = pin!(connection.accept());
            poll_fn(|cx| {
                if let Poll::Ready(exchange) = accepting.as_mut().poll(cx) {
                    return Poll::Ready(Heard::Accepted(exchange));
                }
                if drain.is_open() && woken.as_ref().is_some_and(|woken| woken.will_wake(cx.waker())) {
                    return Poll::Pending;
                }
                if !handle.is_begun() && begun.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Heard::Begun);
                }
                if forced.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Heard::Forced);
                }
                woken = Some(cx.waker().clone());
                Poll::Pending
            })
            .await
        };
        let exchange = match heard {
            Heard::Accepted(exchange) => exchange,
            Heard::Begun => {
                handle.begin();
                continue;
            }
            Heard::Forced => return None,
        };
        let Some(exchange) = exchange else { return connection.turned_away() };
        if drain.is_begun() {
            // It came first; its answer is the one to tell the client.
            handle.begin();
        }
        each(exchange).await;
    }
}
