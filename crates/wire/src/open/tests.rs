use proptest::prelude::*;

use super::*;

fn open() -> Open {
    Open {
        ip: [10, 0, 0, 7].into(),
        port: 8080,
        service: Some("reviews.default.svc.cluster.local".parse().unwrap()),
        protocol: Protocol::Http2,
        source: Source {
            namespace: "default".into(),
            workload: "web-0".into(),
            owner: "web".into(),
            cluster: "local".into(),
            labels: [("app", "web"), ("version", "v1")].into_iter().collect(),
        },
        machine: Some(Machine { salt: 1, code: u64::MAX }),
    }
}

fn framed(message: &transport::Open) -> Vec<u8> {
    let content = message.encode_to_vec();
    [&u32::try_from(content.len()).unwrap().to_be_bytes()[..], &content].concat()
}

fn refusal(bytes: &[u8]) -> String {
    match Open::decode(bytes) {
        Decoded::Refused(error) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flight_is_read_in_any_pieces_and_nothing_after_it() {
    let mut flight = open().encode();
    let length = flight.len();
    flight.extend_from_slice(b"GET / HTTP/1.1\r\n");
    for cut in 0..length {
        let Decoded::NeedMore(more) = Open::decode(&flight[..cut]) else { panic!("{cut}") };
        assert!(more >= 1 && cut + more <= length, "{cut} and {more} of {length}");
    }
    assert_eq!(Open::decode(&flight), Decoded::Open(Box::new(open()), length));
}

#[test]
fn what_is_not_a_flight_is_refused_with_its_field() {
    let good = open().write();
    let source = |change: fn(&mut transport::Source)| {
        let mut message = good.clone();
        change(message.source.as_mut().unwrap());
        message
    };
    for (message, expected) in [
        (transport::Open { ip: vec![1], ..good.clone() }, "ip: 1 bytes are not an IP address"),
        (transport::Open { port: 0, ..good.clone() }, "port: 0 is not a port"),
        (transport::Open { port: 70_000, ..good.clone() }, "port: 70000 is not a port"),
        (transport::Open { protocol: 0, ..good.clone() }, "protocol: missing, or of a kind unknown here"),
        (transport::Open { protocol: 9, ..good.clone() }, "protocol: missing, or of a kind unknown here"),
        (
            transport::Open { service: "a b".into(), ..good.clone() },
            "service: \"a b\": a host name is labels of at most 63 letters, digits, '-' or '_', separated by dots",
        ),
        (source(|s| s.owner = "a\nb".into()), "source.owner: has a control character"),
        (source(|s| s.cluster = "x".repeat(254)), "source.cluster: longer than 253 bytes"),
        (source(|s| s.labels.push(s.labels[0].clone())), "source.labels[2]: given twice"),
        (source(|s| s.labels = vec![transport::Label::default(); 17]), "source.labels: more than 16"),
    ] {
        assert_eq!(refusal(&framed(&message)), expected);
    }
    assert_eq!(refusal(b"GET / HTTP/1.1\r\n"), "1195725856 bytes long; the most is 4096");
    assert!(refusal(b"\0\0\0\x01\xff").contains("decode"));
}

#[test]
fn an_empty_flight_names_what_is_missing() {
    assert_eq!(refusal(&[0; 4]), "protocol: missing, or of a kind unknown here");
}

#[test]
fn a_source_that_is_too_long_is_left_out_rather_than_refused() {
    let mut large = open();
    large.source.owner = "o".repeat(300).into();
    large.source.labels = (0..40).map(|i| (format!("k{i:02}"), "v".repeat(250))).collect();
    let flight = large.encode();
    assert!(flight.len() <= MAX_OPEN_BYTES + PREFIX_BYTES, "{}", flight.len());
    let Decoded::Open(read, _) = Open::decode(&flight) else { panic!("refused") };
    assert_eq!((read.ip, read.port, &read.service), (large.ip, large.port, &large.service));
    // Who it is counts for more than its labels.
    let rest = Source { owner: "".into(), labels: Labels::default(), ..large.source };
    assert_eq!((read.source, read.machine), (rest, large.machine));
}

#[test]
fn a_client_need_not_say_where_it_runs() {
    let silent = Open { machine: None, ..open() };
    let flight = silent.encode();
    let length = flight.len();
    assert!(length < open().encode().len());
    assert_eq!(Open::decode(&flight), Decoded::Open(Box::new(silent), length));
}

#[test]
fn verdicts_keep_their_numbers() {
    for byte in 0..=255u8 {
        let verdict = Verdict::from_byte(byte);
        assert_eq!(verdict == Verdict::Accepted, byte == 0);
        if byte <= 9 {
            assert_eq!(verdict.byte(), byte);
        }
    }
    for failure in Failure::ALL {
        assert_ne!(Verdict::Refused(Refusal::of(*failure)).byte(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flights_survive(ip in any::<[u8; 16]>(), port in 1..=u16::MAX, owner in "\\PC{0,40}", app in "[ -~]{0,40}") {
        let mut open = open();
        (open.ip, open.port, open.source.owner) = (ip.into(), port, owner.into());
        open.source.labels = [("app", app)].into_iter().collect();
        let flight = open.encode();
        prop_assert_eq!(Open::decode(&flight), Decoded::Open(Box::new(open), flight.len()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), short in any::<bool>()) {
        let mut flight = bytes.clone();
        if short {
            flight = [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat();
        }
        let _decoded = Open::decode(&flight);
    }
}
