//! What a collector's answer means for an export: taken, another time, or never (OTLP 1.9, "Failures" and "Throttling").

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::HeaderMap;
use leno_http::head::ResponseHead;
use leno_model::failure::grpc;
use leno_telemetry::export::Outcome;
use leno_telemetry::otlp::{partial_success, retry_delay};

/// Statuses that no failure of the mesh has.
const ABORTED: u8 = 10;
const OUT_OF_RANGE: u8 = 11;
const DATA_LOSS: u8 = 15;

/// Of an answer over gRPC. Its status is in the head where there is no message, else in the trailers.
pub(super) fn of_grpc(head: &ResponseHead, body: &[u8], trailers: Option<&HeaderMap>) -> Outcome {
    let status = head.status().as_u16();
    if status != 200 {
        return of_status(status, None);
    }
    let field = |name: &str| match trailers.and_then(|trailers| trailers.get(name)) {
        Some(value) => Some(value.as_bytes()),
        None => head.fields().get(name),
    };
    let Some(code) = field("grpc-status").and_then(|code| std::str::from_utf8(code).ok()?.parse::<u8>().ok())
    else {
        return Outcome::Later { after: None, reason: "an answer without grpc-status".to_owned() };
    };
    let message = String::from_utf8_lossy(field("grpc-message").unwrap_or_default()).into_owned();
    let reason = || format!("grpc-status {code} {message}");
    let after = || {
        let details = field("grpc-status-details-bin")?;
        let unpadded = details.strip_suffix(b"==").or_else(|| details.strip_suffix(b"=")).unwrap_or(details);
        retry_delay(&STANDARD_NO_PAD.decode(unpadded).ok()?)
    };
    match code {
        grpc::OK => Outcome::Taken { rejected: partial_success(body.get(5..).unwrap_or_default()).rejected },
        // Without a delay the collector won't ever have room for it.
        grpc::RESOURCE_EXHAUSTED => match after() {
            Some(after) => Outcome::Later { after: Some(after), reason: reason() },
            None => Outcome::Refused(reason()),
        },
        grpc::CANCELLED
        | grpc::DEADLINE_EXCEEDED
        | ABORTED
        | OUT_OF_RANGE
        | grpc::UNAVAILABLE
        | DATA_LOSS => Outcome::Later { after: after(), reason: reason() },
        _ => Outcome::Refused(reason()),
    }
}

/// Of an answer over HTTP.
pub(super) fn of_http(head: &ResponseHead, body: &[u8]) -> Outcome {
    let status = head.status().as_u16();
    if head.status().is_success() {
        return Outcome::Taken { rejected: partial_success(body).rejected };
    }
    // A date instead of seconds is rare, and the usual pause does.
    let seconds =
        head.fields().get("retry-after").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    of_status(status, seconds.map(Duration::from_secs))
}

fn of_status(status: u16, after: Option<Duration>) -> Outcome {
    let reason = format!("status {status}");
    match status {
        429 | 502..=504 => Outcome::Later { after, reason },
        _ => Outcome::Refused(reason),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn head(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
        let mut head = ResponseHead::new(StatusCode::from_u16(status).unwrap());
        for (name, value) in fields {
            head.fields_mut().set(name, value.as_bytes()).unwrap();
        }
        head
    }

    fn trailers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    /// `None`: taken or refused for good; else the delay.
    fn later(outcome: &Outcome) -> Option<Option<Duration>> {
        match outcome {
            Outcome::Later { after, .. } => Some(*after),
            Outcome::Taken { .. } | Outcome::Refused(_) => None,
        }
    }

    #[test]
    fn statuses_of_http_are_sorted() {
        let rejected = b"\x0a\x02\x08\x03";
        assert_eq!(of_http(&head(200, &[]), rejected), Outcome::Taken { rejected: 3 });
        assert_eq!(of_http(&head(202, &[]), b""), Outcome::Taken { rejected: 0 });
        for status in [400, 401, 404, 413, 500, 501] {
            assert!(matches!(of_http(&head(status, &[]), b""), Outcome::Refused(_)), "{status}");
        }
        for status in [429, 502, 503, 504] {
            assert_eq!(later(&of_http(&head(status, &[]), b"")), Some(None), "{status}");
        }
        let delayed = of_http(&head(429, &[("retry-after", "7")]), b"");
        assert_eq!(later(&delayed), Some(Some(Duration::from_secs(7))));
        let dated = of_http(&head(503, &[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")]), b"");
        assert_eq!(later(&dated), Some(None));
    }

    #[test]
    fn statuses_of_grpc_are_sorted() {
        let ok = trailers(&[("grpc-status", "0")]);
        let body = b"\0\0\0\0\x04\x0a\x02\x08\x03";
        assert_eq!(of_grpc(&head(200, &[]), body, Some(&ok)), Outcome::Taken { rejected: 3 });
        assert_eq!(of_grpc(&head(200, &[]), b"", Some(&ok)), Outcome::Taken { rejected: 0 });
        for code in ["1", "4", "10", "11", "14", "15"] {
            assert_eq!(
                later(&of_grpc(&head(200, &[("grpc-status", code)]), b"", None)),
                Some(None),
                "{code}"
            );
        }
        for code in ["2", "3", "5", "7", "8", "12", "13", "16"] {
            let outcome = of_grpc(&head(200, &[("grpc-status", code)]), b"", None);
            assert!(matches!(outcome, Outcome::Refused(_)), "{code}");
        }
        assert_eq!(later(&of_grpc(&head(200, &[]), b"", None)), Some(None), "no status");
        assert_eq!(later(&of_grpc(&head(503, &[]), b"", None)), Some(None), "a proxy in between");
        assert!(matches!(of_grpc(&head(404, &[]), b"", None), Outcome::Refused(_)));
    }

    #[test]
    fn an_exhausted_collector_is_asked_again_when_it_says_so() {
        // A google.rpc.Status with a RetryInfo of 7 s.
        let mut status = vec![0x1a, 46, 0x0a, 40];
        status.extend_from_slice(b"type.googleapis.com/google.rpc.RetryInfo");
        status.extend_from_slice(&[0x12, 2, 0x0a, 0]);
        let text = STANDARD_NO_PAD.encode(&status);
        for padding in ["", "=", "=="] {
            let details = format!("{text}{padding}");
            let head = head(200, &[("grpc-status", "8"), ("grpc-status-details-bin", &details)]);
            assert_eq!(later(&of_grpc(&head, b"", None)), Some(Some(Duration::ZERO)));
        }
    }
}
