//! The fields of VirtualService.

use crate::table::{Field, Shape};

const CORS: &str = "Leno adds no CORS headers yet, so browsers refuse cross-origin answers";
const LOCALITY: &str = "endpoints are not preferred by where they run, so a retry may go to any";

pub(super) const SPEC: &[Field] = &[
    Field::texts("hosts"),
    Field::texts("gateways"),
    Field::list("http", &Shape::Object(HTTP)),
    Field::list("tls", &Shape::Object(TLS_ROUTE)),
    Field::list("tcp", &Shape::Object(TCP_ROUTE)),
    Field::texts("exportTo"),
];

const HTTP: &[Field] = &[
    Field::text("name"),
    Field::list("match", &Shape::Object(MATCH)),
    Field::list("route", &Shape::Object(ROUTE)),
    Field::object("redirect", REDIRECT),
    Field::object("directResponse", DIRECT_RESPONSE),
    Field::object("delegate", &[Field::text("name"), Field::text("namespace")])
        .refused("delegation is not supported yet", "write the routes into this object"),
    Field::object("rewrite", REWRITE),
    Field::duration("timeout"),
    Field::object("retries", RETRIES),
    Field::object("headers", HEADERS),
    Field::object("fault", FAULTS),
    Field::object("mirror", DESTINATION),
    Field::list("mirrors", &Shape::Object(MIRRORS)),
    Field::object("mirrorPercentage", PERCENT),
    Field::integer("mirrorPercent").deprecated("mirrorPercentage.value"),
    Field::integer("mirror_percent").deprecated("mirrorPercentage.value"),
    Field::object("corsPolicy", CORS_POLICY).not_in_effect(CORS),
];

const MATCH: &[Field] = &[
    Field::text("name"),
    Field::object("uri", STRING_MATCH),
    Field::boolean("ignoreUriCase"),
    Field::object("scheme", STRING_MATCH),
    Field::object("method", STRING_MATCH),
    Field::object("authority", STRING_MATCH),
    Field::map("headers", &Shape::Object(STRING_MATCH)),
    Field::map("withoutHeaders", &Shape::Object(STRING_MATCH)),
    Field::map("queryParams", &Shape::Object(STRING_MATCH)),
    Field::integer("port"),
    Field::labels("sourceLabels"),
    Field::text("sourceNamespace"),
    Field::texts("gateways"),
    Field::text("statPrefix").not_in_effect("metrics have Istio's standard labels only"),
];

const STRING_MATCH: &[Field] = &[Field::text("exact"), Field::text("prefix"), Field::text("regex")];

const ROUTE: &[Field] =
    &[Field::object("destination", DESTINATION), Field::integer("weight"), Field::object("headers", HEADERS)];

const DESTINATION: &[Field] =
    &[Field::text("host"), Field::text("subset"), Field::object("port", &[Field::integer("number")])];

const REDIRECT: &[Field] = &[
    Field::text("uri"),
    Field::text("prefixRewrite"),
    Field::text("authority"),
    Field::integer("port"),
    Field::choice("derivePort", &["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"]),
    Field::text("scheme"),
    Field::integer("redirectCode"),
];

const DIRECT_RESPONSE: &[Field] =
    &[Field::integer("status"), Field::object("body", &[Field::text("string"), Field::text("bytes")])];

const REWRITE: &[Field] = &[
    Field::text("uri"),
    Field::text("authority"),
    Field::object("uriRegexRewrite", &[Field::text("match"), Field::text("rewrite")]),
];

const RETRIES: &[Field] = &[
    Field::duration("perTryTimeout"),
    Field::integer("attempts"),
    Field::text("retryOn"),
    Field::boolean("retryRemoteLocalities").not_in_effect(LOCALITY).unless("false"),
    Field::boolean("retryIgnorePreviousHosts"),
    Field::duration("backoff"),
];

const HEADERS: &[Field] = &[Field::object("request", OPERATIONS), Field::object("response", OPERATIONS)];

const OPERATIONS: &[Field] = &[Field::labels("set"), Field::labels("add"), Field::texts("remove")];

const PERCENT: &[Field] = &[Field::new("value", Shape::Number)];

const FAULTS: &[Field] = &[
    Field::object(
        "delay",
        &[
            Field::duration("fixedDelay"),
            Field::duration("exponentialDelay")
                .refused("delays that grow are not supported, as in Istio", "use fixedDelay"),
            Field::object("percentage", PERCENT),
            Field::integer("percent").deprecated("percentage.value"),
        ],
    ),
    Field::object(
        "abort",
        &[
            Field::integer("httpStatus"),
            Field::text("grpcStatus"),
            Field::text("http2Error")
                .refused("HTTP/2 errors are not injected, as in Istio", "use httpStatus or grpcStatus"),
            Field::object("percentage", PERCENT),
        ],
    ),
];

const MIRRORS: &[Field] = &[Field::object("destination", DESTINATION), Field::object("percentage", PERCENT)];

const CORS_POLICY: &[Field] = &[
    Field::texts("allowOrigin"),
    Field::list("allowOrigins", &Shape::Object(STRING_MATCH)),
    Field::texts("allowMethods"),
    Field::texts("allowHeaders"),
    Field::texts("exposeHeaders"),
    Field::duration("maxAge"),
    Field::boolean("allowCredentials"),
    Field::choice("unmatchedPreflights", &["UNSPECIFIED", "FORWARD", "IGNORE"]),
];

const L4_ROUTE: &[Field] = &[Field::object("destination", DESTINATION), Field::integer("weight")];

const TLS_ROUTE: &[Field] = &[
    Field::list(
        "match",
        &Shape::Object(&[
            Field::texts("sniHosts"),
            Field::texts("destinationSubnets"),
            Field::integer("port"),
            Field::labels("sourceLabels"),
            Field::texts("gateways"),
            Field::text("sourceNamespace"),
        ]),
    ),
    Field::list("route", &Shape::Object(L4_ROUTE)),
];

const TCP_ROUTE: &[Field] = &[
    Field::list(
        "match",
        &Shape::Object(&[
            Field::texts("destinationSubnets"),
            Field::integer("port"),
            Field::labels("sourceLabels"),
            Field::texts("gateways"),
            Field::text("sourceNamespace"),
            Field::text("sourceSubnet"),
        ]),
    ),
    Field::list("route", &Shape::Object(L4_ROUTE)),
];
