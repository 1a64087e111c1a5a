//! Where a redirect leads.

use std::borrow::Cow;
use std::fmt::Write as _;

use leno_model::failure::Failure;
use leno_model::request::{RequestView, split_authority};
use leno_model::route::{Redirect, RedirectPort};

use super::rewrite::Edit;
use crate::text::Path;

/// The `location` header: an absolute URI, or only a path where neither request nor rule names a host. The query
/// stays, unless the rule's path brings its own.
///
/// # Errors
/// As [`Edit::apply`].
pub(super) fn location(
    redirect: &Redirect,
    edit: Option<&Edit>,
    matched: Option<&Path>,
    request: &impl RequestView,
    listener_port: u16,
) -> Result<String, Failure> {
    let path = match edit {
        Some(edit) => edit.apply(request.path(), matched)?,
        None => None,
    };
    let path = path.unwrap_or_else(|| Cow::Borrowed(request.path()));
    let scheme = redirect.scheme.as_deref().unwrap_or_else(|| request.scheme());
    let (request_host, request_port) = split_authority(request.authority());
    let host = redirect.host.as_deref().unwrap_or(request_host);

    let mut location = String::with_capacity(scheme.len() + host.len() + path.len() + 16);
    if !host.is_empty() {
        let address = host.contains(':') && !host.starts_with('[');
        let (open, close) = if address { ("[", "]") } else { ("", "") };
        // Writing to a string cannot fail.
        let _ = write!(location, "{scheme}://{open}{host}{close}");
        let kept = if redirect.host.is_none() { request_port } else { None };
        if let Some(port) = port(redirect, request.scheme(), kept, listener_port)
            && default_port(scheme) != Some(port)
        {
            let _ = write!(location, ":{port}");
        }
    }
    location.push_str(&path);
    if let Some(query) = request.query().filter(|_| !path.contains('?')) {
        location.push('?');
        location.push_str(query);
    }
    Ok(location)
}

/// The port to write out, unless it is the scheme's default. `kept` is the one the request wrote beside a host that
/// stays.
fn port(redirect: &Redirect, request_scheme: &str, kept: Option<u16>, listener_port: u16) -> Option<u16> {
    match redirect.port {
        RedirectPort::Fixed(port) => Some(port),
        RedirectPort::Request => Some(listener_port),
        RedirectPort::Derived => match redirect.scheme.as_deref().map(default_port) {
            Some(Some(_)) => None,
            Some(None) | None => Some(listener_port),
        },
        // Envoy keeps the request's port, except one that was only the old scheme's default.
        RedirectPort::SchemeDefault => {
            let changes = redirect.scheme.as_deref().is_some_and(|scheme| scheme != request_scheme);
            kept.filter(|port| !changes || default_port(request_scheme) != Some(*port))
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}
