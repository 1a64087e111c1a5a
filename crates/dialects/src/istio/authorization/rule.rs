//! `rules[]`: from, to and when.

use leno_model::policy::{Operation, PolicyRule, Source};

use super::condition;
use super::list::{clause, host, net, path, port, principal, service_account, stars, trust_domain};
use crate::codes;
use crate::envelope::Context;
use crate::yaml::{Fields, Value};

/// Reads a rule, and how many errors it has. A rule with errors, or with a part that cannot be checked, is
/// incomplete.
pub(super) fn read(item: &Value<'_>, context: &Context<'_>) -> (PolicyRule, usize) {
    let before = context.findings.errors();
    let mut rule = PolicyRule {
        origin: context.origin(item.at()),
        sources: Vec::new(),
        operations: Vec::new(),
        conditions: Vec::new(),
        incomplete: false,
    };
    if let Some(fields) = item.fields() {
        rule.sources = parts(&fields, "from", "source", |fields| {
            let (source, unchecked) = source(fields, context);
            rule.incomplete |= unchecked;
            source
        });
        rule.operations = parts(&fields, "to", "operation", operation);
        for value in fields.items("when") {
            match condition::read(&value, context) {
                Some(condition::Read::Checked(condition)) => rule.conditions.push(condition),
                Some(condition::Read::Unchecked) => rule.incomplete = true,
                None => {}
            }
        }
        fields.finish();
    }
    let errors = context.findings.errors().saturating_sub(before);
    if errors > 0 {
        // Parts of the rule may be missing: an allow rule must not match, and a deny rule must match everything
        // that the whole rule could.
        rule.sources.clear();
        rule.operations.clear();
        rule.conditions.clear();
        rule.incomplete = true;
    }
    (rule, errors)
}

/// The entries of `from` or `to`, of which each has one field. An entry without it would mean everybody or
/// everything, which nobody writes like that.
fn parts<T>(fields: &Fields<'_>, list: &str, name: &str, mut read: impl FnMut(&Fields<'_>) -> T) -> Vec<T> {
    let Some(value) = fields.value(list) else { return Vec::new() };
    let items = value.items();
    if items.is_empty() {
        value.report_with(
            codes::INVALID_VALUE,
            "is an empty list",
            format!("add a {name}, or remove the field"),
        );
    }
    let mut parts = Vec::new();
    for item in &items {
        let Some(entry) = item.fields() else { continue };
        if let Some(part) = entry.required(name)
            && let Some(fields) = part.fields()
        {
            if part.node().entries().is_empty() {
                part.report_with(codes::INVALID_VALUE, "is empty", "say what it is about, or remove it");
            }
            parts.push(read(&fields));
            fields.finish();
        }
        entry.finish();
    }
    parts
}

fn source(fields: &Fields<'_>, context: &Context<'_>) -> (Source, bool) {
    let accounts = ["serviceAccounts", "notServiceAccounts"].iter().any(|name| fields.has(name));
    let others = ["principals", "notPrincipals", "namespaces", "notNamespaces"];
    if accounts && others.iter().any(|name| fields.has(name)) {
        let message =
            format_args!("{}: service accounts stand beside principals or namespaces", fields.path());
        context.findings.report_with(codes::INVALID_VALUE, fields.at(), message, "use one of the two");
    }
    let mut unchecked = false;
    for name in ["requestPrincipals", "notRequestPrincipals"] {
        if let Some(value) = fields.value(name) {
            let message = "identities from tokens are not checked yet, so the rule allows nothing and denies by its other parts";
            value.report_with(
                codes::INCOMPLETE_RULE,
                message,
                "use principals, the identities of mutual TLS",
            );
            let _texts = value.texts();
            unchecked = true;
        }
    }
    let source = Source {
        principals: clause(fields, "principals", "notPrincipals", |value| principal(value, context)),
        namespaces: clause(fields, "namespaces", "notNamespaces", stars),
        service_accounts: clause(fields, "serviceAccounts", "notServiceAccounts", |value| {
            service_account(value, context)
        }),
        trust_domains: clause(fields, "trustDomains", "notTrustDomains", |value| {
            trust_domain(value, context)
        }),
        ips: clause(fields, "ipBlocks", "notIpBlocks", net),
        remote_ips: clause(fields, "remoteIpBlocks", "notRemoteIpBlocks", net),
    };
    (source, unchecked)
}

fn operation(fields: &Fields<'_>) -> Operation {
    Operation {
        hosts: clause(fields, "hosts", "notHosts", host),
        ports: clause(fields, "ports", "notPorts", port),
        methods: clause(fields, "methods", "notMethods", stars),
        paths: clause(fields, "paths", "notPaths", path),
    }
}
