//! The fields of DestinationRule.

use crate::istio::selector::SELECTOR;
use crate::table::{Field, Shape};

const LOCALITY: &str = "endpoints are not preferred by where they run";

pub(super) const SPEC: &[Field] = &[
    Field::text("host"),
    Field::object("trafficPolicy", POLICY_WITH_PORTS),
    Field::list("subsets", &Shape::Object(SUBSET)),
    Field::texts("exportTo"),
    Field::object("workloadSelector", SELECTOR).refused(
        "settings for some clients only are not supported yet",
        "remove it to make the settings hold for all clients",
    ),
];

const SUBSET: &[Field] =
    &[Field::text("name"), Field::labels("labels"), Field::object("trafficPolicy", POLICY_WITH_PORTS)];

const POLICY_WITH_PORTS: &[Field] = &[
    LOAD_BALANCER,
    CONNECTION_POOL,
    OUTLIER_DETECTION,
    TLS,
    Field::list(
        "portLevelSettings",
        &Shape::Object(&[
            Field::object("port", &[Field::integer("number")]),
            LOAD_BALANCER,
            CONNECTION_POOL,
            OUTLIER_DETECTION,
            TLS,
        ]),
    ),
    Field::object(
        "tunnel",
        &[Field::text("protocol"), Field::text("targetHost"), Field::integer("targetPort")],
    )
    .not_in_effect("traffic is not tunnelled through the destination"),
    Field::object("proxyProtocol", &[Field::choice("version", &["V1", "V2"])]),
    Field::object(
        "retryBudget",
        &[
            Field::new("percent", Shape::Number),
            Field::integer("minRetryConcurrency"),
            Field::duration("budgetInterval"),
        ],
    ),
];

const LOAD_BALANCER: Field = Field::object(
    "loadBalancer",
    &[
        Field::choice(
            "simple",
            &["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"],
        ),
        Field::object("consistentHash", CONSISTENT_HASH),
        Field::object("localityLbSetting", LOCALITY_LB).not_in_effect(LOCALITY),
        Field::object("zoneAwareLbSetting", ZONE_AWARE).not_in_effect(LOCALITY),
        Field::object(
            "warmup",
            &[
                Field::duration("duration"),
                Field::new("minimumPercent", Shape::Number),
                Field::new("aggression", Shape::Number),
            ],
        ),
        Field::duration("warmupDurationSecs").deprecated("warmup.duration"),
    ],
);

const CONSISTENT_HASH: &[Field] = &[
    Field::text("httpHeaderName"),
    Field::object(
        "httpCookie",
        &[
            Field::text("name"),
            Field::text("path"),
            Field::duration("ttl"),
            Field::list("attributes", &Shape::Object(&[Field::text("name"), Field::text("value")])),
        ],
    ),
    Field::boolean("useSourceIp"),
    Field::text("httpQueryParameterName"),
    Field::object("ringHash", &[Field::integer("minimumRingSize")]),
    Field::object("maglev", &[Field::integer("tableSize")]),
    Field::integer("minimumRingSize").deprecated("ringHash.minimumRingSize"),
];

const FAILOVER: Field = Field::list("failover", &Shape::Object(&[Field::text("from"), Field::text("to")]));

const LOCALITY_LB: &[Field] = &[
    Field::boolean("enabled"),
    Field::list("distribute", &Shape::Object(&[Field::text("from"), Field::map("to", &Shape::Integer)])),
    FAILOVER,
    Field::texts("failoverPriority"),
];

const ZONE_AWARE: &[Field] = &[
    Field::boolean("enabled"),
    FAILOVER,
    Field::texts("failoverPriority"),
    Field::integer("minClusterSize"),
];

const CONNECTION_POOL: Field = Field::object(
    "connectionPool",
    &[
        Field::object(
            "tcp",
            &[
                Field::duration("connectTimeout"),
                Field::integer("maxConnections"),
                Field::duration("idleTimeout"),
                Field::duration("maxConnectionDuration"),
                Field::object(
                    "tcpKeepalive",
                    &[Field::integer("probes"), Field::duration("time"), Field::duration("interval")],
                ),
            ],
        ),
        Field::object(
            "http",
            &[
                Field::integer("http1MaxPendingRequests"),
                Field::integer("http2MaxRequests"),
                Field::integer("maxRequestsPerConnection"),
                Field::integer("maxRetries"),
                Field::integer("maxConcurrentStreams"),
                Field::duration("idleTimeout"),
                Field::choice("h2UpgradePolicy", &["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"]),
                Field::boolean("useClientProtocol"),
                Field::object("http2KeepAlive", &[Field::duration("interval"), Field::duration("timeout")]),
            ],
        ),
    ],
);

const OUTLIER_DETECTION: Field = Field::object(
    "outlierDetection",
    &[
        Field::integer("consecutiveErrors").not_in_effect("Istio ignores it, too").unless("0"),
        Field::integer("consecutive5xxErrors"),
        Field::integer("consecutiveGatewayErrors"),
        Field::integer("consecutiveLocalOriginFailures"),
        Field::boolean("splitExternalLocalOriginErrors"),
        Field::duration("interval"),
        Field::duration("baseEjectionTime"),
        Field::integer("maxEjectionPercent"),
        Field::integer("minHealthPercent"),
        Field::list("outlierDetectionHttpErrorCodes", &Shape::Integer),
    ],
);

const TLS: Field = Field::object(
    "tls",
    &[
        Field::choice("mode", &["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]),
        Field::text("clientCertificate"),
        Field::text("privateKey"),
        Field::text("caCertificates"),
        Field::text("caCrl")
            .refused("revocation lists are not checked yet", "remove it to accept revoked certificates"),
        Field::text("credentialName").refused(
            "certificates from secrets are not used towards destinations yet",
            "name files in clientCertificate, privateKey and caCertificates",
        ),
        Field::texts("subjectAltNames"),
        Field::text("sni"),
        Field::boolean("insecureSkipVerify"),
    ],
);
