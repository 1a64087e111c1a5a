//! Envoy's configuration, in JSON, and its counters.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use leno_testkit::certificates::Files;
use leno_testkit::mesh::eventually;
use leno_testkit::proxies::Proxies;
use serde_json::{Value, json};

/// A port of Envoy's whose connections go into tunnels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg {
    pub(super) listen: SocketAddr,
    /// What the tunnels are asked to lead to.
    pub(super) target: SocketAddr,
}

/// Runs Envoy until the proxies are dropped, and waits until it is live.
pub(super) fn start(proxies: &mut Proxies, program: &Path, name: &str, admin: SocketAddr, config: &Value) {
    let file = proxies.folder().join(format!("{name}.json"));
    let mut config = config.clone();
    config["admin"] = json!({"address": address(admin)});
    std::fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new(program);
    command.arg("--config-path").arg(file);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]);
    proxies.run(name, &mut command);
    eventually("Envoy is live", || match ask(admin, "/ready") {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => Ok(()),
        other => Err(format!("{other:?}\n{}", proxies.output(name))),
    });
}

/// One of its counters; 0 where nothing was counted yet.
pub(super) fn count(admin: SocketAddr, name: &str) -> u64 {
    let answer = ask(admin, &format!("/stats?filter=^{name}$")).unwrap();
    let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}

fn ask(admin: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(admin)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map(|_length| answer)
}

/// An Envoy that opens tunnels to the proxy at `mesh`, which must be the callee's.
pub(super) fn client(legs: &[Leg], mesh: SocketAddr, files: &Files, root: &Path) -> Value {
    let listener = |leg: &Leg| {
        json!({
            "address": address(leg.listen),
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.tcp_proxy",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    "stat_prefix": "tunnel",
                    "cluster": "leno",
                    "tunneling_config": {
                        "hostname": leg.target.to_string(),
                        "headers_to_add": [{"header": {
                            "key": "baggage",
                            "value": "k8s.namespace.name=default,k8s.pod.name=front",
                        }}],
                    },
                },
            }]}],
        })
    };
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    json!({"static_resources": {
        "listeners": legs.iter().map(listener).collect::<Vec<_>>(),
        "clusters": [{
            "name": "leno",
            "type": "STATIC",
            "typed_extension_protocol_options": {options: {
                "@type": format!("type.googleapis.com/{options}"),
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
            "load_assignment": assignment("leno", mesh),
            "transport_socket": tls("UpstreamTlsContext", files, root, "callee"),
        }],
    }})
}

/// An Envoy that ends tunnels to these ports of 127.0.0.1, for callers only. It asks for another connection after so many
/// tunnels.
pub(super) fn server(
    listen: SocketAddr,
    ports: &[u16],
    files: &Files,
    root: &Path,
    most: Option<u32>,
) -> Value {
    let host = |port: &u16| {
        json!({
            "name": port.to_string(),
            "domains": [format!("127.0.0.1:{port}")],
            "routes": [{"match": {"connect_matcher": {}}, "route": {
                "cluster": port.to_string(),
                "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
            }}],
        })
    };
    let cluster = |port: &u16| {
        let at = SocketAddr::from(([127, 0, 0, 1], *port));
        json!({"name": port.to_string(), "type": "STATIC", "load_assignment": assignment(&port.to_string(), at)})
    };
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "tunnels",
        "codec_type": "HTTP2",
        "http2_protocol_options": {"allow_connect": true},
        "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
        "route_config": {"virtual_hosts": ports.iter().map(host).collect::<Vec<_>>()},
    });
    if let Some(most) = most {
        manager["common_http_protocol_options"] = json!({"max_requests_per_connection": most});
    }
    json!({"static_resources": {
        "listeners": [{
            "address": address(listen),
            "filter_chains": [{
                "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
                "transport_socket": tls("DownstreamTlsContext", files, root, "caller"),
            }],
        }],
        "clusters": ports.iter().map(cluster).collect::<Vec<_>>(),
    }})
}

fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn assignment(name: &str, at: SocketAddr) -> Value {
    json!({"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(at)}}]}]})
}

/// Mutual TLS with a peer of this account, and HTTP/2 by ALPN.
fn tls(context: &str, files: &Files, root: &Path, peer: &str) -> Value {
    let mut config = json!({
        "@type": format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{context}"),
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "alpn_protocols": ["h2"],
            "tls_certificates": [{
                "certificate_chain": {"filename": files.chain},
                "private_key": {"filename": files.key},
            }],
            "validation_context": {
                "trusted_ca": {"filename": root},
                "match_typed_subject_alt_names": [{
                    "san_type": "URI",
                    "matcher": {"exact": format!("spiffe://cluster.local/ns/default/sa/{peer}")},
                }],
            },
        },
    });
    if context.starts_with("Down") {
        config["require_client_certificate"] = json!(true);
    }
    json!({"name": "envoy.transport_sockets.tls", "typed_config": config})
}
