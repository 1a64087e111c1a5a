//! A sound object of every kind, and the ways to break it.

/// One way to break an object.
pub(super) struct Case {
    pub(super) what: &'static str,
    /// What is there.
    pub(super) from: &'static str,
    /// What is put in its place.
    pub(super) to: &'static str,
}

const fn case(what: &'static str, from: &'static str, to: &'static str) -> Case {
    Case { what, from, to }
}

const UNKNOWN: &str = "unknown field";
const TYPE: &str = "wrong type";
const MISSING: &str = "missing field";
const REFERENCE: &str = "bad reference";
const CHOICE: &str = "bad choice";
const TWICE: &str = "key twice";
const UNSUPPORTED: &str = "known, not in effect";
const VALUE: &str = "bad value";

/// What is there beside the wrong object.
pub(super) const WORLD: &str = "\
apiVersion: v1
kind: Service
metadata: {name: beside}
spec:
  selector: {app: beside}
  ports: [{name: http, port: 80}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: beside-1}
spec: {address: 10.0.0.1, labels: {app: beside, version: v1}, serviceAccount: beside}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: beside}
spec:
  hosts: [beside]
  http: [{route: [{destination: {host: beside, port: {number: 80}}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: beside}
spec:
  selector: {matchLabels: {app: beside}}
  rules: [{to: [{operation: {methods: [GET]}}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: leno
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}}
  - {name: tcp, port: 5432, protocol: TCP}
";

/// The kind, a sound object, and the ways to break it.
pub(super) const KINDS: &[(&str, &str, &[Case])] = &[
    (
        "Namespace",
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels: {team: a}\n",
        &[
            case(UNKNOWN, "metadata:\n", "labels: {a: b}\nmetadata:\n"),
            case(TYPE, "{team: a}", "[team]"),
            case(MISSING, "  name: shop\n", ""),
            case(CHOICE, "apiVersion: v1", "apiVersion: v2"),
            case(TWICE, "  name: shop\n", "  name: shop\n  name: edge\n"),
            case(VALUE, "name: shop", "name: The Shop"),
        ],
    ),
    (
        "Service",
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  type: ClusterIP\n  selector: {app: beside}\n  \
         ports:\n  - name: http\n    port: 80\n    protocol: TCP\n",
        &[
            case(UNKNOWN, "  type:", "  kind:"),
            case(TYPE, "port: 80", "port: eighty"),
            case(MISSING, "    port: 80\n", ""),
            case(REFERENCE, "{app: beside}", "{app: nobody}"),
            case(CHOICE, "ClusterIP", "Cluster"),
            case(TWICE, "    port: 80\n", "    port: 80\n    port: 81\n"),
            case(UNSUPPORTED, "  type: ClusterIP\n", "  type: ClusterIP\n  sessionAffinity: ClientIP\n"),
            case(VALUE, "port: 80", "port: 65536"),
        ],
    ),
    (
        "EndpointSlice",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: beside-1\n  labels: \
         {kubernetes.io/service-name: beside}\naddressType: IPv4\nports:\n- {name: http, port: 8080}\nendpoints:\n- \
         addresses: [10.0.0.9]\n",
        &[
            case(UNKNOWN, "- addresses:", "- address: 10.0.0.8\n  addresses:"),
            case(TYPE, "[10.0.0.9]", "{ip: 10.0.0.9}"),
            case(MISSING, "addressType: IPv4\n", ""),
            case(REFERENCE, "service-name: beside", "service-name: nobody"),
            case(CHOICE, "IPv4", "IPv5"),
            case(TWICE, "addressType: IPv4\n", "addressType: IPv4\naddressType: IPv6\n"),
            case(VALUE, "10.0.0.9", "10.0.0.900"),
        ],
    ),
    (
        "ServiceAccount",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: web\n",
        &[
            case(UNKNOWN, "metadata:\n", "spec: {}\nmetadata:\n"),
            case(TYPE, "metadata:\n  name: web", "metadata: web"),
            case(MISSING, "metadata:\n  name: web\n", ""),
            case(CHOICE, "ServiceAccount", "ServiceAcount"),
            case(TWICE, "  name: web\n", "  name: web\n  name: db\n"),
        ],
    ),
    (
        "Secret",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: key\ntype: Opaque\ndata:\n  user: YQ==\n",
        &[
            case(UNKNOWN, "\ndata:", "\ndatas:"),
            case(TYPE, "data:\n  user: YQ==", "data: [YQ==]"),
            case(MISSING, "type: Opaque", "type: kubernetes.io/tls"),
            case(TWICE, "  user: YQ==\n", "  user: YQ==\n  user: Yg==\n"),
            case(
                VALUE,
                "type: Opaque\ndata:\n  user: YQ==",
                "type: kubernetes.io/tls\ndata:\n  tls.crt: \"%\"\n  tls.key: YQ==",
            ),
        ],
    ),
    (
        "Gateway",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: front\nspec:\n  gatewayClassName: \
         leno\n  listeners:\n  - name: http\n    port: 8080\n    protocol: HTTP\n",
        &[
            case(UNKNOWN, "    port:", "    targetPort: 1\n    port:"),
            case(TYPE, "port: 8080", "port: http"),
            case(MISSING, "    protocol: HTTP\n", ""),
            case(
                REFERENCE,
                "protocol: HTTP",
                "protocol: HTTPS\n    tls: {certificateRefs: [{name: nowhere}]}",
            ),
            case(CHOICE, "protocol: HTTP", "protocol: HTTP\n    allowedRoutes: {namespaces: {from: Some}}"),
            case(TWICE, "    port: 8080\n", "    port: 8080\n    port: 8081\n"),
            case(UNSUPPORTED, "protocol: HTTP", "protocol: UDP"),
            case(VALUE, "    protocol: HTTP\n", "    protocol: HTTP\n    hostname: 10.0.0.1\n"),
        ],
    ),
    (
        "HTTPRoute",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: web\nspec:\n  parentRefs: [{name: \
         edge}]\n  hostnames: [web.example]\n  rules:\n  - matches:\n    - path: {type: PathPrefix, value: /a}\n      method: GET\n    \
         timeouts: {request: 5s}\n    backendRefs: [{name: beside, port: 80}]\n",
        &[
            case(UNKNOWN, "    timeouts:", "    timeout: 5s\n    timeouts:"),
            case(TYPE, "port: 80", "port: http"),
            case(MISSING, "{name: beside, port: 80}", "{port: 80}"),
            case(REFERENCE, "name: beside", "name: nobody"),
            case(REFERENCE, "{name: edge}", "{name: nowhere}"),
            case(REFERENCE, "{name: beside,", "{name: beside, namespace: shop,"),
            case(CHOICE, "PathPrefix", "Prefix"),
            case(CHOICE, "method: GET", "method: get"),
            case(
                TWICE,
                "  hostnames: [web.example]\n",
                "  hostnames: [web.example]\n  hostnames: [a.example]\n",
            ),
            case(UNSUPPORTED, "    timeouts:", "    sessionPersistence: {sessionName: a}\n    timeouts:"),
            case(VALUE, "/a}", "a}"),
            case(VALUE, "request: 5s", "request: 5"),
        ],
    ),
    (
        "TLSRoute",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\nmetadata:\n  name: web\nspec:\n  parentRefs: [{name: edge, \
         sectionName: tls}]\n  hostnames: [web.example]\n  rules:\n  - backendRefs: [{name: beside, port: 80, weight: 1}]\n",
        &[
            case(UNKNOWN, "  - backendRefs:", "  - timeouts: {}\n    backendRefs:"),
            case(TYPE, "port: 80", "port: http"),
            case(MISSING, "{name: beside, port: 80, weight: 1}", "{port: 80}"),
            case(REFERENCE, "name: beside", "name: nobody"),
            case(REFERENCE, "{name: edge,", "{name: nowhere,"),
            case(REFERENCE, "sectionName: tls", "sectionName: http"),
            case(CHOICE, "{name: beside,", "{name: beside, kind: Pod,"),
            case(TWICE, "  rules:", "  rules: []\n  rules:"),
            case(UNSUPPORTED, "  rules:", "  useDefaultGateways: All\n  rules:"),
            case(VALUE, "web.example", "web..example"),
            case(VALUE, "weight: 1", "weight: -1"),
        ],
    ),
    (
        "TCPRoute",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\nmetadata:\n  name: web\nspec:\n  parentRefs: [{name: edge, \
         sectionName: tcp}]\n  rules:\n  - backendRefs: [{name: beside, port: 80, weight: 1}]\n",
        &[
            case(UNKNOWN, "  rules:", "  hostnames: [web.example]\n  rules:"),
            case(TYPE, "weight: 1", "weight: all"),
            case(MISSING, "{name: beside, port: 80, weight: 1}", "{name: beside}"),
            case(MISSING, "  parentRefs: [{name: edge, sectionName: tcp}]\n", ""),
            case(REFERENCE, "name: beside", "name: nobody"),
            case(REFERENCE, "sectionName: tcp", "sectionName: none"),
            case(CHOICE, "/v1\n", "/v2\n"),
            case(TWICE, "  rules:", "  rules: []\n  rules:"),
            case(UNSUPPORTED, "  rules:", "  useDefaultGateways: All\n  rules:"),
            case(VALUE, "port: 80", "port: 0"),
        ],
    ),
    (
        "ReferenceGrant",
        "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata:\n  name: web\nspec:\n  from: [{group: \
         gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}]\n  to: [{group: \"\", kind: Service}]\n",
        &[
            case(UNKNOWN, "  to:", "  into: []\n  to:"),
            case(TYPE, "to: [{group: \"\", kind: Service}]", "to: Service"),
            case(MISSING, ", namespace: shop", ""),
            case(CHOICE, "/v1beta1", "/v1beta2"),
            case(TWICE, "  to:", "  to: []\n  to:"),
        ],
    ),
    (
        "VirtualService",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  hosts: \
         [beside.default.svc.cluster.local]\n  gateways: [default/edge]\n  http:\n  - match: [{uri: {prefix: /a}}]\n    timeout: 5s\n    \
         route:\n    - destination: {host: beside.default.svc.cluster.local, port: {number: 80}}\n      weight: 100\n",
        &[
            case(UNKNOWN, "    timeout:", "    time: 5s\n    timeout:"),
            case(TYPE, "weight: 100", "weight: all"),
            case(
                MISSING,
                "{host: beside.default.svc.cluster.local, port: {number: 80}}",
                "{port: {number: 80}}",
            ),
            case(REFERENCE, "{host: beside.", "{host: nobody."),
            case(REFERENCE, "port: {number: 80}}", "port: {number: 80}, subset: v9}"),
            case(REFERENCE, "default/edge", "default/nowhere"),
            case(CHOICE, "{prefix: /a}", "{begins: /a}"),
            case(TWICE, "    timeout: 5s\n", "    timeout: 5s\n    timeout: 6s\n"),
            case(UNSUPPORTED, "    timeout:", "    corsPolicy: {allowMethods: [GET]}\n    timeout:"),
            case(UNSUPPORTED, "    timeout:", "    delegate: {name: other}\n    timeout:"),
            case(VALUE, "timeout: 5s", "timeout: 5"),
            case(VALUE, "{prefix: /a}", "{regex: \"(\"}"),
        ],
    ),
    (
        "DestinationRule",
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: web\nspec:\n  host: beside\n  \
         trafficPolicy:\n    loadBalancer: {simple: ROUND_ROBIN}\n    tls: {mode: ISTIO_MUTUAL}\n  subsets:\n  - name: v1\n    labels: {version: v1}\n",
        &[
            case(UNKNOWN, "    tls:", "    ssl: {}\n    tls:"),
            case(TYPE, "{version: v1}", "{version: [v1]}"),
            case(MISSING, "  host: beside\n", ""),
            case(REFERENCE, "host: beside", "host: nobody"),
            case(REFERENCE, "{version: v1}", "{version: v9}"),
            case(CHOICE, "ROUND_ROBIN", "ROBIN"),
            case(TWICE, "    tls:", "    tls: {mode: DISABLE}\n    tls:"),
            case(UNSUPPORTED, "    tls:", "    tunnel: {targetHost: a, targetPort: 1}\n    tls:"),
            case(VALUE, "name: v1", "name: \"\""),
        ],
    ),
    (
        "PeerAuthentication",
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: web\nspec:\n  selector: {matchLabels: \
         {app: beside}}\n  mtls: {mode: STRICT}\n  portLevelMtls:\n    80: {mode: PERMISSIVE}\n",
        &[
            case(UNKNOWN, "  mtls:", "  tls: {}\n  mtls:"),
            case(TYPE, "mtls: {mode: STRICT}", "mtls: STRICT"),
            case(MISSING, "  selector: {matchLabels: {app: beside}}\n", ""),
            case(REFERENCE, "{app: beside}", "{app: nobody}"),
            case(CHOICE, "STRICT", "STRICTER"),
            case(TWICE, "  mtls:", "  mtls: {mode: DISABLE}\n  mtls:"),
            case(VALUE, "80: {", "http: {"),
        ],
    ),
    (
        "AuthorizationPolicy",
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: web\nspec:\n  selector: {matchLabels: \
         {app: beside}}\n  action: ALLOW\n  rules:\n  - from:\n    - source: {principals: [cluster.local/ns/default/sa/web], ipBlocks: [10.0.0.0/8]}\n    \
         to:\n    - operation: {methods: [GET], paths: [/a/*]}\n    when:\n    - {key: \"request.headers[x-a]\", values: [b]}\n",
        &[
            case(UNKNOWN, "    to:", "    into: []\n    to:"),
            case(TYPE, "methods: [GET]", "methods: GET"),
            case(MISSING, ", values: [b]", ""),
            case(REFERENCE, "{app: beside}", "{app: nobody}"),
            case(CHOICE, "ALLOW", "PERMIT"),
            case(CHOICE, "request.headers[x-a]", "request.colour"),
            case(TWICE, "  action: ALLOW\n", "  action: ALLOW\n  action: DENY\n"),
            case(UNSUPPORTED, "principals:", "requestPrincipals: [\"*\"], principals:"),
            case(UNSUPPORTED, "ALLOW", "AUDIT"),
            case(VALUE, "10.0.0.0/8", "10.0.0.0/40"),
            case(VALUE, "[/a/*]", "[/*/a]"),
        ],
    ),
    (
        "WorkloadEntry",
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata:\n  name: vm\nspec:\n  address: 10.0.0.7\n  labels: \
         {app: beside}\n  serviceAccount: web\n  weight: 2\n",
        &[
            case(UNKNOWN, "  weight:", "  heft: 1\n  weight:"),
            case(TYPE, "weight: 2", "weight: heavy"),
            case(MISSING, "  address: 10.0.0.7\n", ""),
            case(CHOICE, "  name: vm\n", "  name: vm\n  labels: {leno.dev/transport: carrier}\n"),
            case(TWICE, "  weight: 2\n", "  weight: 2\n  weight: 3\n"),
            case(UNSUPPORTED, "10.0.0.7", "unix:///run/web"),
            case(VALUE, "10.0.0.7", "vm.example"),
        ],
    ),
];
