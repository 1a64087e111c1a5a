//! What happens to every request before anything is decided on it.
//!
//! Order: path and host into normal form, hop-by-hop and untrusted headers away, the caller's identity in. What
//! routing and policy see is what goes upstream.

use std::net::IpAddr;

use leno_http::head::{Connect, RequestHead};
use leno_identity::tls::peer::Peer;
use leno_model::failure::Failure;

use crate::core::Core;
use crate::local::Local;

const XFCC: &str = "x-forwarded-client-cert";
const REQUEST_ID: &str = "x-request-id";

/// A request of the own workload. What it says about itself is believed, since it can only speak for itself.
pub(crate) fn outbound(core: &Core, head: &mut RequestHead) -> Result<(), Failure> {
    common(core, head)
}

/// A request for the own workload. `peer` is who sent it, where that is proved.
pub(crate) fn inbound(
    core: &Core,
    local: &Local,
    peer: Option<&Peer>,
    head: &mut RequestHead,
) -> Result<(), Failure> {
    common(core, head)?;
    match peer {
        Some(peer) => {
            let own = local.identities.current();
            let by = own.as_ref().map_or("", |own| own.id().as_str());
            let element = format!("By={by};Hash={};Subject=\"\";URI={}", peer.fingerprint, peer.id);
            append_list(head, XFCC, &element);
        }
        // Nobody proved anything, so nothing that is said about identity counts.
        None => {
            head.fields_mut().remove(XFCC);
        }
    }
    Ok(())
}

/// A request from outside the mesh.
pub(crate) fn edge(core: &Core, client: Option<IpAddr>, head: &mut RequestHead) -> Result<(), Failure> {
    head.fields_mut().remove(XFCC);
    head.fields_mut().remove_where(|name| name.starts_with("x-envoy-") || name == "x-forwarded-for");
    if let Some(client) = client {
        append_list(head, "x-forwarded-for", &client.to_string());
    }
    let scheme = leno_model::request::RequestView::scheme(head).to_owned();
    let _managed = head.fields_mut().set("x-forwarded-proto", scheme.as_bytes());
    common(core, head)
}

fn common(core: &Core, head: &mut RequestHead) -> Result<(), Failure> {
    match head.connect() {
        // A forward proxy is something else.
        Connect::Connect => return Err(Failure::UpgradeRefused),
        // Switching to HTTP/2 in the clear would hide requests from everything below.
        Connect::Upgrade(protocol) if protocol.eq_ignore_ascii_case("h2c") => head.clear_upgrade(),
        Connect::Upgrade(_) | Connect::Extended(_) | Connect::None => {}
    }
    if head.fields().get(REQUEST_ID).is_none() {
        core.with_request_id(|id| head.fields_mut().set(REQUEST_ID, id))
            .map_err(|_managed| Failure::Internal)?;
    }
    Ok(())
}

fn append_list(head: &mut RequestHead, name: &str, element: &str) {
    let joined = match head.fields().joined(name) {
        Some(before) if !before.is_empty() => [&before, &b","[..], element.as_bytes()].concat(),
        _ => element.as_bytes().to_vec(),
    };
    let _managed = head.fields_mut().set(name, &joined);
}
