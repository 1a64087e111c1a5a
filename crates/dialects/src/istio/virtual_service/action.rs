//! What a rule does: `route`, `redirect` or `directResponse`, with `rewrite` and `timeout`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leno_model::request::split_authority;
use leno_model::retry::{BACKOFF, Conditions, RetryPolicy};
use leno_model::route::{
    Action, Backend, FixedResponse, Forward, PathRewrite, Redirect, RedirectPort, Rewrite, Target,
};

use super::{fault, headers, mirror};
use crate::codes;
use crate::envelope::Context;
use crate::http::{is_authority, is_path};
use crate::istio::host::service_host;
use crate::limits::MAX_RESPONSE_BYTES;
use crate::pattern;
use crate::retry;
use crate::yaml::{Fields, Value};

/// Reads the action of an entry of `http`; `authority` is one that its headers set.
pub(super) fn read(
    fields: &Fields<'_>,
    context: &Context<'_>,
    authority: Option<Arc<str>>,
) -> Option<Action> {
    fields.at_most_one(&["route", "redirect", "directResponse", "delegate"]);
    let rewrite = fields.value("rewrite").as_ref().and_then(rewrite).unwrap_or_default();
    let rewrite = Rewrite { authority: rewrite.authority.or(authority), ..rewrite };
    let timeout = fields.duration("timeout").filter(|timeout| *timeout > Duration::ZERO);
    let (retry, per_try_timeout) = fields.object("retries").map(retries).unwrap_or_default();
    let fault_value = fields.value("fault");
    let fault = fault_value.as_ref().and_then(fault::read);
    let mirrors = mirror::read(fields, context);
    let redirect_value = fields.value("redirect");
    let response_value = fields.value("directResponse");
    if fields.has("delegate") {
        return None;
    }
    if let Some(value) = fault_value
        && (redirect_value.is_some() || response_value.is_some())
    {
        value.invalid(
            "stands beside an answer of the proxy's own",
            "inject faults where requests are sent on",
        );
    }
    if !mirrors.is_empty() && (redirect_value.is_some() || response_value.is_some()) {
        let message = format_args!("{}: only requests that are sent on are mirrored", fields.path());
        fields.report_with(codes::INEFFECTIVE, message, "remove the mirror");
    }
    if let Some(value) = redirect_value {
        return redirect(&value).map(Action::Redirect);
    }
    if let Some(value) = response_value {
        return response(&value).map(Action::Respond);
    }
    let backends = backends(fields, context, "the rule has no route, redirect or directResponse");
    Some(Action::Forward(Forward {
        backends: backends?,
        rewrite,
        timeout,
        per_try_timeout,
        retry,
        repeatable: false,
        hedge_after: None,
        fault,
        mirrors,
    }))
}

/// The destinations of an entry; `none` says that there are none.
pub(super) fn backends(fields: &Fields<'_>, context: &Context<'_>, none: &str) -> Option<Vec<Backend>> {
    let route = fields.value("route");
    let items = route.as_ref().map(Value::items).unwrap_or_default();
    if items.is_empty() {
        let message = format_args!("{}: {none}", fields.path());
        context.findings.report_with(codes::REQUIRED, fields.at(), message, "add one of them");
        return None;
    }
    let backends: Option<Vec<Backend>> = items.iter().map(|item| backend(item, context)).collect();
    Some(weighted(backends?, &items))
}

/// The policy, and the time of one try. Without tries after the first nothing else counts, as in Istio.
fn retries(fields: Fields<'_>) -> (Option<RetryPolicy>, Option<Duration>) {
    let attempts = fields.value("attempts").map_or(Some(0), |value| retry::attempts(&value));
    let per_try = fields.duration("perTryTimeout").filter(|timeout| !timeout.is_zero());
    let named = fields.value("retryOn").filter(|value| value.text().is_some_and(|text| !text.is_empty()));
    let (on, statuses) = match named.map(|value| retry::conditions(&value)) {
        None => (Conditions::DEFAULT, Vec::new()),
        Some(read) => read.unwrap_or_default(),
    };
    let backoff = fields.duration("backoff").filter(|pause| !pause.is_zero());
    let skip_previous = fields.boolean("retryIgnorePreviousHosts");
    fields.finish();
    let policy = RetryPolicy {
        attempts: attempts.unwrap_or_default(),
        on,
        statuses,
        headers: Vec::new(),
        backoff: backoff.unwrap_or(BACKOFF),
        skip_previous,
    };
    let per_try = per_try.filter(|_| policy.attempts > 0);
    (Some(policy), per_try)
}

/// The only backend gets everything; of several at least one must have a weight.
fn weighted(mut backends: Vec<Backend>, items: &[Value<'_>]) -> Vec<Backend> {
    match backends.as_mut_slice() {
        [only] => only.weight = only.weight.max(1),
        several => {
            if let Some(first) = items.first()
                && several.iter().all(|backend| backend.weight == 0)
            {
                let message = "all destinations of the rule have weight 0";
                first.report_with(codes::INVALID_VALUE, message, "give at least one of them a weight");
            }
        }
    }
    backends
}

fn backend(item: &Value<'_>, context: &Context<'_>) -> Option<Backend> {
    let fields = item.fields()?;
    let target = fields.required("destination").and_then(|destination| target(&destination, context));
    let weight = fields.value("weight").map_or(Some(0), |weight| weight.integer(0, i64::from(i32::MAX)));
    let headers_value = fields.value("headers");
    let headers = headers::read(headers_value.clone());
    if let (Some(_), Some(value)) = (&headers.authority, headers_value) {
        let message = "the host is not changed for one destination only";
        value.report_with(codes::LEFT_OUT, message, "set it in the rule's rewrite.authority");
    }
    fields.finish();
    Some(Backend {
        target: target?,
        weight: u32::try_from(weight?).ok()?,
        request_headers: headers.request,
        response_headers: headers.response,
        origin: context.origin(item.at()),
    })
}

/// A `destination`, of a route or of a mirror.
pub(super) fn target(destination: &Value<'_>, context: &Context<'_>) -> Option<Target> {
    let fields = destination.fields()?;
    let host = fields.required("host").and_then(|host| {
        let read = service_host(&host, context)?;
        if read.is_wildcard() {
            host.invalid("is a wildcard", "name one service");
            return None;
        }
        Some(read)
    });
    let subset = fields.text("subset").filter(|name| !name.is_empty()).map(Arc::from);
    let port = fields.object("port").map(|port| {
        let number = port.required("number").and_then(|number| number.port());
        port.finish();
        number
    });
    fields.finish();
    Some(Target::Service {
        host: host?,
        port: match port {
            Some(port) => Some(port?),
            None => None,
        },
        subset,
    })
}

fn rewrite(value: &Value<'_>) -> Option<Rewrite> {
    let fields = value.fields()?;
    fields.at_most_one(&["uri", "uriRegexRewrite"]);
    let uri = fields.value("uri").as_ref().and_then(path_text).map(PathRewrite::Matched);
    let regex = fields.object("uriRegexRewrite").and_then(|fields| {
        let pattern = fields.required("match");
        let substitution = fields.value("rewrite").map_or(Some(""), |value| substitution(&value));
        fields.finish();
        let (pattern, substitution) = (pattern?, substitution?);
        let pattern = pattern::read(pattern.text()?, &pattern)?;
        Some(PathRewrite::Regex { pattern, substitution: substitution.into() })
    });
    let authority = fields.value("authority").as_ref().and_then(authority);
    fields.finish();
    Some(Rewrite { authority, path: uri.or(regex) })
}

/// What replaces a match: path characters, and `\\1` for groups.
fn substitution<'a>(value: &Value<'a>) -> Option<&'a str> {
    let text = value.text()?;
    if !is_path(&format!("/{}", text.replace('\\', "")), false) {
        value.invalid(
            "cannot be a part of a path",
            "write path characters, others as %XX, and \\1 for a group",
        );
        return None;
    }
    Some(text)
}

fn path_text(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text()?;
    if text.is_empty() {
        return None;
    }
    if !is_path(text, false) {
        value.invalid("is not a path", "begin with / and write other characters as %XX");
        return None;
    }
    Some(text.into())
}

fn authority(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text()?;
    if text.is_empty() {
        return None;
    }
    if !is_authority(text) {
        value.invalid("is not a host", "write a host name, with :port if need be");
        return None;
    }
    Some(text.into())
}

fn redirect(value: &Value<'_>) -> Option<Redirect> {
    let fields = value.fields()?;
    fields.at_most_one(&["uri", "prefixRewrite"]);
    fields.at_most_one(&["port", "derivePort"]);
    let uri = fields.value("uri").as_ref().and_then(path_text).map(PathRewrite::Full);
    let prefix = fields.value("prefixRewrite").as_ref().and_then(path_text).map(PathRewrite::Matched);
    let authority = fields.value("authority").as_ref().and_then(authority);
    let (host, authority_port) = match &authority {
        Some(authority) => match split_authority(authority) {
            (_, None) => (Some(authority.clone()), None),
            (_, Some(port)) => {
                let host = authority.rsplit_once(':').map_or(&**authority, |(host, _)| host);
                (Some(Arc::from(host)), Some(port))
            }
        },
        None => (None, None),
    };
    let scheme = fields.value("scheme").as_ref().and_then(|value| match value.text()? {
        "" => None,
        text @ ("http" | "https") => Some(Arc::from(text)),
        _ => {
            value.invalid("is not a scheme of HTTP", "write http or https");
            None
        }
    });
    let port = match (fields.port("port").or(authority_port), fields.choice("derivePort")) {
        (Some(port), _) => RedirectPort::Fixed(port),
        (None, Some("FROM_REQUEST_PORT")) => RedirectPort::Request,
        (None, _) => RedirectPort::SchemeDefault,
    };
    let status = match fields.value("redirectCode") {
        Some(code) => redirect_status(&code),
        None => Some(301),
    };
    fields.finish();
    Some(Redirect { scheme, host, port, path: uri.or(prefix), status: status? })
}

fn redirect_status(value: &Value<'_>) -> Option<u16> {
    match value.integer(0, 999)? {
        status @ (301 | 302 | 303 | 307 | 308) => u16::try_from(status).ok(),
        0 => Some(301),
        _ => {
            value.invalid("is not a redirect", "use 301, 302, 303, 307 or 308");
            None
        }
    }
}

fn response(value: &Value<'_>) -> Option<FixedResponse> {
    let fields = value.fields()?;
    let status = fields.required("status").and_then(|status| status.integer(200, 599));
    let body = fields.value("body").map_or_else(|| Some(Vec::new()), |body| body_bytes(&body));
    fields.finish();
    Some(FixedResponse { status: u16::try_from(status?).ok()?, body: body?.into() })
}

fn body_bytes(value: &Value<'_>) -> Option<Vec<u8>> {
    let fields = value.fields()?;
    fields.at_most_one(&["string", "bytes"]);
    let text = fields.text("string");
    let bytes = fields.value("bytes");
    fields.finish();
    let body = match bytes {
        Some(bytes) => match STANDARD.decode(bytes.text()?) {
            Ok(body) => body,
            Err(_not_base64) => {
                bytes.invalid("is not base64", "encode it with `base64 -w0`, or use string");
                return None;
            }
        },
        None => text.unwrap_or_default().as_bytes().to_vec(),
    };
    if body.len() > MAX_RESPONSE_BYTES {
        value.report_with(
            codes::LIMIT,
            format_args!("the body has {} bytes", body.len()),
            format!("a body may have {MAX_RESPONSE_BYTES}"),
        );
        return None;
    }
    Some(body)
}
