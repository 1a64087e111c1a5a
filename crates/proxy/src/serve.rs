//! The requests of one downstream connection: HTTP/1 one after the other, HTTP/2 side by side.

use std::pin::pin;
use std::rc::Rc;

use leno_http::exchange::Exchange;
use leno_http::h2;
use leno_http::head::{Scheme, Version};
use leno_http::io::Io;
use leno_http::server::{Config, Connection, Protocol};
use leno_model::failure::Failure;
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
    let config =
        Rc::new(Config { scheme, h2, budget: Some(core.shared.budget.clone()), ..Config::default() });
    let mut connection = Connection::new(protocol, io, config);
    let each = async |exchange| {
        let serving = request::serve(Rc::clone(&core), Rc::clone(&path), exchange, places::busy());
        match protocol {
            // In a box, or idle connections would hold the room that a request needs.
            Protocol::Http1 => Box::pin(serving).await,
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
    loop {
        // Waiting for an end is for those who wait for a request.
        let exchange = tokio::select! {
            biased;
            exchange = connection.accept() => exchange,
            () = &mut begun, if !handle.is_begun() => {
                handle.begin();
                continue;
            }
            () = &mut forced => return None,
        };
        let Some(exchange) = exchange else { return connection.turned_away() };
        if drain.is_begun() {
            // It came first; its answer is the one to tell the client.
            handle.begin();
        }
        each(exchange).await;
    }
}
