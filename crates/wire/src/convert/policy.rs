//! Mutual TLS modes and authorization.
//!
//! Sources, operations and conditions are all lists of clauses, each a demand on one attribute. An attribute or kind of
//! value that is not known is refused, never overlooked.

use std::sync::Arc;

use ipnet::IpNet;
use leno_model::policy::{
    Clause, Condition, ConditionKey, ConditionValue, Mtls, MtlsMode, Operation, Policy, PolicyAction,
    PolicyRule, Source,
};
use leno_model::text::TextMatch;

use super::read::{net, port};
use super::text::matched_header;
use super::{Interner, Within, each, interned, origin, text};
use crate::malformed::Malformed;
use crate::proto::units;
use crate::proto::units::Attribute;
use crate::proto::units::value::Kind;

pub(super) fn write_mtls(mtls: &Mtls) -> units::Mtls {
    units::Mtls {
        mode: write_mode(mtls.mode).into(),
        ports: mtls
            .ports
            .iter()
            .map(|(port, mode)| units::PortMtls { port: (*port).into(), mode: write_mode(*mode).into() })
            .collect(),
        origin: mtls.origin.as_ref().map(origin::write),
    }
}

pub(super) fn read_mtls(from: units::Mtls, texts: &mut Interner) -> Result<Mtls, Malformed> {
    Ok(Mtls {
        mode: read_mode(from.mode)?,
        ports: each("ports", from.ports, |one| Ok((port(one.port).within("port")?, read_mode(one.mode)?)))?,
        origin: from.origin.map(|from| origin::read(from, texts)),
    })
}

fn write_mode(mode: MtlsMode) -> units::MtlsMode {
    match mode {
        MtlsMode::Permissive => units::MtlsMode::Permissive,
        MtlsMode::Strict => units::MtlsMode::Strict,
        MtlsMode::Disable => units::MtlsMode::Disable,
    }
}

fn read_mode(number: i32) -> Result<MtlsMode, Malformed> {
    match units::MtlsMode::try_from(number) {
        Ok(units::MtlsMode::Permissive) => Ok(MtlsMode::Permissive),
        Ok(units::MtlsMode::Strict) => Ok(MtlsMode::Strict),
        Ok(units::MtlsMode::Disable) => Ok(MtlsMode::Disable),
        Ok(units::MtlsMode::Unspecified) | Err(_) => Err(Malformed::missing("mode")),
    }
}

pub(super) fn write(policy: &Policy) -> units::Policy {
    let action = match policy.action {
        PolicyAction::Allow => units::PolicyAction::Allow,
        PolicyAction::Deny => units::PolicyAction::Deny,
    };
    units::Policy {
        origin: Some(origin::write(&policy.origin)),
        action: action.into(),
        dry_run: policy.dry_run,
        rules: policy.rules.iter().map(write_rule).collect(),
    }
}

pub(super) fn read_all(
    policies: Vec<units::Policy>,
    texts: &mut Interner,
) -> Result<Vec<Arc<Policy>>, Malformed> {
    each("policies", policies, |policy| read(policy, texts).map(Arc::new))
}

fn read(from: units::Policy, texts: &mut Interner) -> Result<Policy, Malformed> {
    let action = match units::PolicyAction::try_from(from.action) {
        Ok(units::PolicyAction::Allow) => PolicyAction::Allow,
        Ok(units::PolicyAction::Deny) => PolicyAction::Deny,
        Ok(units::PolicyAction::Unspecified) | Err(_) => return Err(Malformed::missing("action")),
    };
    Ok(Policy {
        origin: origin::required(from.origin, texts)?,
        action,
        dry_run: from.dry_run,
        rules: each("rules", from.rules, |rule| read_rule(rule, texts))?,
    })
}

fn write_rule(rule: &PolicyRule) -> units::PolicyRule {
    units::PolicyRule {
        origin: Some(origin::write(&rule.origin)),
        sources: rule.sources.iter().map(write_source).collect(),
        operations: rule.operations.iter().map(write_operation).collect(),
        conditions: rule.conditions.iter().map(write_condition).collect(),
        incomplete: rule.incomplete,
    }
}

fn read_rule(from: units::PolicyRule, texts: &mut Interner) -> Result<PolicyRule, Malformed> {
    Ok(PolicyRule {
        origin: origin::required(from.origin, texts)?,
        sources: each("sources", from.sources, |source| read_source(source, texts))?,
        operations: each("operations", from.operations, |operation| read_operation(operation, texts))?,
        conditions: each("conditions", from.conditions, |condition| read_condition(condition, texts))?,
        incomplete: from.incomplete,
    })
}

fn write_source(source: &Source) -> units::Clauses {
    let clauses = [
        write_clause(Attribute::SourcePrincipal, &source.principals, write_text),
        write_clause(Attribute::SourceNamespace, &source.namespaces, write_text),
        write_clause(Attribute::SourceServiceAccount, &source.service_accounts, |(namespace, name)| {
            Kind::ServiceAccount(units::ObjectName {
                namespace: namespace.to_string(),
                name: name.to_string(),
            })
        }),
        write_clause(Attribute::SourceTrustDomain, &source.trust_domains, write_text),
        write_clause(Attribute::SourceIp, &source.ips, |net| Kind::Net(net.to_string())),
        write_clause(Attribute::RemoteIp, &source.remote_ips, |net| Kind::Net(net.to_string())),
    ];
    demands(clauses)
}

fn read_source(from: units::Clauses, texts: &mut Interner) -> Result<Source, Malformed> {
    let mut source = Source::default();
    read_clauses(from, |attribute, clause| match attribute {
        Attribute::SourcePrincipal => fill(&mut source.principals, clause, |v| read_text(v, texts)),
        Attribute::SourceNamespace => fill(&mut source.namespaces, clause, |v| read_text(v, texts)),
        Attribute::SourceServiceAccount => fill(&mut source.service_accounts, clause, |v| match v {
            Kind::ServiceAccount(name) => Ok((interned(&name.namespace, texts), interned(&name.name, texts))),
            _ => Err(wrong_kind()),
        }),
        Attribute::SourceTrustDomain => fill(&mut source.trust_domains, clause, |v| read_text(v, texts)),
        Attribute::SourceIp => fill(&mut source.ips, clause, read_net),
        Attribute::RemoteIp => fill(&mut source.remote_ips, clause, read_net),
        _ => Err(Malformed::new("not an attribute of a source").in_field("attribute")),
    })?;
    Ok(source)
}

fn write_operation(operation: &Operation) -> units::Clauses {
    let clauses = [
        write_clause(Attribute::Host, &operation.hosts, write_text),
        write_clause(Attribute::Port, &operation.ports, |port| Kind::Port((*port).into())),
        write_clause(Attribute::Method, &operation.methods, write_text),
        write_clause(Attribute::Path, &operation.paths, |path| Kind::Path(text::write_path(path))),
    ];
    demands(clauses)
}

fn read_operation(from: units::Clauses, texts: &mut Interner) -> Result<Operation, Malformed> {
    let mut operation = Operation::default();
    read_clauses(from, |attribute, clause| match attribute {
        Attribute::Host => fill(&mut operation.hosts, clause, |v| read_text(v, texts)),
        Attribute::Port => fill(&mut operation.ports, clause, read_port),
        Attribute::Method => fill(&mut operation.methods, clause, |v| read_text(v, texts)),
        Attribute::Path => fill(&mut operation.paths, clause, |v| match v {
            Kind::Path(path) => text::read_path(path, texts),
            _ => Err(wrong_kind()),
        }),
        _ => Err(Malformed::new("not an attribute of an operation").in_field("attribute")),
    })?;
    Ok(operation)
}

fn write_condition(condition: &Condition) -> units::Clause {
    let (attribute, header) = match &condition.key {
        ConditionKey::Header(name) => (Attribute::Header, name.to_string()),
        ConditionKey::SourceIp => (Attribute::SourceIp, String::new()),
        ConditionKey::RemoteIp => (Attribute::RemoteIp, String::new()),
        ConditionKey::SourceNamespace => (Attribute::SourceNamespace, String::new()),
        ConditionKey::SourcePrincipal => (Attribute::SourcePrincipal, String::new()),
        ConditionKey::SourceServiceAccount => (Attribute::SourceServiceAccount, String::new()),
        ConditionKey::SourceTrustDomain => (Attribute::SourceTrustDomain, String::new()),
        ConditionKey::DestinationIp => (Attribute::DestinationIp, String::new()),
        ConditionKey::DestinationPort => (Attribute::Port, String::new()),
        ConditionKey::ConnectionSni => (Attribute::Sni, String::new()),
    };
    let clause = write_clause(attribute, &condition.values, |value| match value {
        ConditionValue::Text(value) => write_text(value),
        ConditionValue::Net(net) => Kind::Net(net.to_string()),
        ConditionValue::Port(port) => Kind::Port((*port).into()),
    });
    units::Clause { header, ..clause }
}

fn read_condition(from: units::Clause, texts: &mut Interner) -> Result<Condition, Malformed> {
    let attribute = read_attribute(&from)?;
    let key = match attribute {
        Attribute::Header => ConditionKey::Header(matched_header(&from.header, texts).within("header")?),
        Attribute::SourceIp => ConditionKey::SourceIp,
        Attribute::RemoteIp => ConditionKey::RemoteIp,
        Attribute::SourceNamespace => ConditionKey::SourceNamespace,
        Attribute::SourcePrincipal => ConditionKey::SourcePrincipal,
        Attribute::SourceServiceAccount => ConditionKey::SourceServiceAccount,
        Attribute::SourceTrustDomain => ConditionKey::SourceTrustDomain,
        Attribute::DestinationIp => ConditionKey::DestinationIp,
        Attribute::Port => ConditionKey::DestinationPort,
        Attribute::Sni => ConditionKey::ConnectionSni,
        Attribute::Host | Attribute::Method | Attribute::Path | Attribute::Unspecified => {
            return Err(Malformed::new("not an attribute of a condition").in_field("attribute"));
        }
    };
    let values = read_clause(from, |value| match attribute {
        Attribute::SourceIp | Attribute::RemoteIp | Attribute::DestinationIp => {
            read_net(value).map(ConditionValue::Net)
        }
        Attribute::Port => read_port(value).map(ConditionValue::Port),
        _ => read_text(value, texts).map(ConditionValue::Text),
    })?;
    Ok(Condition { key, values })
}

/// The clauses that demand anything.
fn demands(clauses: impl IntoIterator<Item = units::Clause>) -> units::Clauses {
    let all = clauses.into_iter().filter(|clause| !clause.any.is_empty() || !clause.none.is_empty());
    units::Clauses { all: all.collect() }
}

fn write_clause<T>(attribute: Attribute, clause: &Clause<T>, write: impl Fn(&T) -> Kind) -> units::Clause {
    let values = |values: &[T]| -> Vec<units::Value> {
        values.iter().map(|value| units::Value { kind: Some(write(value)) }).collect()
    };
    units::Clause {
        attribute: attribute.into(),
        header: String::new(),
        any: values(&clause.any),
        none: values(&clause.none),
    }
}

fn read_clauses(
    from: units::Clauses,
    mut read: impl FnMut(Attribute, units::Clause) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    each("all", from.all, |clause| {
        let attribute = read_attribute(&clause)?;
        if clause.any.is_empty() && clause.none.is_empty() {
            return Err(Malformed::new("demands nothing"));
        }
        read(attribute, clause)
    })
    .map(|_units| ())
}

fn read_attribute(clause: &units::Clause) -> Result<Attribute, Malformed> {
    match Attribute::try_from(clause.attribute) {
        Ok(Attribute::Unspecified) | Err(_) => Err(Malformed::missing("attribute")),
        Ok(attribute) if attribute != Attribute::Header && !clause.header.is_empty() => {
            Err(Malformed::new("given without the attribute for it").in_field("header"))
        }
        Ok(attribute) => Ok(attribute),
    }
}

fn fill<T>(
    slot: &mut Clause<T>,
    from: units::Clause,
    read: impl FnMut(Kind) -> Result<T, Malformed>,
) -> Result<(), Malformed> {
    if !slot.is_empty() {
        return Err(Malformed::new("given twice").in_field("attribute"));
    }
    *slot = read_clause(from, read)?;
    Ok(())
}

fn read_clause<T>(
    from: units::Clause,
    mut read: impl FnMut(Kind) -> Result<T, Malformed>,
) -> Result<Clause<T>, Malformed> {
    let mut values =
        |field, values| each(field, values, |value: units::Value| read(value.kind.within("kind")?));
    Ok(Clause { any: values("any", from.any)?, none: values("none", from.none)? })
}

fn write_text(value: &TextMatch) -> Kind {
    Kind::Text(text::write(value))
}

fn read_text(value: Kind, texts: &mut Interner) -> Result<TextMatch, Malformed> {
    match value {
        Kind::Text(value) => text::read(value, texts),
        _ => Err(wrong_kind()),
    }
}

fn read_net(value: Kind) -> Result<IpNet, Malformed> {
    match value {
        Kind::Net(value) => net(&value),
        _ => Err(wrong_kind()),
    }
}

fn read_port(value: Kind) -> Result<u16, Malformed> {
    match value {
        Kind::Port(number) => port(number),
        _ => Err(wrong_kind()),
    }
}

fn wrong_kind() -> Malformed {
    Malformed::new("not a value of its attribute's kind")
}
