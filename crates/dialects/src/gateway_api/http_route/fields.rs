//! The fields of HTTPRoute.

use crate::table::{Field, Shape};

pub(in crate::gateway_api) const SPEC: &[Field] = &[
    Field::list("parentRefs", &Shape::Object(PARENT)),
    Field::texts("hostnames"),
    Field::list("rules", &Shape::Object(RULE)),
    Field::any("useDefaultGateways").not_in_effect("routes attach to the parents that they name"),
];

pub(in crate::gateway_api) const PARENT: &[Field] = &[
    Field::text("group"),
    Field::text("kind"),
    Field::text("namespace"),
    Field::text("name"),
    Field::text("sectionName"),
    Field::integer("port"),
];

const RULE: &[Field] = &[
    Field::text("name"),
    Field::list("matches", &Shape::Object(MATCH)),
    Field::list("filters", &Shape::Object(FILTER)),
    Field::list("backendRefs", &Shape::Object(BACKEND)),
    Field::object("timeouts", &[Field::text("request"), Field::text("backendRequest")]),
    Field::object(
        "retry",
        &[Field::list("codes", &Shape::Integer), Field::integer("attempts"), Field::text("backoff")],
    ),
    Field::any("sessionPersistence").not_in_effect("requests of one session go to any endpoint"),
];

const MATCH: &[Field] = &[
    Field::object("path", &[Field::choice("type", PATH_TYPES), Field::text("value")]),
    Field::list("headers", &Shape::Object(NAMED_MATCH)),
    Field::list("queryParams", &Shape::Object(NAMED_MATCH)),
    Field::choice(
        "method",
        &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"],
    ),
];

const PATH_TYPES: &[&str] = &["Exact", "PathPrefix", "RegularExpression"];

const NAMED_MATCH: &[Field] =
    &[Field::choice("type", &["Exact", "RegularExpression"]), Field::text("name"), Field::text("value")];

const BACKEND: &[Field] = &[
    Field::text("group"),
    Field::text("kind"),
    Field::text("name"),
    Field::text("namespace"),
    Field::integer("port"),
    Field::integer("weight"),
    Field::list("filters", &Shape::Object(FILTER)),
];

const FILTER: &[Field] = &[
    Field::text("type"),
    Field::object("requestHeaderModifier", HEADER_MODIFIER),
    Field::object("responseHeaderModifier", HEADER_MODIFIER),
    Field::object(
        "requestRedirect",
        &[
            Field::choice("scheme", &["http", "https"]),
            Field::text("hostname"),
            Field::object("path", PATH_MODIFIER),
            Field::integer("port"),
            Field::integer("statusCode"),
        ],
    ),
    Field::object("urlRewrite", &[Field::text("hostname"), Field::object("path", PATH_MODIFIER)]),
    Field::object("requestMirror", MIRROR),
    Field::any("cors"),
    Field::any("extensionRef"),
    Field::any("externalAuth"),
];

const MIRROR: &[Field] = &[
    Field::object(
        "backendRef",
        &[
            Field::text("group"),
            Field::text("kind"),
            Field::text("name"),
            Field::text("namespace"),
            Field::integer("port"),
        ],
    ),
    Field::integer("percent"),
    Field::object("fraction", &[Field::integer("numerator"), Field::integer("denominator")]),
];

const HEADER_MODIFIER: &[Field] = &[
    Field::list("set", &Shape::Object(HEADER)),
    Field::list("add", &Shape::Object(HEADER)),
    Field::texts("remove"),
];

const HEADER: &[Field] = &[Field::text("name"), Field::text("value")];

const PATH_MODIFIER: &[Field] = &[
    Field::choice("type", &["ReplaceFullPath", "ReplacePrefixMatch"]),
    Field::text("replaceFullPath"),
    Field::text("replacePrefixMatch"),
];
