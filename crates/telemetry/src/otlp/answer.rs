//! What a collector says to an export.

use std::time::Duration;

/// An export of which a part was not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// Spans that were not taken.
    pub rejected: u64,
    /// Why, for people.
    pub message: String,
}

/// Reads an `ExportTraceServiceResponse`. One that isn't understood says nothing.
pub fn partial_success(answer: &[u8]) -> Partial {
    let mut partial = Partial::default();
    let Some(Value::Bytes(inner)) = find(answer, 1) else { return partial };
    for (field, value) in Fields(inner) {
        match (field, value) {
            (1, Value::Number(rejected)) => partial.rejected = rejected,
            (2, Value::Bytes(message)) => partial.message = String::from_utf8_lossy(message).into_owned(),
            _ => {}
        }
    }
    partial
}

/// The delay of the `google.rpc.RetryInfo` among the details of a `google.rpc.Status`; `None` where there is none.
pub fn retry_delay(status: &[u8]) -> Option<Duration> {
    let details = Fields(status).filter_map(|field| match field {
        (3, Value::Bytes(any)) => Some(any),
        _ => None,
    });
    for any in details {
        let Some(Value::Bytes(kind)) = find(any, 1) else { continue };
        if !kind.ends_with(b"/google.rpc.RetryInfo") {
            continue;
        }
        let Some(Value::Bytes(info)) = find(any, 2) else { return Some(Duration::ZERO) };
        let Some(Value::Bytes(delay)) = find(info, 1) else { return Some(Duration::ZERO) };
        let number = |field| match find(delay, field) {
            Some(Value::Number(number)) => number,
            _ => 0,
        };
        // Negative ones look huge.
        let nanos = u32::try_from(number(2)).unwrap_or_default().min(999_999_999);
        return i64::try_from(number(1)).ok().map(|seconds| Duration::new(seconds.unsigned_abs(), nanos));
    }
    None
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'v> {
    Number(u64),
    Bytes(&'v [u8]),
    Fixed,
}

fn find(message: &[u8], wanted: u32) -> Option<Value<'_>> {
    Fields(message).find(|(field, _)| *field == wanted).map(|(_, value)| value)
}

/// The fields of a message, until its end or something that isn't one.
struct Fields<'m>(&'m [u8]);

impl<'m> Iterator for Fields<'m> {
    type Item = (u32, Value<'m>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = number(&mut self.0)?;
        let value = match key & 7 {
            0 => Value::Number(number(&mut self.0)?),
            1 => take(&mut self.0, 8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(number(&mut self.0)?).ok()?;
                Value::Bytes(take(&mut self.0, length)?)
            }
            5 => take(&mut self.0, 4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((u32::try_from(key >> 3).ok()?, value))
    }
}

fn take<'m>(rest: &mut &'m [u8], length: usize) -> Option<&'m [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::Writer;
    use super::*;

    fn message(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut Writer(&mut bytes));
        bytes
    }

    #[test]
    fn a_partial_success_is_read() {
        let answer = message(|answer| {
            answer.bytes(7, b"unknown");
            answer.message(1, |partial| {
                partial.number(1, 300);
                partial.bytes(2, b"too many");
            });
        });
        assert_eq!(partial_success(&answer), Partial { rejected: 300, message: "too many".to_owned() });
        assert_eq!(partial_success(b""), Partial::default());
        assert_eq!(partial_success(b"\x0a\xff"), Partial::default(), "cut off");
    }

    #[test]
    fn a_delay_is_found_among_the_details() {
        let status = |kind: &str, seconds: u64, nanos: u64| {
            let delay = message(|delay| {
                delay.number(1, seconds);
                delay.number(2, nanos);
            });
            let info = message(|info| info.message(1, |out| out.0.extend_from_slice(&delay)));
            message(|status| {
                status.number(1, 14);
                status.message(3, |any| any.bytes(1, b"type.googleapis.com/google.rpc.Help"));
                status.message(3, |any| {
                    any.bytes(1, kind.as_bytes());
                    any.message(2, |out| out.0.extend_from_slice(&info));
                });
            })
        };
        let kind = "type.googleapis.com/google.rpc.RetryInfo";
        assert_eq!(retry_delay(&status(kind, 2, 500_000_000)), Some(Duration::from_millis(2_500)));
        assert_eq!(retry_delay(&status(kind, 0, 0)), Some(Duration::ZERO));
        assert_eq!(retry_delay(&status(kind, u64::MAX, 0)), None, "a negative one");
        assert_eq!(retry_delay(&status("type.googleapis.com/google.rpc.BadRequest", 2, 0)), None);
        assert_eq!(retry_delay(b""), None);
    }

    #[test]
    fn nothing_is_read_beyond_the_end() {
        let whole = message(|status| status.message(3, |any| any.bytes(1, &[b'x'; 200])));
        for end in 0..whole.len() {
            let cut = whole.get(..end).unwrap();
            assert_eq!(retry_delay(cut), None);
            assert_eq!(partial_success(cut).rejected, 0);
        }
        assert_eq!(number(&mut &[0xff; 12][..]), None, "a number has ten bytes at most");
    }
}
