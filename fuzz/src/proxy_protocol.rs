//! The PROXY protocol: read the same however it arrives, never longer than its limit, and what is read can be written.

use leno_http::limits::{PROXY_BINARY_BYTES, PROXY_LINE_BYTES};
use leno_http::proxy_protocol::{Decoded, decode, encode};
use leno_model::destination::ProxyProtocol;

use crate::Outcome;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let whole = decode(data);
    let step = data.len() / 128 + 1;
    for cut in (0..data.len()).step_by(step) {
        let part = decode(&data[..cut]);
        assert!(part == Decoded::NeedMore || part == whole, "{part:?} after {cut} bytes, then {whole:?}");
    }
    match whole {
        Decoded::Header(ends, length) => {
            assert!(length <= data.len() && length <= 16 + PROXY_BINARY_BYTES, "{length}");
            assert!(data[0] != b'P' || length <= PROXY_LINE_BYTES, "a line of {length} bytes");
            for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
                let written = encode(version, ends);
                assert_eq!(decode(&written), Decoded::Header(ends, written.len()), "it doesn't survive");
            }
            Outcome::Accepted
        }
        Decoded::NeedMore => {
            assert!(data.len() < 16 + PROXY_BINARY_BYTES, "waits without end");
            Outcome::Refused
        }
        Decoded::Refused(_) => Outcome::Refused,
    }
}
