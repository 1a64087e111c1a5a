//! What routes do with requests.

use std::sync::Arc;
use std::time::Duration;

use leno_model::name::Host;
use leno_model::route::{
    Backend, FixedResponse, Forward, HeaderEdits, Mirror, PathRewrite, Redirect, RedirectPort, Rewrite,
    Target,
};

use super::read::{answer_status, host, port, share, some_text, write_duration, write_pair};
use super::text::{header_value, marker, pattern, target_text, written_header};
use super::{Interner, Within, each, fault, interned, origin, retry};
use crate::malformed::Malformed;
use crate::proto::units;
use crate::proto::units::{backend, mirror, path_rewrite, redirect};

pub(super) fn write_forward(forward: &Forward) -> units::Forward {
    units::Forward {
        backends: forward.backends.iter().map(write_backend).collect(),
        authority: forward.rewrite.authority.as_ref().map(ToString::to_string),
        path: forward.rewrite.path.as_ref().map(write_rewrite),
        timeout: forward.timeout.map(write_duration),
        per_try_timeout: forward.per_try_timeout.map(write_duration),
        retry: forward.retry.as_ref().map(retry::write_policy),
        repeatable: forward.repeatable,
        hedge_after: forward.hedge_after.map(write_duration),
        fault: forward.fault.as_ref().map(fault::write),
        mirrors: forward.mirrors.iter().map(write_mirror).collect(),
    }
}

pub(super) fn read_forward(from: units::Forward, texts: &mut Interner) -> Result<Forward, Malformed> {
    let authority = from.authority.map(|text| target_text(&text, texts)).transpose().within("authority")?;
    Ok(Forward {
        backends: each("backends", from.backends, |backend| read_backend(backend, texts))?,
        rewrite: Rewrite {
            authority,
            path: from.path.map(|path| read_rewrite(path, texts)).transpose().within("path")?,
        },
        timeout: from.timeout.map(Duration::from_nanos),
        per_try_timeout: from.per_try_timeout.map(Duration::from_nanos),
        retry: from.retry.map(|policy| retry::read_policy(policy, texts)).transpose().within("retry")?,
        repeatable: from.repeatable,
        hedge_after: from.hedge_after.map(Duration::from_nanos),
        fault: from.fault.map(fault::read).transpose().within("fault")?,
        mirrors: each("mirrors", from.mirrors, |mirror| read_mirror(mirror, texts))?,
    })
}

fn write_backend(backend: &Backend) -> units::Backend {
    let target = match &backend.target {
        Target::Service { host, port, subset } => {
            backend::Target::Service(write_service(host, *port, subset.as_ref()))
        }
        Target::Invalid { reason } => backend::Target::Invalid(reason.to_string()),
    };
    units::Backend {
        target: Some(target),
        weight: backend.weight,
        request_headers: write_edits(&backend.request_headers),
        response_headers: write_edits(&backend.response_headers),
        origin: Some(origin::write(&backend.origin)),
    }
}

fn read_backend(from: units::Backend, texts: &mut Interner) -> Result<Backend, Malformed> {
    let target = match from.target.within("target")? {
        backend::Target::Service(service) => read_service(service, texts).within("service")?,
        backend::Target::Invalid(reason) => Target::Invalid { reason: interned(&reason, texts) },
    };
    Ok(Backend {
        target,
        weight: from.weight,
        request_headers: read_edits(from.request_headers, texts).within("request_headers")?,
        response_headers: read_edits(from.response_headers, texts).within("response_headers")?,
        origin: origin::required(from.origin, texts)?,
    })
}

fn write_mirror(mirror: &Mirror) -> units::Mirror {
    let target = match &mirror.target {
        Target::Service { host, port, subset } => {
            mirror::Target::Service(write_service(host, *port, subset.as_ref()))
        }
        Target::Invalid { reason } => mirror::Target::Invalid(reason.to_string()),
    };
    let origin = Some(origin::write(&mirror.origin));
    units::Mirror { target: Some(target), share: mirror.share, origin }
}

fn read_mirror(from: units::Mirror, texts: &mut Interner) -> Result<Mirror, Malformed> {
    let target = match from.target.within("target")? {
        mirror::Target::Service(service) => read_service(service, texts).within("service")?,
        mirror::Target::Invalid(reason) => Target::Invalid { reason: interned(&reason, texts) },
    };
    let origin = origin::required(from.origin, texts)?;
    Ok(Mirror { target, share: share(from.share).within("share")?, origin })
}

fn write_service(host: &Host, port: Option<u16>, subset: Option<&Arc<str>>) -> units::ServiceTarget {
    units::ServiceTarget {
        host: host.to_string(),
        port: port.map_or(0, u32::from),
        subset: subset.map(ToString::to_string),
    }
}

fn read_service(from: units::ServiceTarget, texts: &mut Interner) -> Result<Target, Malformed> {
    Ok(Target::Service {
        host: host(&from.host).within("host")?,
        port: match from.port {
            0 => None,
            number => Some(port(number).within("port")?),
        },
        subset: match from.subset {
            Some(name) => Some(some_text(&name, texts).within("subset")?),
            None => None,
        },
    })
}

/// Nothing where nothing is changed.
pub(super) fn write_edits(edits: &HeaderEdits) -> Option<units::HeaderEdits> {
    let pairs = |pairs: &[(Arc<str>, Arc<str>)]| -> Vec<units::Pair> {
        pairs.iter().map(|(name, value)| write_pair(name, value)).collect()
    };
    (!edits.is_empty()).then(|| units::HeaderEdits {
        remove: edits.remove.iter().map(ToString::to_string).collect(),
        set: pairs(&edits.set),
        add: pairs(&edits.add),
    })
}

pub(super) fn read_edits(
    from: Option<units::HeaderEdits>,
    texts: &mut Interner,
) -> Result<HeaderEdits, Malformed> {
    let Some(from) = from else { return Ok(HeaderEdits::default()) };
    let mut pairs = |field, pairs| {
        each(field, pairs, |pair: units::Pair| {
            Ok((
                written_header(&pair.key, texts).within("key")?,
                header_value(&pair.value, texts).within("value")?,
            ))
        })
    };
    Ok(HeaderEdits {
        set: pairs("set", from.set)?,
        add: pairs("add", from.add)?,
        remove: each("remove", from.remove, |name| written_header(&name, texts))?,
    })
}

fn write_rewrite(rewrite: &PathRewrite) -> units::PathRewrite {
    use path_rewrite::Kind;
    let kind = match rewrite {
        PathRewrite::Full(path) => Kind::Full(path.to_string()),
        PathRewrite::Matched(path) => Kind::Matched(path.to_string()),
        PathRewrite::Regex { pattern, substitution } => Kind::Regex(units::RegexRewrite {
            pattern: pattern.to_string(),
            substitution: substitution.to_string(),
        }),
    };
    units::PathRewrite { kind: Some(kind) }
}

fn read_rewrite(from: units::PathRewrite, texts: &mut Interner) -> Result<PathRewrite, Malformed> {
    use path_rewrite::Kind;
    Ok(match from.kind.within("kind")? {
        Kind::Full(path) => PathRewrite::Full(target_text(&path, texts).within("full")?),
        Kind::Matched(path) => PathRewrite::Matched(target_text(&path, texts).within("matched")?),
        Kind::Regex(regex) => PathRewrite::Regex {
            pattern: pattern(&regex.pattern).within("regex.pattern")?,
            substitution: target_text(&regex.substitution, texts).within("regex.substitution")?,
        },
    })
}

pub(super) fn write_redirect(redirect: &Redirect) -> units::Redirect {
    units::Redirect {
        scheme: redirect.scheme.as_ref().map(ToString::to_string),
        host: redirect.host.as_ref().map(ToString::to_string),
        port: Some(match redirect.port {
            RedirectPort::Derived => redirect::Port::Derived(true),
            RedirectPort::Request => redirect::Port::Request(true),
            RedirectPort::SchemeDefault => redirect::Port::SchemeDefault(true),
            RedirectPort::Fixed(port) => redirect::Port::Fixed(port.into()),
        }),
        path: redirect.path.as_ref().map(write_rewrite),
        status: redirect.status.into(),
    }
}

pub(super) fn read_redirect(from: units::Redirect, texts: &mut Interner) -> Result<Redirect, Malformed> {
    let (port, given) = match from.port.within("port")? {
        redirect::Port::Derived(yes) => (RedirectPort::Derived, yes),
        redirect::Port::Request(yes) => (RedirectPort::Request, yes),
        redirect::Port::SchemeDefault(yes) => (RedirectPort::SchemeDefault, yes),
        redirect::Port::Fixed(number) => (RedirectPort::Fixed(port(number).within("fixed")?), true),
    };
    marker(given).within("port")?;
    let status = match from.status {
        301 => 301,
        302 => 302,
        303 => 303,
        307 => 307,
        308 => 308,
        other => return Err(Malformed::new(format_args!("{other} is not a redirect")).in_field("status")),
    };
    Ok(Redirect {
        scheme: from.scheme.map(|text| target_text(&text, texts)).transpose().within("scheme")?,
        host: from.host.map(|text| target_text(&text, texts)).transpose().within("host")?,
        port,
        path: from.path.map(|path| read_rewrite(path, texts)).transpose().within("path")?,
        status,
    })
}

pub(super) fn write_fixed(fixed: &FixedResponse) -> units::FixedResponse {
    units::FixedResponse { status: fixed.status.into(), body: fixed.body.to_vec() }
}

pub(super) fn read_fixed(from: units::FixedResponse) -> Result<FixedResponse, Malformed> {
    let status = answer_status(from.status).within("status")?;
    Ok(FixedResponse { status, body: from.body.into() })
}
