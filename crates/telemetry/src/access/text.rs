//! Istio's default text format (`EnvoyTextLogFormat`).

use std::fmt::Display;

use super::{AccessRecord, Timestamp, field};

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
    line.show(record.upstream_host).raw("\" ").plain(record.upstream_cluster).raw(" ");
    line.show(record.upstream_local_address).raw(" ").show(record.downstream_local_address).raw(" ");
    line.show(record.downstream_remote_address).raw(" ").plain(record.requested_server_name).raw(" ");
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
