//! Istio's default text format (`EnvoyTextLogFormat`).

use std::fmt::Display;

use super::{AccessRecord, Address, Timestamp, field};

pub(super) fn encode(record: &AccessRecord<'_>, out: &mut Vec<u8>) {
    let line = &mut Line(out);
    line.raw("[").show(Some(Timestamp(record.start_time))).raw("] \"");
    line.quoted(record.method).raw(" ").quoted(record.path).raw(" ").quoted(record.protocol).raw("\" ");
    line.show(Some(record.response_code)).raw(" ").plain(Some(record.response_flags)).raw(" ");
    line.plain(record.response_code_details).raw(" ").plain(record.connection_termination_details).raw(" \"");
    line.quoted(record.upstream_transport_failure_reason).raw("\" ");
    line.show(Some(record.bytes_received)).raw(" ").show(Some(record.bytes_sent)).raw(" ");
    line.show(Some(record.duration.as_millis())).raw(" ");
    line.show(record.upstream_service_time.map(|time| time.as_millis())).raw(" \"");
    line.quoted(record.x_forwarded_for).raw("\" \"").quoted(record.user_agent).raw("\" \"");
    line.quoted(record.request_id).raw("\" \"").quoted(record.authority).raw("\" \"");
    line.address(record.upstream_host, true).raw("\" ").plain(record.upstream_cluster).raw(" ");
    line.address(record.upstream_local_address, false)
        .raw(" ")
        .address(record.downstream_local_address, false)
        .raw(" ");
    line.address(record.downstream_remote_address, false)
        .raw(" ")
        .plain(record.requested_server_name)
        .raw(" ");
    line.plain(record.route_name).raw("\n");
}

struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn show(&mut self, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(value) => field::display(self.0, value),
            None => self.0.push(b'-'),
        }
        self
    }

    fn address(&mut self, value: Option<Address<'_>>, quoted: bool) -> &mut Self {
        match value {
            Some(Address::Unix(path)) => self.value(Some(path), quoted),
            value => self.show(value),
        }
    }

    fn quoted(&mut self, value: Option<impl AsRef<[u8]>>) -> &mut Self {
        self.value(value, true)
    }

    fn plain(&mut self, value: Option<impl AsRef<[u8]>>) -> &mut Self {
        self.value(value, false)
    }

    fn value(&mut self, value: Option<impl AsRef<[u8]>>, quoted: bool) -> &mut Self {
        match value.as_ref().map(AsRef::as_ref) {
            Some(value) if !value.is_empty() => field::text(self.0, value, quoted),
            _ => self.0.push(b'-'),
        }
        self
    }
}
