//! Conditions of routes.
//!
//! Each is a variant of its own, so that a proxy refuses a condition that it does not know instead of overlooking it.

use leno_model::route::{HeaderMatch, Match, QueryMatch, Scope, StreamMatch};

use super::read::{host, net, port, some_text, write_pair};
use super::text::{marker, matched_header};
use super::{Interner, Within, each, interned, text};
use crate::malformed::Malformed;
use crate::proto::units;
use crate::proto::units::match_condition::Kind;
use crate::proto::units::scope;

pub(super) fn write(of: &Match) -> units::Match {
    let mut kinds = Vec::new();
    kinds.extend(of.path.as_ref().map(|path| Kind::Path(text::write_path(path))));
    kinds.extend(of.path_ignore_case.then_some(Kind::PathIgnoreCase(true)));
    kinds.extend(of.method.as_ref().map(|value| Kind::Method(text::write(value))));
    kinds.extend(of.scheme.as_ref().map(|value| Kind::Scheme(text::write(value))));
    kinds.extend(of.authority.as_ref().map(|value| Kind::Authority(text::write(value))));
    kinds.extend(of.headers.iter().map(|header| {
        Kind::Header(units::HeaderMatch {
            name: header.name.to_string(),
            value: Some(text::write(&header.value)),
            invert: header.invert,
        })
    }));
    kinds.extend(of.query.iter().map(|query| {
        Kind::Query(units::QueryMatch {
            name: query.name.to_string(),
            value: Some(text::write(&query.value)),
        })
    }));
    kinds.extend(of.port.map(|port| Kind::Port(port.into())));
    kinds.extend(of.source_labels.0.iter().map(|(key, value)| Kind::SourceLabel(write_pair(key, value))));
    kinds.extend(of.source_namespace.as_ref().map(|name| Kind::SourceNamespace(name.to_string())));
    kinds.extend(
        of.scopes
            .as_ref()
            .map(|scopes| Kind::Scopes(units::Scopes { any: scopes.iter().map(write_scope).collect() })),
    );
    kinds.extend(of.stream.as_ref().map(|stream| {
        Kind::Stream(units::StreamMatch {
            server_names: stream.server_names.iter().map(ToString::to_string).collect(),
            subnets: stream.subnets.iter().map(ToString::to_string).collect(),
        })
    }));
    let conditions = kinds.into_iter().map(|kind| units::MatchCondition { kind: Some(kind) }).collect();
    units::Match { conditions }
}

pub(super) fn read(from: units::Match, texts: &mut Interner) -> Result<Match, Malformed> {
    let mut of = Match::default();
    for (index, condition) in from.conditions.into_iter().enumerate() {
        let read = condition.kind.within("kind").and_then(|kind| read_condition(&mut of, kind, texts));
        read.map_err(|error| error.in_element("conditions", index))?;
    }
    of.headers.shrink_to_fit();
    of.query.shrink_to_fit();
    Ok(of)
}

fn read_condition(of: &mut Match, kind: Kind, texts: &mut Interner) -> Result<(), Malformed> {
    match kind {
        Kind::Path(path) => once(&mut of.path, text::read_path(path, texts)).within("path"),
        Kind::PathIgnoreCase(yes) => {
            of.path_ignore_case = true;
            marker(yes).within("path_ignore_case")
        }
        Kind::Method(value) => once(&mut of.method, text::read(value, texts)).within("method"),
        Kind::Scheme(value) => once(&mut of.scheme, text::read(value, texts)).within("scheme"),
        Kind::Authority(value) => once(&mut of.authority, text::read(value, texts)).within("authority"),
        Kind::Header(header) => {
            of.headers.push(HeaderMatch {
                name: matched_header(&header.name, texts).within("header.name")?,
                value: text::required("value", header.value, texts).within("header")?,
                invert: header.invert,
            });
            Ok(())
        }
        Kind::Query(query) => {
            of.query.push(QueryMatch {
                name: interned(&query.name, texts),
                value: text::required("value", query.value, texts).within("query")?,
            });
            Ok(())
        }
        Kind::Port(number) => once(&mut of.port, port(number)).within("port"),
        Kind::SourceLabel(pair) => {
            match of.source_labels.0.insert(interned(&pair.key, texts), interned(&pair.value, texts)) {
                None => Ok(()),
                Some(_) => Err(Malformed::new("given twice").in_field("source_label")),
            }
        }
        Kind::SourceNamespace(name) => {
            once(&mut of.source_namespace, some_text(&name, texts)).within("source_namespace")
        }
        Kind::Stream(stream) => once(&mut of.stream, read_stream(stream)).within("stream"),
        Kind::Scopes(scopes) => {
            once(&mut of.scopes, each("any", scopes.any, |scope| read_scope(scope, texts))).within("scopes")
        }
    }
}

fn read_stream(from: units::StreamMatch) -> Result<StreamMatch, Malformed> {
    Ok(StreamMatch {
        server_names: each("server_names", from.server_names, |name| host(&name))?,
        subnets: each("subnets", from.subnets, |text| net(&text))?,
    })
}

/// Fills what must not be filled twice.
fn once<T>(slot: &mut Option<T>, value: Result<T, Malformed>) -> Result<(), Malformed> {
    match slot.replace(value?) {
        None => Ok(()),
        Some(_) => Err(Malformed::new("given twice")),
    }
}

fn write_scope(scope: &Scope) -> units::Scope {
    let kind = match scope {
        Scope::Mesh => scope::Kind::Mesh(true),
        Scope::Gateway { namespace, name } => scope::Kind::Gateway(units::ObjectName {
            namespace: namespace.to_string(),
            name: name.to_string(),
        }),
    };
    units::Scope { kind: Some(kind) }
}

fn read_scope(from: units::Scope, texts: &mut Interner) -> Result<Scope, Malformed> {
    match from.kind.within("kind")? {
        scope::Kind::Mesh(yes) => marker(yes).within("mesh").map(|()| Scope::Mesh),
        scope::Kind::Gateway(gateway) => Ok(Scope::Gateway {
            namespace: interned(&gateway.namespace, texts),
            name: some_text(&gateway.name, texts).within("gateway.name")?,
        }),
    }
}
