//! Trailer sections (RFC 9112 §7.1.2).

use http::{HeaderMap, HeaderName, HeaderValue};

use super::line::{Next, field_line};
use super::{Limits, Parsed, Refusal, Stop};
use crate::head::is_managed;

/// Parses field lines up to and including the empty line.
///
/// Refuses fields that would set framing, routing, or how the message or its sender is understood
/// (RFC 9110 §6.5.1), since recipients that merge trailers into the head would believe them.
#[must_use]
pub fn trailers(bytes: &[u8], limits: Limits) -> Parsed<HeaderMap> {
    match parse(bytes, limits) {
        Ok((trailers, consumed)) => Parsed::Complete(trailers, consumed),
        Err(Stop::NeedMore) if bytes.len() >= limits.bytes => Parsed::Refused(Refusal::TrailersTooLarge),
        Err(stop) => stop.into(),
    }
}

fn parse(bytes: &[u8], limits: Limits) -> Result<(HeaderMap, usize), Stop> {
    let mut trailers = HeaderMap::new();
    let mut at = 0;
    let mut count = 0;
    loop {
        let line = match field_line(bytes, at)? {
            Next::End(end) if end > limits.bytes => return Err(Refusal::TrailersTooLarge.into()),
            Next::End(end) => return Ok((trailers, end)),
            Next::Field(line) => line,
        };
        count += 1;
        if count > limits.fields {
            return Err(Refusal::TrailersTooLarge.into());
        }
        let name = HeaderName::from_bytes(line.name).map_err(|_invalid| Refusal::FieldName)?;
        if is_forbidden_trailer(name.as_str()) {
            return Err(Refusal::TrailerField.into());
        }
        let value = HeaderValue::from_bytes(line.value).map_err(|_invalid| Refusal::Control)?;
        trailers.append(name, value);
        at = line.next;
    }
}

/// Whether a field, by lower-case name, can't be a trailer.
pub(crate) fn is_forbidden_trailer(name: &str) -> bool {
    is_managed(name)
        || matches!(
            name,
            "trailer"
                | "expect"
                | "range"
                | "max-forwards"
                | "authorization"
                | "cookie"
                | "set-cookie"
                | "cache-control"
                | "content-encoding"
                | "content-type"
                | "content-range"
                | "location"
                | "www-authenticate"
                | "proxy-authorization"
                | "proxy-authenticate"
                | "forwarded"
                | "x-request-id"
        )
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-envoy-")
}
