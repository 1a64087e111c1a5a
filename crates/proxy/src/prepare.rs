//! What happens to every request before anything is decided on it.
//!
//! Order: path and host into normal form, hop-by-hop and untrusted headers away, the caller's identity in. What
//! routing and policy see is what goes upstream.

use std::net::IpAddr;

use leno_http::head::{Connect, Known, RequestHead};
use leno_http::hygiene::{self, xfcc};
use leno_http::normalize::{self, PathMode};
use leno_identity::tls::peer::Peer;
use leno_model::failure::Failure;

use crate::core::Core;
use crate::local::Local;

/// What tells a request from all others, in every log and span of it.
pub(crate) const REQUEST_ID: Known = Known::new("x-request-id");

/// Proxies in front of a gateway whose word about the client is believed: none, until configuration says otherwise.
const TRUSTED_HOPS: usize = 0;

/// A request of the own workload. What it says about itself is believed, since it can only speak for itself; but not
/// about who called before it: the next proxy would append to that and so vouch for it.
pub(crate) fn outbound(core: &Core, head: &mut RequestHead) -> Result<(), Failure> {
    xfcc::apply(head, xfcc::Mode::Sanitize, None).map_err(|_managed| Failure::Internal)?;
    common(core, head)
}

/// A request for the own workload. `caller` is whose certificate it came with, where it came with one; where it
/// didn't, nothing that is said about identity counts.
pub(crate) fn inbound(
    core: &Core,
    caller: Option<&xfcc::Written>,
    head: &mut RequestHead,
) -> Result<(), Failure> {
    xfcc::apply(head, xfcc::Mode::AppendForward, caller).map_err(|_managed| Failure::Internal)?;
    common(core, head)
}

/// A peer as the requests of its connection name it to the application.
pub(crate) fn caller(local: &Local, peer: &Peer) -> xfcc::Written {
    let own = local.identities.current();
    let by = own.as_ref().map_or("", |own| own.id().as_str());
    let hash = peer.fingerprint.to_string();
    xfcc::Element { by, hash: &hash, subject: "", uri: peer.id.as_str(), dns: &[] }.write()
}

/// A request from outside the mesh.
pub(crate) fn edge(core: &Core, client: IpAddr, head: &mut RequestHead) -> Result<(), Failure> {
    xfcc::apply(head, xfcc::Mode::Sanitize, None).map_err(|_managed| Failure::Internal)?;
    hygiene::from_outside(head, client, TRUSTED_HOPS).map_err(|_managed| Failure::Internal)?;
    common(core, head)
}

fn common(core: &Core, head: &mut RequestHead) -> Result<(), Failure> {
    // Switching to HTTP/2 in the clear would hide requests from everything below.
    if matches!(head.connect(), Connect::Upgrade(protocol) if protocol.eq_ignore_ascii_case("h2c")) {
        head.clear_upgrade();
    }
    normalize::request(head, PathMode::default())?;
    if !head.fields().has(REQUEST_ID) {
        core.with_request_id(|id| head.fields_mut().put(REQUEST_ID, id))
            .map_err(|_managed| Failure::Internal)?;
    }
    Ok(())
}
