//! What all connections of one service share, and what it does for a request whatever the protocol.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};

use super::faults::Faults;
use super::upstream::{Outcome, Upstream};
use crate::books::Book;
use crate::tasks::Tasks;
use crate::trail::{self, Hop};

/// One service of the bookshop.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) version: HeaderValue,
    upstreams: Vec<Upstream>,
    pub(crate) faults: Faults,
    pub(crate) idle_timeout: Duration,
    pub(crate) tasks: Tasks,
    placed: AtomicU64,
    arrived: AtomicU64,
}

/// Who called, and by which name. A request's extension.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) peer: SocketAddr,
    /// `:authority` (or an absolute target's), shown as `host` in the trail; HTTP/1.1 has it in `Host`.
    pub(crate) authority: Option<Authority>,
}

/// What the services that were called said.
#[derive(Debug)]
pub(crate) struct Answers {
    /// By name of the call.
    pub(crate) values: Map<String, Value>,
    /// This service first, then the trails of the calls in the order in which they are declared.
    pub(crate) trail: Vec<Hop>,
    /// One line per failed call.
    pub(crate) errors: Vec<String>,
}

impl App {
    pub(crate) fn new(
        name: String,
        version: HeaderValue,
        upstreams: Vec<Upstream>,
        faults: Faults,
        idle_timeout: Duration,
        tasks: Tasks,
    ) -> Self {
        Self {
            name,
            version,
            upstreams,
            faults,
            idle_timeout,
            tasks,
            placed: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
        }
    }

    /// Counts a request.
    pub(crate) fn arrives(&self) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests so far, except for those of `/healthz`.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    pub(crate) fn version(&self) -> &str {
        self.version.to_str().unwrap_or_default()
    }

    /// Path segment under which this service answers for a book.
    pub(crate) fn collection(&self) -> &str {
        match self.name.as_str() {
            "shop" | "catalog" => "books",
            other => other,
        }
    }

    /// This service's own entry in the trail.
    pub(crate) fn hop(&self, protocol: &str, caller: Option<&Caller>, headers: &HeaderMap) -> Hop {
        let mut shown = trail::shown(headers);
        if let Some(authority) = caller.and_then(|caller| caller.authority.as_ref()) {
            shown.entry("host".to_owned()).or_insert_with(|| authority.to_string());
        }
        Hop {
            service: self.name.clone(),
            version: self.version().to_owned(),
            protocol: protocol.to_owned(),
            peer: caller.map(|caller| caller.peer.to_string()).unwrap_or_default(),
            headers: shown,
            ..Hop::default()
        }
    }

    /// Calls every declared service at the same time and passes on the trace.
    pub(crate) async fn consult(&self, book: &Book, own: Hop, seen: &HeaderMap) -> Answers {
        let headers = trail::passed_on(seen);
        let outcomes = join_all(self.upstreams.iter().map(|upstream| upstream.ask(book.id, &headers))).await;
        let mut answers = Answers { values: Map::new(), trail: vec![own], errors: Vec::new() };
        for Outcome { name, value, trail } in outcomes {
            trail::append(&mut answers.trail, &self.name, trail);
            let value = value.unwrap_or_else(|error| {
                answers.errors.push(format!("{name}: {error}"));
                json!({"error": error})
            });
            answers.values.insert(name, value);
        }
        answers
    }

    /// Counts a placed order and says the number of orders so far.
    pub(crate) fn place(&self) -> u64 {
        self.placed.fetch_add(1, Ordering::Relaxed) + 1
    }
}
