//! Kinds that are recognised without being acted on.

/// Why an object of a kind that a mesh should act on is not in effect, and what to do; `None` for other kinds.
pub(super) fn unsupported(group: &str, kind: &str) -> Option<&'static str> {
    let row = UNSUPPORTED.iter().find(|(known, kinds, _)| *known == group && kinds.contains(&kind));
    row.map(|(_, _, why)| *why)
}

const UNSUPPORTED: &[(&str, &[&str], &str)] = &[
    ("", &["Endpoints"], "write the endpoints as an EndpointSlice"),
    (
        "gateway.networking.k8s.io",
        &["GRPCRoute"],
        "use an HTTPRoute that matches the path /package.Service/Method",
    ),
    ("gateway.networking.k8s.io", &["UDPRoute"], "traffic over UDP does not go through Leno"),
    (
        "gateway.networking.k8s.io",
        &["BackendTLSPolicy", "XBackendTrafficPolicy", "BackendLBPolicy"],
        "use a DestinationRule",
    ),
    (
        "gateway.networking.k8s.io",
        &["ListenerSet", "XListenerSet", "XBackend", "XMesh"],
        "put listeners into the Gateway",
    ),
    ("gateway.networking.x-k8s.io", &["XBackendTrafficPolicy"], "use a DestinationRule"),
    ("gateway.networking.x-k8s.io", &["XListenerSet", "XBackend", "XMesh"], "put listeners into the Gateway"),
    ("networking.istio.io", &["Gateway"], "use a Gateway of gateway.networking.k8s.io/v1"),
    ("networking.istio.io", &["ServiceEntry"], "use a Service, with an EndpointSlice or an externalName"),
    ("networking.istio.io", &["Sidecar"], "it is not needed to save memory: proxies hold only what they use"),
    ("networking.istio.io", &["WorkloadGroup"], "write a WorkloadEntry for each workload"),
    ("networking.istio.io", &["EnvoyFilter"], "Leno's proxy is not Envoy and has no such patches"),
    ("networking.istio.io", &["ProxyConfig"], "settings of proxies are flags of `leno proxy`"),
    (
        "security.istio.io",
        &["RequestAuthentication"],
        "tokens are not checked yet; rules that ask for one allow nothing",
    ),
    ("telemetry.istio.io", &["Telemetry"], "metrics and access logs are on for every workload"),
    ("extensions.istio.io", &["WasmPlugin", "TrafficExtension"], "Leno has no extensions yet"),
    ("networking.k8s.io", &["Ingress"], "use a Gateway and an HTTPRoute"),
    ("linkerd.io", &["ServiceProfile"], "use an HTTPRoute"),
    (
        "policy.linkerd.io",
        &[
            "AuthorizationPolicy",
            "EgressNetwork",
            "HTTPLocalRateLimitPolicy",
            "HTTPRoute",
            "MeshTLSAuthentication",
            "NetworkAuthentication",
            "Server",
            "ServerAuthorization",
        ],
        "use an HTTPRoute of gateway.networking.k8s.io or an AuthorizationPolicy of security.istio.io",
    ),
    (
        "consul.hashicorp.com",
        &[
            "ExportedServices",
            "IngressGateway",
            "Mesh",
            "ProxyDefaults",
            "ServiceDefaults",
            "ServiceIntentions",
            "ServiceResolver",
            "ServiceRouter",
            "ServiceSplitter",
            "TerminatingGateway",
        ],
        "use an HTTPRoute, a DestinationRule or an AuthorizationPolicy",
    ),
    ("split.smi-spec.io", &["TrafficSplit"], "use an HTTPRoute with weights"),
    ("access.smi-spec.io", &["TrafficTarget"], "use an AuthorizationPolicy"),
    ("specs.smi-spec.io", &["HTTPRouteGroup", "TCPRoute", "UDPRoute"], "use an HTTPRoute"),
    (
        "appmesh.k8s.aws",
        &[
            "BackendGroup",
            "GatewayRoute",
            "Mesh",
            "VirtualGateway",
            "VirtualNode",
            "VirtualRouter",
            "VirtualService",
        ],
        "use a Service with an HTTPRoute",
    ),
    (
        "cilium.io",
        &["CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "CiliumEnvoyConfig"],
        "use an AuthorizationPolicy",
    ),
];

/// Whether an object is Kubernetes's or another program's business.
pub(super) fn is_foreign(group: &str, kind: &str) -> bool {
    const CORE: &[&str] = &[
        "ConfigMap",
        "Event",
        "LimitRange",
        "Node",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Pod",
        "PodTemplate",
        "ReplicationController",
        "ResourceQuota",
    ];
    const GROUPS: &[&str] = &[
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps",
        "autoscaling",
        "batch",
        "cert-manager.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "events.k8s.io",
        "kustomize.config.k8s.io",
        "metrics.k8s.io",
        "monitoring.coreos.com",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    ];
    match group {
        "" => CORE.contains(&kind),
        "networking.k8s.io" => matches!(kind, "NetworkPolicy" | "IngressClass"),
        "gateway.networking.k8s.io" => kind == "GatewayClass",
        _ => GROUPS.contains(&group),
    }
}
