//! `when[]`: further conditions.

use leno_model::policy::{Condition, ConditionKey, ConditionValue};

use super::list::{clause, net, port, principal, service_account, stars, trust_domain};
use crate::codes;
use crate::envelope::Context;
use crate::http::is_header_name;
use crate::table::nearest;
use crate::yaml::Value;

/// A condition that was read.
pub(super) enum Read {
    /// It can be checked.
    Checked(Condition),
    /// It cannot be checked yet; the rule is incomplete.
    Unchecked,
}

/// Keys by their fixed names.
const KEYS: &[(&str, ConditionKey)] = &[
    ("source.ip", ConditionKey::SourceIp),
    ("remote.ip", ConditionKey::RemoteIp),
    ("source.namespace", ConditionKey::SourceNamespace),
    ("source.principal", ConditionKey::SourcePrincipal),
    ("source.serviceAccount", ConditionKey::SourceServiceAccount),
    ("source.trustDomain", ConditionKey::SourceTrustDomain),
    ("destination.ip", ConditionKey::DestinationIp),
    ("destination.port", ConditionKey::DestinationPort),
    ("connection.sni", ConditionKey::ConnectionSni),
];

/// Keys that Istio has and Leno cannot check yet begin with these.
const UNCHECKED: &[&str] = &["request.auth.", "experimental.envoy.filters."];

/// Reads a condition; `None` when it is wrong.
pub(super) fn read(item: &Value<'_>, context: &Context<'_>) -> Option<Read> {
    let fields = item.fields()?;
    let key_value = fields.required("key");
    if !fields.has("values") && !fields.has("notValues") {
        item.report_with(codes::REQUIRED, "has neither values nor notValues", "add one of them");
    }
    let text = key_value.as_ref().and_then(Value::text);
    if text.is_some_and(|text| UNCHECKED.iter().any(|prefix| text.starts_with(prefix))) {
        let _texts = (fields.texts("values"), fields.texts("notValues"));
        fields.finish();
        let message = format_args!(
            "{} is not checked yet, so the rule allows nothing and denies by its other parts",
            key_value?.shown()
        );
        item.report_with(codes::INCOMPLETE_RULE, message, "use another condition");
        return Some(Read::Unchecked);
    }
    let key = key_value.as_ref().and_then(key);
    let values = clause(&fields, "values", "notValues", |value| match &key {
        Some(key) => condition_value(key, value, context),
        None => None,
    });
    fields.finish();
    Some(Read::Checked(Condition { key: key?, values }))
}

fn key(value: &Value<'_>) -> Option<ConditionKey> {
    let text = value.text()?;
    if let Some((_, key)) = KEYS.iter().find(|(name, _)| *name == text) {
        return Some(key.clone());
    }
    let header = text.strip_prefix("request.headers[").and_then(|rest| rest.strip_suffix(']'));
    if let Some(name) = header.filter(|name| is_header_name(name)) {
        return Some(ConditionKey::Header(name.to_ascii_lowercase().into()));
    }
    let hint = match nearest(text, KEYS.iter().map(|(name, _)| *name)) {
        Some(name) => format!("did you mean {name}?"),
        None => {
            "use request.headers[name], source.ip, source.principal or another of Istio's keys".to_owned()
        }
    };
    value.invalid("is not a key of conditions", hint);
    None
}

fn condition_value(key: &ConditionKey, value: &Value<'_>, context: &Context<'_>) -> Option<ConditionValue> {
    match key {
        ConditionKey::SourceIp | ConditionKey::RemoteIp | ConditionKey::DestinationIp => {
            net(value).map(ConditionValue::Net)
        }
        ConditionKey::DestinationPort => port(value).map(ConditionValue::Port),
        ConditionKey::SourcePrincipal => principal(value, context).map(ConditionValue::Text),
        ConditionKey::SourceTrustDomain => trust_domain(value, context).map(ConditionValue::Text),
        ConditionKey::SourceServiceAccount => {
            let (namespace, account) = service_account(value, context)?;
            Some(ConditionValue::Text(leno_model::text::TextMatch::Exact(
                format!("{namespace}/{account}").into(),
            )))
        }
        ConditionKey::Header(_) | ConditionKey::SourceNamespace | ConditionKey::ConnectionSni => {
            stars(value).map(ConditionValue::Text)
        }
    }
}
