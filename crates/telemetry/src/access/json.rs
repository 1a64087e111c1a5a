//! Istio's default JSON keys (`EnvoyJSONLogFormatIstio`), in the order of its source.
//!
//! Types are Envoy's: status, bytes and duration are numbers, everything else a string or `null`; the service time too is
//! a string, since Envoy takes it from a header.

use std::time::Duration;

use super::field::{self, End, Shown};
use super::{AccessRecord, Address, Timestamp};

pub(super) fn encode(record: &AccessRecord<'_>, shown: &mut Shown, out: &mut Vec<u8>) {
    let object = &mut Object { out, shown, before: b'{' };
    object.string("start_time", Some(Timestamp(record.start_time).text()));
    object.string("route_name", record.route_name);
    object.string("method", record.method);
    object.string("path", record.path);
    object.string("protocol", record.protocol);
    object.number("response_code", record.response_code.into());
    object.string("response_flags", Some(record.response_flags));
    object.string("response_code_details", record.response_code_details);
    object.string("connection_termination_details", record.connection_termination_details);
    object.number("bytes_received", record.bytes_received);
    object.number("bytes_sent", record.bytes_sent);
    field::millis(object.key("duration"), record.duration);
    object.millis("upstream_service_time", record.upstream_service_time);
    object.string("x_forwarded_for", record.x_forwarded_for);
    object.string("user_agent", record.user_agent);
    object.string("request_id", record.request_id);
    object.string("authority", record.authority);
    object.address("upstream_host", End::Upstream, record.upstream_host);
    object.string("upstream_cluster", record.upstream_cluster);
    object.address("upstream_local_address", End::UpstreamLocal, record.upstream_local_address);
    object.address("downstream_local_address", End::DownstreamLocal, record.downstream_local_address);
    object.address("downstream_remote_address", End::Downstream, record.downstream_remote_address);
    object.string("requested_server_name", record.requested_server_name);
    object.string("upstream_transport_failure_reason", record.upstream_transport_failure_reason);
    object.out.extend_from_slice(b"}\n");
}

/// An object under construction.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    shown: &'a mut Shown,
    /// What comes before its next key.
    before: u8,
}

impl Object<'_> {
    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.out.push(self.before);
        self.before = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn null(&mut self, key: &str) {
        self.key(key).extend_from_slice(b"null");
    }

    fn number(&mut self, key: &str, value: u64) {
        field::number(self.key(key), value);
    }

    fn millis(&mut self, key: &str, time: Option<Duration>) {
        match time {
            Some(time) => self.between_quotes(key, |object| field::millis(object.out, time)),
            None => self.null(key),
        }
    }

    /// A value whose text needs no escaping.
    fn between_quotes(&mut self, key: &str, write: impl FnOnce(&mut Self)) {
        self.key(key).push(b'"');
        write(self);
        self.out.push(b'"');
    }

    fn string(&mut self, key: &str, value: Option<impl AsRef<[u8]>>) {
        match value {
            Some(value) => field::json(self.key(key), value.as_ref()),
            None => self.null(key),
        }
    }

    fn address(&mut self, key: &str, end: End, value: Option<Address<'_>>) {
        match value {
            Some(Address::Ip(address)) => {
                self.between_quotes(key, |object| object.shown.address(object.out, end, address));
            }
            Some(Address::Unix(path)) => self.string(key, Some(path)),
            None => self.null(key),
        }
    }
}
