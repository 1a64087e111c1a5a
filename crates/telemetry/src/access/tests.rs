use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::limits::ACCESS_FIELD;

use super::*;

fn full() -> AccessRecord<'static> {
    let address = |text: &str| Some(Address::Ip(text.parse().unwrap()));
    AccessRecord {
        start_time: UNIX_EPOCH + Duration::from_millis(1_606_339_578_409),
        method: Some(b"GET"),
        path: Some(b"/status/418?a=b"),
        protocol: Some("HTTP/1.1"),
        response_code: 418,
        response_flags: "-",
        response_code_details: Some("via_upstream"),
        connection_termination_details: None,
        upstream_transport_failure_reason: None,
        bytes_received: 12,
        bytes_sent: 135,
        duration: Duration::from_micros(4_999),
        upstream_service_time: Some(Duration::from_millis(3)),
        x_forwarded_for: None,
        user_agent: Some(b"curl/7.73.0-DEV"),
        request_id: Some(b"84961386-6d84-929d-98bd-c5aee93b5c88"),
        authority: Some(b"httpbin:8000"),
        upstream_host: address("10.44.1.27:80"),
        upstream_cluster: Some(b"outbound|8000||httpbin.foo.svc.cluster.local"),
        upstream_local_address: address("10.44.1.23:37652"),
        downstream_local_address: address("10.0.45.184:8000"),
        downstream_remote_address: address("[fd00::1]:46520"),
        requested_server_name: None,
        route_name: Some("default"),
        is_plain: false,
    }
}

#[test]
fn what_needs_no_look_is_written_alike() {
    let long = vec![b'a'; ACCESS_FIELD + 1];
    for format in [Format::Text, Format::Json] {
        for path in [&b"/status"[..], &long] {
            let looked = AccessRecord { path: Some(path), ..full() };
            assert_eq!(
                encode(&AccessRecord { is_plain: true, ..looked }, format),
                encode(&looked, format),
                "{format:?}"
            );
        }
    }
    assert!(is_plain(b"Mozilla/5.0 (X11; Linux x86_64) and more") && is_plain(b""));
    for special in ["\"", "\\", "\n", "\r", "\t", "\0", "\u{7f}", "\u{e9}"] {
        for (before, after) in [("", ""), ("a word", ""), ("", "a word"), ("more than sixteen", "of them")] {
            assert!(!is_plain(format!("{before}{special}{after}").as_bytes()), "{special:?}");
        }
    }
}

fn encode(record: &AccessRecord<'_>, format: Format) -> String {
    let mut line = Vec::new();
    record.encode(format, &mut Shown::new(), &mut line);
    String::from_utf8(line).unwrap()
}

#[test]
fn text_is_istios() {
    assert_eq!(
        encode(&full(), Format::Text),
        "[2020-11-25T21:26:18.409Z] \"GET /status/418?a=b HTTP/1.1\" 418 - via_upstream - \"-\" 12 135 4 3 \
         \"-\" \"curl/7.73.0-DEV\" \"84961386-6d84-929d-98bd-c5aee93b5c88\" \"httpbin:8000\" \"10.44.1.27:80\" \
         outbound|8000||httpbin.foo.svc.cluster.local 10.44.1.23:37652 10.0.45.184:8000 [fd00::1]:46520 - default\n"
    );
    assert_eq!(
        encode(&AccessRecord::new(UNIX_EPOCH), Format::Text),
        "[1970-01-01T00:00:00.000Z] \"- - -\" 0 - - - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" - - - - - -\n"
    );
}

#[test]
fn json_has_istios_keys_in_order() {
    assert_eq!(
        encode(&full(), Format::Json),
        concat!(
            r#"{"start_time":"2020-11-25T21:26:18.409Z","route_name":"default","method":"GET","#,
            r#""path":"/status/418?a=b","protocol":"HTTP/1.1","response_code":418,"response_flags":"-","#,
            r#""response_code_details":"via_upstream","connection_termination_details":null,"#,
            r#""bytes_received":12,"bytes_sent":135,"duration":4,"upstream_service_time":"3","#,
            r#""x_forwarded_for":null,"user_agent":"curl/7.73.0-DEV","#,
            r#""request_id":"84961386-6d84-929d-98bd-c5aee93b5c88","authority":"httpbin:8000","#,
            r#""upstream_host":"10.44.1.27:80","#,
            r#""upstream_cluster":"outbound|8000||httpbin.foo.svc.cluster.local","#,
            r#""upstream_local_address":"10.44.1.23:37652","downstream_local_address":"10.0.45.184:8000","#,
            r#""downstream_remote_address":"[fd00::1]:46520","requested_server_name":null,"#,
            r#""upstream_transport_failure_reason":null}"#,
            "\n"
        )
    );
}

#[test]
fn hostile_values_stay_in_their_field() {
    for (value, text, json) in [
        (&b"a\"b\\c"[..], r"a\x22b\x5Cc", json!("a\"b\\c")),
        (b"a\r\nb\0\x1b[31m", r"a\x0D\x0Ab\x00\x1B[31m", json!("a\r\nb\0\x1b[31m")),
        (b"caf\xc3\xa9 \xff!", "café \\xFF!", json!("café \u{fffd}!")),
        (b"", "-", json!("")),
    ] {
        let record = AccessRecord { user_agent: Some(value), ..AccessRecord::new(UNIX_EPOCH) };
        assert!(encode(&record, Format::Text).contains(&format!(" \"-\" \"{text}\" \"-\" ")), "{value:?}");
        let read: Value = serde_json::from_str(&encode(&record, Format::Json)).unwrap();
        assert_eq!(read["user_agent"], json);
    }
    let spaced = AccessRecord { route_name: Some("two words"), ..AccessRecord::new(UNIX_EPOCH) };
    assert!(encode(&spaced, Format::Text).ends_with(" two\\x20words\n"));
}

#[test]
fn what_is_absent_stands_in_its_place() {
    let none = AccessRecord::new(UNIX_EPOCH);
    for (why, failure, told) in [
        (Some("cut"), None, " - - cut \"-\" 0 0 "),
        (None, Some("no route"), " - - - \"no route\" 0 0 "),
        (Some("cut"), Some("no route"), " - - cut \"no route\" 0 0 "),
    ] {
        let connection_termination_details = why;
        let record = AccessRecord {
            connection_termination_details,
            upstream_transport_failure_reason: failure,
            ..none
        };
        assert!(encode(&record, Format::Text).contains(told));
    }
    for (name, route, told) in [
        (Some(&b"name"[..]), None, " - name -\n"),
        (None, Some("route"), " - - route\n"),
        (Some(b"name"), Some("route"), " - name route\n"),
    ] {
        let record = AccessRecord { requested_server_name: name, route_name: route, ..none };
        assert!(encode(&record, Format::Text).ends_with(told));
    }
}

#[test]
fn long_values_are_cut() {
    for (length, shown) in [(ACCESS_FIELD, ACCESS_FIELD), (ACCESS_FIELD + 1, ACCESS_FIELD + 3)] {
        let path = vec![b'x'; length];
        let record = AccessRecord { path: Some(&path), ..AccessRecord::new(UNIX_EPOCH) };
        let read: Value = serde_json::from_str(&encode(&record, Format::Json)).unwrap();
        assert_eq!(read["path"].as_str().unwrap().len(), shown);
        assert_eq!(encode(&record, Format::Text).matches('x').count(), ACCESS_FIELD);
    }
}

#[test]
fn a_unix_address_is_its_path() {
    let record =
        AccessRecord { upstream_host: Some(Address::Unix("/run/a\"b")), ..AccessRecord::new(UNIX_EPOCH) };
    let read: Value = serde_json::from_str(&encode(&record, Format::Json)).unwrap();
    assert_eq!(read["upstream_host"], json!("/run/a\"b"));
    assert!(encode(&record, Format::Text).contains(r#" "/run/a\x22b" "#));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_make_one_valid_line(value in prop::collection::vec(any::<u8>(), 0..100)) {
        let record = AccessRecord {
            method: Some(&value),
            path: Some(&value),
            authority: Some(&value),
            requested_server_name: Some(&value),
            ..AccessRecord::new(UNIX_EPOCH)
        };
        let text = encode(&record, Format::Text);
        prop_assert!(text.ends_with('\n') && text.matches('\n').count() == 1);
        prop_assert_eq!(text.matches('"').count(), 14);
        let json = encode(&record, Format::Json);
        prop_assert_eq!(json.matches('\n').count(), 1);
        let read: Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read["path"].as_str(), Some(&*String::from_utf8_lossy(&value)));
    }
}

proptest! {
    #[test]
    fn addresses_and_numbers_are_as_they_show_themselves(ip: [u8; 4], six: u128, port: u16, bytes: u64) {
        let four = SocketAddr::from((ip, port));
        let record = AccessRecord {
            bytes_sent: bytes,
            upstream_host: Some(four.into()),
            upstream_local_address: Some(SocketAddr::from((std::net::Ipv6Addr::from(six), port)).into()),
            ..AccessRecord::new(UNIX_EPOCH)
        };
        let mut line = Vec::new();
        record.encode(Format::Text, &mut Shown::new(), &mut line);
        let line = String::from_utf8(line).unwrap();
        let six = std::net::Ipv6Addr::from(six);
        prop_assert!(line.contains(&format!(" 0 {bytes} 0 - ")), "{line}");
        prop_assert!(line.contains(&format!(" \"{four}\" - [{six}]:{port} - - ")), "{line}");
    }
    #[test]
    fn addresses_are_shown_whatever_was_shown_before(
        addresses in prop::collection::vec((any::<[u8; 4]>(), 0_u16..40), 1..60),
    ) {
        let mut shown = Shown::default();
        for pair in addresses.iter().chain(&addresses).collect::<Vec<_>>().windows(2) {
            let [one, other] = [pair[0], pair[1]].map(|(ip, port)| SocketAddr::from((*ip, *port)));
            let record = AccessRecord {
                upstream_host: Some(one.into()),
                upstream_local_address: Some(other.into()),
                downstream_local_address: Some(one.into()),
                downstream_remote_address: Some(other.into()),
                ..AccessRecord::new(UNIX_EPOCH)
            };
            let mut line = Vec::new();
            record.encode(Format::Text, &mut shown, &mut line);
            let line = String::from_utf8(line).unwrap();
            let told = format!(" \"{one}\" - {other} {one} {other} - -\n");
            prop_assert!(line.ends_with(&told), "{line}");
        }
    }
}
