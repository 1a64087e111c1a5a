//! Istio's default text format (`EnvoyTextLogFormat`).

use std::time::Duration;

use super::field::{self, End, Shown};
use super::{AccessRecord, Address, Timestamp};

pub(super) fn encode(record: &AccessRecord<'_>, shown: &mut Shown, out: &mut Vec<u8>) {
    out.reserve(USUAL_LINE);
    let line = &mut Line { out, shown, is_plain: record.is_plain };
    line.raw(b"[").raw(&Timestamp(record.start_time).text()).raw(b"] \"");
    line.client(record.method)
        .raw(b" ")
        .client(record.path)
        .raw(b" ")
        .word(record.protocol.unwrap_or("-"))
        .raw(b"\" ");
    line.number(record.response_code.into()).raw(b" ").word(record.response_flags).raw(b" ");
    line.plain(record.response_code_details);
    // Most requests end well, and what they don't have is written at once.
    match (record.connection_termination_details, record.upstream_transport_failure_reason) {
        (None, None) => line.raw(b" - \"-\" "),
        (why, failure) => line.raw(b" ").plain(why).raw(b" \"").quoted(failure).raw(b"\" "),
    };
    line.number(record.bytes_received).raw(b" ").number(record.bytes_sent).raw(b" ");
    line.millis(Some(record.duration)).raw(b" ").millis(record.upstream_service_time).raw(b" \"");
    line.client(record.x_forwarded_for).raw(b"\" \"").client(record.user_agent).raw(b"\" \"");
    line.client(record.request_id).raw(b"\" \"").client(record.authority).raw(b"\" \"");
    line.address(End::Upstream, record.upstream_host, true)
        .raw(b"\" ")
        .plain(record.upstream_cluster)
        .raw(b" ");
    line.address(End::UpstreamLocal, record.upstream_local_address, false)
        .raw(b" ")
        .address(End::DownstreamLocal, record.downstream_local_address, false)
        .raw(b" ");
    line.address(End::Downstream, record.downstream_remote_address, false);
    match (record.requested_server_name, record.route_name) {
        (None, None) => line.raw(b" - -\n"),
        (name, route) => line.raw(b" ").plain(name).raw(b" ").plain(route).raw(b"\n"),
    };
}

/// Bytes of a usual line.
const USUAL_LINE: usize = 512;

struct Line<'a> {
    out: &'a mut Vec<u8>,
    shown: &'a mut Shown,
    /// Whether what a client has sent needs no look.
    is_plain: bool,
}

impl Line<'_> {
    /// Inlined, so that separators are written without a call.
    #[inline]
    fn raw<const N: usize>(&mut self, text: &[u8; N]) -> &mut Self {
        self.out.extend_from_slice(text);
        self
    }

    /// A word of the program's own.
    fn word(&mut self, word: &'static str) -> &mut Self {
        self.out.extend_from_slice(word.as_bytes());
        self
    }

    fn number(&mut self, value: u64) -> &mut Self {
        field::number(self.out, value);
        self
    }

    fn millis(&mut self, time: Option<Duration>) -> &mut Self {
        match time {
            Some(time) => field::millis(self.out, time),
            None => self.out.push(b'-'),
        }
        self
    }

    fn address(&mut self, end: End, value: Option<Address<'_>>, quoted: bool) -> &mut Self {
        match value {
            Some(Address::Ip(address)) => self.shown.address(self.out, end, address),
            Some(Address::Unix(path)) => return self.value(Some(path), quoted),
            None => self.out.push(b'-'),
        }
        self
    }

    /// A value that a client may have chosen, between quotes.
    fn client(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) if self.is_plain && !value.is_empty() => field::plain(self.out, value),
            value => return self.value(value, true),
        }
        self
    }

    fn quoted(&mut self, value: Option<impl AsRef<[u8]>>) -> &mut Self {
        self.value(value, true)
    }

    fn plain(&mut self, value: Option<impl AsRef<[u8]>>) -> &mut Self {
        self.value(value, false)
    }

    fn value(&mut self, value: Option<impl AsRef<[u8]>>, quoted: bool) -> &mut Self {
        match value.as_ref().map(AsRef::as_ref) {
            Some(value) if !value.is_empty() => field::text(self.out, value, quoted),
            _ => self.out.push(b'-'),
        }
        self
    }
}
