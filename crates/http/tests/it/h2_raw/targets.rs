//! Pseudo fields of requests (RFC 9113 §8.3), CONNECT (§8.5) and extended CONNECT (RFC 8441 §4).

use super::hpack::{block, field};
use super::server::Expect::{Refused, Serves};
use super::server::{Server, check, is_answered, is_quiet};
use super::wire::{code, data, flag, headers, kind, post, request, rst};
use super::{cases, run};

type Fields<'a> = &'a [(&'a str, &'a str)];

/// A whole request of exactly these fields.
fn of(fields: Fields<'_>) -> Vec<u8> {
    headers(1, flag::END_STREAM, &block(fields))
}

/// A request whose body is still to come.
fn open(fields: Fields<'_>) -> Vec<u8> {
    headers(1, 0, &block(fields))
}

fn get(path: &str) -> Vec<u8> {
    of(&[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")])
}

fn authority(authority: &str) -> Vec<u8> {
    of(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", authority)])
}

fn method(method: &str) -> Vec<u8> {
    of(&[(":method", method), (":scheme", "http"), (":path", "/no"), (":authority", "a")])
}

const METHOD: (&str, &str) = (":method", "GET");
const CONNECT: (&str, &str) = (":method", "CONNECT");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/no");
const AUTHORITY: (&str, &str) = (":authority", "a");
const PROTOCOL: (&str, &str) = (":protocol", "websocket");

cases! { check;
    any_order: [of(&[(":path", "/"), AUTHORITY, SCHEME, METHOD])] => Serves;
    a_pseudo_field_behind_a_field: [of(&[METHOD, SCHEME, PATH, ("x", "y"), AUTHORITY])] => Refused(1);
    a_pseudo_field_behind_all: [of(&[METHOD, SCHEME, AUTHORITY, ("x", "y"), PATH])] => Refused(1);
    an_unknown_pseudo_field: [of(&[METHOD, SCHEME, PATH, AUTHORITY, (":x", "y")])] => Refused(1);
    an_unknown_pseudo_field_first: [of(&[(":x", "y"), METHOD, SCHEME, PATH, AUTHORITY])] => Refused(1);
    a_pseudo_field_in_upper_case: [of(&[METHOD, SCHEME, PATH, AUTHORITY, (":Path", "/")])] => Refused(1);
    a_pseudo_field_without_a_name: [of(&[METHOD, SCHEME, PATH, AUTHORITY, (":", "y")])] => Refused(1);
    a_status_in_a_request: [of(&[METHOD, SCHEME, PATH, AUTHORITY, (":status", "200")])] => Refused(1);
    no_method: [of(&[SCHEME, PATH, AUTHORITY])] => Refused(1);
    no_scheme: [of(&[METHOD, PATH, AUTHORITY])] => Refused(1);
    no_path: [of(&[METHOD, SCHEME, AUTHORITY])] => Refused(1);
    no_pseudo_fields: [of(&[("x", "y")])] => Refused(1);
    two_methods: [of(&[METHOD, METHOD, SCHEME, PATH, AUTHORITY])] => Refused(1);
    two_schemes: [of(&[METHOD, SCHEME, SCHEME, PATH, AUTHORITY])] => Refused(1);
    two_paths: [of(&[METHOD, SCHEME, PATH, PATH, AUTHORITY])] => Refused(1);
    two_authorities: [of(&[METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY])] => Refused(1);

    an_empty_method: [method("")] => Refused(1);
    a_method_with_a_space: [method("GE T")] => Refused(1);
    a_method_with_a_line: [method("GET / HTTP/1.1\r\nx: y")] => Refused(1);
    a_method_in_brackets: [method("(GET)")] => Refused(1);
    a_method_in_utf_8: [method("GÉT")] => Refused(1);
    an_empty_scheme: [of(&[METHOD, (":scheme", ""), PATH, AUTHORITY])] => Refused(1);
    a_scheme_with_a_space: [of(&[METHOD, (":scheme", "ht tp"), PATH, AUTHORITY])] => Refused(1);
    a_scheme_with_a_line: [of(&[METHOD, (":scheme", "http\r\nx"), PATH, AUTHORITY])] => Refused(1);
    a_scheme_that_goes_on: [of(&[METHOD, (":scheme", "http://b/"), PATH, AUTHORITY])] => Refused(1);

    an_empty_path: [get("")] => Refused(1);
    a_path_without_a_slash: [get("no")] => Refused(1);
    a_path_of_a_query: [get("?no")] => Refused(1);
    a_path_with_a_fragment: [get("/no#x")] => Refused(1);
    a_path_with_a_space: [get("/n o")] => Refused(1);
    a_path_with_a_version: [get("/no HTTP/1.1")] => Refused(1);
    a_path_with_a_line: [get("/no\r\nx: y")] => Refused(1);
    a_path_with_nul: [get("/no\0")] => Refused(1);
    a_path_with_a_tab: [get("/no\t")] => Refused(1);
    a_path_with_delete: [get("/no\x7f")] => Refused(1);
    a_path_in_utf_8: [get("/größe")] => Refused(1);
    a_path_with_a_high_byte: [headers(1, 1, &[
        block(&[METHOD, SCHEME, AUTHORITY]), field(b":path", b"/\xff"),
    ].concat())] => Refused(1);
    a_path_in_absolute_form: [get("http://a/no")] => Refused(1);
    a_path_of_an_authority: [get("a:80")] => Refused(1);
    an_asterisk_of_get: [get("*")] => Refused(1);
    an_asterisk_that_goes_on: [of(&[(":method", "OPTIONS"), SCHEME, (":path", "*/"), AUTHORITY])]
        => Refused(1);
    a_path_with_a_query: [get("/?x=y?z")] => Serves;
    a_path_of_escapes: [get("/%20%ff?%00")] => Serves;
    a_long_path: [get(&format!("/{}", "x".repeat(8000)))] => Serves;

    no_authority: [of(&[METHOD, SCHEME, PATH])] => Refused(1);
    an_empty_authority: [authority("")] => Refused(1);
    an_authority_with_a_user: [authority("user@a")] => Refused(1);
    an_authority_with_a_password: [authority("user:secret@a")] => Refused(1);
    an_authority_with_an_empty_user: [authority("@a")] => Refused(1);
    an_authority_with_a_path: [authority("a/no")] => Refused(1);
    an_authority_with_a_query: [authority("a?no")] => Refused(1);
    an_authority_with_a_fragment: [authority("a#no")] => Refused(1);
    an_authority_with_a_space: [authority("a b")] => Refused(1);
    an_authority_with_a_comma: [authority("a,b")] => Refused(1);
    an_authority_with_a_line: [authority("a\r\nx: y")] => Refused(1);
    an_authority_with_nul: [authority("a\0")] => Refused(1);
    an_authority_with_a_bad_port: [authority("a:b")] => Refused(1);
    an_authority_with_a_long_port: [authority("a:8000000")] => Refused(1);
    an_authority_with_two_ports: [authority("a:1:2")] => Refused(1);
    an_authority_of_a_port: [authority(":80")] => Refused(1);
    an_authority_in_open_brackets: [authority("[::1")] => Refused(1);
    an_authority_with_a_port_in_brackets: [authority("[::1]:80")] => Serves;
    an_authority_with_a_port: [authority("a.b-c.d:8080")] => Serves;
    a_host_alone: [of(&[METHOD, SCHEME, (":path", "/"), ("host", "a")])] => Serves;
    a_host_that_agrees: [of(&[METHOD, SCHEME, (":path", "/"), AUTHORITY, ("host", "a")])] => Serves;
    a_host_that_differs: [of(&[METHOD, SCHEME, PATH, AUTHORITY, ("host", "b")])] => Refused(1);
    a_host_with_another_port: [of(&[METHOD, SCHEME, PATH, AUTHORITY, ("host", "a:81")])] => Refused(1);
    an_empty_host: [of(&[METHOD, SCHEME, PATH, AUTHORITY, ("host", "")])] => Refused(1);
    two_hosts: [of(&[METHOD, SCHEME, PATH, ("host", "a"), ("host", "b")])] => Refused(1);
    two_hosts_that_agree: [of(&[METHOD, SCHEME, PATH, AUTHORITY, ("host", "a"), ("host", "a")])]
        => Refused(1);
    a_host_with_a_user: [of(&[METHOD, SCHEME, PATH, ("host", "user@a")])] => Refused(1);

    // CONNECT has an authority, and neither scheme nor path.
    connect_with_a_path: [open(&[CONNECT, PATH, (":authority", "a:1")])] => Refused(1);
    connect_with_a_scheme: [open(&[CONNECT, SCHEME, (":authority", "a:1")])] => Refused(1);
    connect_like_a_request: [open(&[CONNECT, SCHEME, PATH, (":authority", "a:1")])] => Refused(1);
    connect_without_an_authority: [open(&[CONNECT])] => Refused(1);
    connect_to_an_empty_authority: [open(&[CONNECT, (":authority", "")])] => Refused(1);
    connect_with_a_user: [open(&[CONNECT, (":authority", "user@a:1")])] => Refused(1);

    // Extended CONNECT has all of them, and a protocol.
    a_protocol_of_get: [of(&[METHOD, SCHEME, PATH, AUTHORITY, PROTOCOL])] => Refused(1);
    a_protocol_without_a_scheme: [open(&[CONNECT, PATH, AUTHORITY, PROTOCOL])] => Refused(1);
    a_protocol_without_a_path: [open(&[CONNECT, SCHEME, AUTHORITY, PROTOCOL])] => Refused(1);
    a_protocol_without_an_authority: [open(&[CONNECT, SCHEME, PATH, PROTOCOL])] => Refused(1);
    a_protocol_alone: [open(&[CONNECT, AUTHORITY, PROTOCOL])] => Refused(1);
    an_empty_protocol: [open(&[CONNECT, SCHEME, PATH, AUTHORITY, (":protocol", "")])] => Refused(1);
    a_protocol_with_a_space: [open(&[CONNECT, SCHEME, PATH, AUTHORITY, (":protocol", "web socket")])]
        => Refused(1);
    a_protocol_with_a_line: [open(&[CONNECT, SCHEME, PATH, AUTHORITY, (":protocol", "websocket\r\nx: y")])]
        => Refused(1);
    two_protocols: [open(&[CONNECT, SCHEME, PATH, AUTHORITY, PROTOCOL, PROTOCOL])] => Refused(1);
    a_protocol_with_an_empty_path: [open(&[CONNECT, SCHEME, (":path", ""), AUTHORITY, PROTOCOL])]
        => Refused(1);
}

#[test]
fn tunnels_carry_bytes_both_ways() {
    run(|| async {
        let connect = open(&[CONNECT, (":authority", "a:443")]);
        let websocket = open(&[CONNECT, SCHEME, (":path", "/chat"), AUTHORITY, PROTOCOL]);
        for (ask, log) in [(connect, "CONNECT "), (websocket, "GET /chat")] {
            let mut server = Server::open().await;
            server.peer.send(&ask).await;
            let head = server.peer.expect(kind::HEADERS, 1).await;
            assert_eq!((head.status(), head.flags), (Some(200), flag::END_HEADERS));
            assert_eq!(head.field("content-length"), None, "there is none of a tunnel (RFC 9110 §9.3.6)");
            server.peer.send(&[data(1, 0, b"there and "), data(1, 0, b"back")].concat()).await;
            let frames = server.peer.rest().await;
            assert!(is_quiet(&frames), "{frames:?}");
            server.peer.send(&data(1, flag::END_STREAM, b"")).await;
            let frames = server.peer.rest().await;
            let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.payload.clone()).collect();
            assert_eq!(bytes, b"there and back");
            assert!(frames.last().is_some_and(|frame| frame.has(flag::END_STREAM)), "{frames:?}");
            assert_eq!(server.logged(), [log]);
            server.probe().await;
        }
    });
}

/// RFC 9113 §8.5: no other frames than DATA and those that manage a stream; trailers could end it at most.
#[test]
fn a_tunnel_that_is_reset_ends() {
    run(|| async {
        let mut server = Server::open().await;
        server.peer.send(&open(&[CONNECT, (":authority", "a:443")])).await;
        server.peer.expect(kind::HEADERS, 1).await;
        server.peer.send(&[data(1, 0, b"x"), rst(1, code::CANCEL)].concat()).await;
        assert!(is_quiet(&server.peer.rest().await));
        server.probe().await;
    });
}

/// OPTIONS of the server itself, and methods that nobody knows.
#[test]
fn unusual_requests_are_served() {
    run(|| async {
        let mut server = Server::open().await;
        for (stream, name, path) in
            [(1, "OPTIONS", "*"), (3, "OPTIONS", "/"), (5, "X-GET", "/"), (7, "get", "/"), (9, "M!#$%", "/")]
        {
            server.peer.send(&headers(stream, flag::END_STREAM, &request(name, path, &[]))).await;
            let frames = server.peer.rest().await;
            assert!(is_answered(&frames, stream), "{name} {path} {frames:?}");
            assert!(server.logged().contains(&format!("{name} {path}")));
        }
        // An empty body by DATA, and a body of GET.
        server
            .peer
            .send(
                &[
                    post(11, "/"),
                    data(11, 1, b""),
                    headers(13, 0, &request("GET", "/", &[])),
                    data(13, 1, b"x"),
                ]
                .concat(),
            )
            .await;
        let frames = server.peer.rest().await;
        assert!(is_answered(&frames, 11) && is_answered(&frames, 13), "{frames:?}");
        server.probe().await;
    });
}
