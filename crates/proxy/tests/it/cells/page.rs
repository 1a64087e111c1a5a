//! The page: a table for each transport, a row for each feature, and the names of the tests.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use leno_http::server::Protocol;

use super::features::FEATURES;

const OPENING: &str = "# Protocols

What of HTTP works between which versions, and the test that shows it. Written by tests; don't edit.

A cell is one version at the client, one at the application, and one way between the client's proxy and the application:
itself in plaintext, or through the application's own proxy by `leno/1` or HBONE. Each cell names its test, and the
programs nobody here wrote that take part. Where no client is named it is an own socket, since it has to do what ordinary
clients don't.

";

const PAIRS: [&str; 4] = ["HTTP/1 → HTTP/1", "HTTP/1 → HTTP/2", "HTTP/2 → HTTP/1", "HTTP/2 → HTTP/2"];

const VERSIONS_OF: [(Protocol, Protocol); 4] = [
    (Protocol::Http1, Protocol::Http1),
    (Protocol::Http1, Protocol::Http2),
    (Protocol::Http2, Protocol::Http1),
    (Protocol::Http2, Protocol::Http2),
];

/// The sections, with the test of each.
const SECTIONS: [(&str, &str); 3] =
    [("Plaintext", "in_plaintext"), ("`leno/1`", "by_leno_1"), ("HBONE", "by_hbone")];

const OWN: &str = "own sockets only";

/// What isn't about all cells: the feature, where it is to be found, its test, and who else takes part.
const ELSEWHERE: &[[&str; 4]] = &[
    [
        "all combinations of versions in the codecs alone: bodies, trailers, WebSocket, CONNECT",
        "no proxy around them",
        "http::peers::bodies_with_a_length_and_without_and_trailers",
        "hyper as client and server",
    ],
    [
        "WebSocket and CONNECT from and to every version",
        "no proxy around them",
        "http::peers::websockets",
        "hyper as client and server",
    ],
    [
        "gRPC: all kinds of call, over plaintext HTTP/2 and over TLS; HTTP/1 can't carry it",
        "gateway, `leno/1`",
        "e2e::matrix::every_protocol_is_routed_and_every_kind_of_call_works",
        "grpcio as client",
    ],
    [
        "TLS at the gateway, the version by ALPN",
        "gateway, `leno/1`",
        "e2e::matrix::every_protocol_is_routed_and_every_kind_of_call_works",
        "curl as client",
    ],
    [
        "an application that listens at one of its addresses alone, IPv4 or IPv6: the first that answers (RFC 8305)",
        "plaintext on loopback",
        "proxy::inbound::a_declared_port_is_reached_on_loopback_and_on_the_own_address",
        "own sockets only",
    ],
    [
        "CONNECT that no route names, at a gateway and at a published port",
        "refused with 404 and 403",
        "proxy::tunnels::strangers_get_none_unless_a_route_says_so",
        "own sockets only: ordinary clients don't ask for it",
    ],
    [
        "CONNECT under a policy about its method",
        "`leno/1`",
        "proxy::tunnels::policy_is_about_it_as_about_every_method",
        "own sockets only",
    ],
    [
        "an extended CONNECT to a server that doesn't take it",
        "refused",
        "proxy::outbound::an_upgrade_that_the_server_can_not_grant_is_refused_every_time",
        "own sockets only",
    ],
    [
        "gRPC-Web, binary and text, to gRPC",
        "gateway",
        "proxy::grpc_web::browsers_call_a_server_that_others_wrote",
        "grpcio as server",
    ],
    [
        "TLS passed through by the name that it asks for",
        "gateway",
        "proxy::streams::a_gateway_passes_tls_on_by_the_name_that_it_asks_for",
        "curl as client",
    ],
    ["bytes passed through by port", "gateway", "proxy::streams::a_gateway_passes_bytes_on_by_port", OWN],
    [
        "a workload's TLS routed by the name that it asks for",
        "plaintext, `leno/1`",
        "proxy::streams::a_workload_s_tls_is_routed_by_name",
        OWN,
    ],
    [
        "PROXY protocol, versions 1 and 2, before a gateway",
        "gateway",
        "proxy::announced::haproxy_is_understood",
        "HAProxy in front",
    ],
    [
        "PROXY headers that are forged, malformed or missing",
        "refused",
        "proxy::announced::a_gateway_believes_the_proxy_before_it_and_nobody_else",
        "own sockets only: ordinary proxies send none",
    ],
    [
        "PROXY protocol, versions 1 and 2, to an application",
        "plaintext",
        "proxy::announced::nginx_takes_it",
        "nginx as server",
    ],
    [
        "PROXY protocol in front of opaque bytes across the mesh",
        "`leno/1`, HBONE",
        "proxy::announced::an_application_in_the_mesh_is_told_of_opaque_connections",
        OWN,
    ],
    [
        "pipelined requests; HTTP/2 has streams instead",
        "no proxy around them",
        "http::h1_server::pipelined_requests_are_answered_in_order_and_the_last_closes",
        "own sockets only: ordinary clients don't pipeline",
    ],
    [
        "requests per connection (`maxRequestsPerConnection`), HTTP/1",
        "plaintext",
        "proxy::resilience::a_connection_carries_no_more_requests_than_it_may",
        OWN,
    ],
    [
        "requests per connection, HTTP/2",
        "plaintext",
        "proxy::resilience::an_http2_connection_is_replaced_after_so_many_requests",
        OWN,
    ],
    [
        "idle limits cut silent opaque connections and no busy ones",
        "plaintext",
        "proxy::resilience::a_silent_opaque_connection_is_cut_and_a_busy_one_is_not",
        OWN,
    ],
    [
        "idle clients leave by a timeout that begins with the last answer",
        "no proxy around them",
        "http::h1_server::the_idle_time_begins_with_the_last_answer",
        OWN,
    ],
];

fn page() -> String {
    let mut page = OPENING.to_owned();
    for (title, test) in SECTIONS {
        let _written =
            writeln!(page, "## {title}\n\n| feature | {} |\n|---|---|---|---|---|", PAIRS.join(" | "));
        for feature in FEATURES {
            let cell = |(outside, inside)| match feature.missing(outside, inside) {
                Some(why) => why.to_owned(),
                None => format!("`proxy::cells::{test}`, {}", feature.peers),
            };
            let _written = writeln!(page, "| {} | {} |", feature.name, VERSIONS_OF.map(cell).join(" | "));
        }
        page.push('\n');
    }
    page += "## Elsewhere\n\n| feature | where | test | peers |\n|---|---|---|---|\n";
    for [feature, place, test, peers] in ELSEWHERE {
        let _written = writeln!(page, "| {feature} | {place} | `{test}` | {peers} |");
    }
    page
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether `CRATE::MODULE::TEST` is a test.
fn exists(name: &str) -> bool {
    let [package, module, test] = name.split("::").collect::<Vec<_>>()[..] else { return false };
    let file = root().join(format!("crates/{package}/tests/it/{module}.rs"));
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let Some(at) = text.find(&format!("fn {test}(")) else { return false };
    text[..at]
        .trim_end()
        .trim_end_matches("async")
        .trim_end()
        .rsplit('\n')
        .next()
        .is_some_and(|line| line.contains("test"))
}

#[test]
fn the_page_says_what_is_tested() {
    let path = root().join("docs/reference/protocols.md");
    let now = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page == now, "{} isn't current; UPDATE_DOCS=1 writes it", path.display());
    let sections = SECTIONS.map(|(_, test)| format!("proxy::cells::{test}"));
    let elsewhere = ELSEWHERE.iter().map(|[_, _, test, _]| (*test).to_owned());
    for test in sections.into_iter().chain(elsewhere) {
        assert!(exists(&test), "there is no test {test}");
    }
    let cells = FEATURES.iter().flat_map(|feature| [feature.name, feature.peers]);
    assert!(cells.chain(ELSEWHERE.iter().flatten().copied()).all(|cell| !cell.is_empty()), "an empty cell");
    assert!(!exists("proxy::cells::mesh") && !exists("proxy::cells::none"), "what is no test");
}
