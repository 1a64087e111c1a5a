use super::*;

fn ends(source: &str, destination: &str) -> Option<Ends> {
    Some(Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

/// Version 2's head before what it announces.
fn head(command: u8, family: u8, length: u16) -> Vec<u8> {
    [&SIGNATURE[..], &[command, family], &length.to_be_bytes()].concat()
}

/// With both addresses of IPv4, and `values` behind them.
fn tcp4(values: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0x01, 0xBB];
    let length = u16::try_from(addresses.len() + values.len()).unwrap();
    [head(0x21, 0x11, length), addresses.to_vec(), values.to_vec()].concat()
}

#[test]
fn lines_are_read_as_specified_and_no_other_way() {
    let four = ends("192.0.2.1:12345", "198.51.100.2:443");
    let six = ends("[2001:db8::1]:1", "[2001:db8::2]:65535");
    for (line, expected) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n", Ok(four)),
        ("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", Ok(six)),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 0 0\r\n", Ok(ends("192.0.2.1:0", "198.51.100.2:0"))),
        ("PROXY UNKNOWN\r\n", Ok(None)),
        ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", Ok(None)),
        ("GET / HTTP/1.1\r\n", Err(Refusal::Missing)),
        ("proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n", Err(Refusal::Missing)),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n", Err(Refusal::Line)),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\r\n", Err(Refusal::Line)),
        ("PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n", Err(Refusal::Line)),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n", Err(Refusal::Line)),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", Err(Refusal::Line)),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", Err(Refusal::Line)),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n", Err(Refusal::Line)),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n", Err(Refusal::Line)),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n", Err(Refusal::Line)),
        ("PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n", Err(Refusal::Line)),
        ("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", Err(Refusal::Line)),
        ("PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", Err(Refusal::Line)),
        ("PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", Err(Refusal::Line)),
        ("PROXY UNKNOWNS\r\n", Err(Refusal::Line)),
        ("PROXY UNKNOWN \u{7f}\r\n", Err(Refusal::Line)),
        ("PROXY TCP4\t", Err(Refusal::Line)),
    ] {
        let expected = match expected {
            Ok(ends) => Decoded::Header(ends, line.len()),
            Err(refusal) => Decoded::Refused(refusal),
        };
        assert_eq!(decode(format!("{line}GET").as_bytes()), expected, "{line:?}");
    }
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(100));
    assert_eq!(decode(endless.as_bytes()), Decoded::Refused(Refusal::Length));
}

#[test]
fn binary_headers_are_read_as_specified_and_no_other_way() {
    let four = ends("192.0.2.1:12345", "198.51.100.2:443");
    // Over a header with a place for it, as another implementation computes it.
    let mut summed = tcp4(&[3, 0, 4, 0, 0, 0, 0]);
    let sum = crc32c::of(&[&summed]);
    let at = summed.len() - 4;
    summed[at..].copy_from_slice(&sum.to_be_bytes());
    let mut wrong = summed.clone();
    wrong[20] ^= 1;
    for (header, expected) in [
        (tcp4(&[]), Ok(four)),
        (tcp4(&[4, 0, 1, 0, 1, 0, 2, b'h', b'2']), Ok(four)),
        (summed, Ok(four)),
        (head(0x20, 0, 0), Ok(None)),
        (head(0x21, 0, 0), Ok(None)),
        // What a health check sends: its own addresses, or anything else.
        ([head(0x20, 0x31, 3), vec![1, 2, 3]].concat(), Ok(None)),
        (wrong, Err(Refusal::Checksum)),
        (tcp4(&[3, 0, 2, 0, 0]), Err(Refusal::Checksum)),
        (tcp4(&[4, 0, 9, 0]), Err(Refusal::Truncated)),
        (tcp4(&[4, 0]), Err(Refusal::Truncated)),
        ([head(0x21, 0x11, 4), vec![0; 4]].concat(), Err(Refusal::Truncated)),
        (head(0x11, 0x11, 12), Err(Refusal::Command)),
        (head(0x22, 0x11, 12), Err(Refusal::Command)),
        (head(0x21, 0x12, 12), Err(Refusal::Family)),
        (head(0x21, 0x31, 216), Err(Refusal::Family)),
        (head(0x21, 0x21, u16::MAX), Err(Refusal::Length)),
    ] {
        let expected = match expected {
            Ok(ends) => Decoded::Header(ends, header.len()),
            Err(refusal) => Decoded::Refused(refusal),
        };
        assert_eq!(decode(&[&header[..], b"GET"].concat()), expected, "{}", header.escape_ascii());
    }
    // The check value that every implementation of it is tried with.
    assert_eq!(crc32c::of(&[b"1234", b"56789"]), 0xE306_9283);
}

#[test]
fn what_is_written_is_read_and_no_part_of_it_is_enough() {
    for told in
        [ends("192.0.2.1:12345", "198.51.100.2:443"), ends("[2001:db8::1]:1", "[2001:db8::2]:2"), None]
    {
        for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
            let header = encode(version, told);
            assert_eq!(decode(&header), Decoded::Header(told, header.len()));
            for cut in 0..header.len() {
                assert_eq!(decode(&header[..cut]), Decoded::NeedMore, "{version:?} {cut}");
            }
        }
    }
    let mixed = encode(ProxyProtocol::V2, ends("192.0.2.1:1", "[2001:db8::2]:2"));
    let read = ends("[::ffff:192.0.2.1]:1", "[2001:db8::2]:2");
    assert_eq!(decode(&mixed), Decoded::Header(read, mixed.len()));
}
