//! The fields of AuthorizationPolicy.

use crate::istio::selector::SELECTOR;
use crate::table::{Field, Shape};

pub(super) const SPEC: &[Field] = &[
    Field::object("selector", SELECTOR),
    Field::object("targetRef", TARGET).deprecated("targetRefs"),
    Field::list("targetRefs", &Shape::Object(TARGET)),
    Field::choice("action", &["ALLOW", "DENY", "AUDIT", "CUSTOM"]),
    Field::object("provider", &[Field::text("name")]),
    Field::list("rules", &Shape::Object(RULE)),
];

const TARGET: &[Field] =
    &[Field::text("group"), Field::text("kind"), Field::text("name"), Field::text("namespace")];

const RULE: &[Field] = &[
    Field::list("from", &Shape::Object(&[Field::object("source", SOURCE)])),
    Field::list("to", &Shape::Object(&[Field::object("operation", OPERATION)])),
    Field::list("when", &Shape::Object(CONDITION)),
];

const SOURCE: &[Field] = &[
    Field::texts("principals"),
    Field::texts("notPrincipals"),
    Field::texts("namespaces"),
    Field::texts("notNamespaces"),
    Field::texts("serviceAccounts"),
    Field::texts("notServiceAccounts"),
    Field::texts("trustDomains"),
    Field::texts("notTrustDomains"),
    Field::texts("ipBlocks"),
    Field::texts("notIpBlocks"),
    Field::texts("remoteIpBlocks"),
    Field::texts("notRemoteIpBlocks"),
    Field::texts("requestPrincipals"),
    Field::texts("notRequestPrincipals"),
];

const OPERATION: &[Field] = &[
    Field::texts("hosts"),
    Field::texts("notHosts"),
    Field::texts("ports"),
    Field::texts("notPorts"),
    Field::texts("methods"),
    Field::texts("notMethods"),
    Field::texts("paths"),
    Field::texts("notPaths"),
];

const CONDITION: &[Field] = &[Field::text("key"), Field::texts("values"), Field::texts("notValues")];
