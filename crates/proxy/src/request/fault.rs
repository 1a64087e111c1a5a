//! Faults that the route injects: a wait, then perhaps an answer of the proxy's own. Which ones is decided by
//! [`leno_engine::fault`].

use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use leno_engine::fault::Injected;
use leno_http::exchange::Reply;
use leno_http::head::RequestHead;
use leno_http::reply::LocalReply;
use leno_model::failure::Failure;
use leno_model::fault::AbortStatus;

use super::{denied, refuse};
use crate::core::{Core, Held};
use crate::path::Path;
use crate::record::Record;

/// Injects what was drawn. Gives the way to answer back, where the request goes on.
pub(super) async fn inject(
    core: &Core,
    path: &Path,
    view: &Rc<Held>,
    record: &mut Record,
    head: &RequestHead,
    mut reply: Reply,
    injected: Injected,
) -> Option<Reply> {
    if let Some(delay) = injected.delay {
        core.shared.faults.delay.inc();
        record.delayed();
        tokio::select! {
            biased;
            failure = reply.closed() => {
                record.failed(failure);
                return None;
            }
            failure = denied(core, path, view, head) => {
                refuse(record, reply, failure);
                return None;
            }
            () = leno_runtime::time::sleep(delay) => {}
        }
    }
    let Some(status) = injected.abort else { return Some(reply) };
    core.shared.faults.abort.inc();
    let LocalReply { head, body } = answer(status, record.is_grpc());
    record.aborted(&head);
    reply.whole(head, body);
    None
}

/// The answer of an aborted request, as Envoy gives it.
pub(crate) fn answer(status: AbortStatus, is_grpc: bool) -> LocalReply {
    let text = Failure::FaultAbort.row().body;
    match status {
        AbortStatus::Grpc(status) if is_grpc => LocalReply::grpc(status, text),
        AbortStatus::Grpc(_) => LocalReply::http(StatusCode::OK, text),
        AbortStatus::Http(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            LocalReply::with_status(status, text, is_grpc)
        }
    }
}

/// How long a request has waited before it goes on.
pub(crate) fn waited(injected: Injected) -> Duration {
    injected.delay.unwrap_or_default()
}
