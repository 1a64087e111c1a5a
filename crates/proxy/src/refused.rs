//! What is turned away before it could be served: connections, and bytes that are no request. Each is counted, and told
//! in the access log with the reason, since whoever sent it learns little more than that it was refused.

use std::fmt::Display;
use std::time::Instant;

use leno_http::head::{RequestHead, Version};
use leno_http::normalize::{self, PathMode};
use leno_http::server::BrokenStream;
use leno_model::failure::Failure;
use leno_model::request::RequestView;
use leno_telemetry::access::{AccessRecord, Address};
use leno_telemetry::istio::{Reporter, Security};

use crate::core::Core;
use crate::local::Local;
use crate::opaque;
use crate::parties::{Parties, Party, ServiceName};
use crate::path::Path;
use crate::record::Ends;

/// A failure, and what exactly was wrong.
pub(crate) struct Refused {
    pub(crate) failure: Failure,
    why: String,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, why: String::new() }
    }
}

impl From<&BrokenStream> for Refused {
    fn from(broken: &BrokenStream) -> Self {
        Self::because(broken.failure, broken.rule)
    }
}

impl Refused {
    pub(crate) fn because(failure: Failure, why: impl Display) -> Self {
        Self { failure, why: why.to_string() }
    }

    /// A request whose head can't be made trustworthy, with the rule that its path breaks.
    pub(crate) fn head(head: &RequestHead, failure: Failure) -> Self {
        if failure != Failure::PathRejected {
            return failure.into();
        }
        match normalize::path(head.path(), PathMode::default()) {
            Err(rejected) => Self::because(failure, rejected),
            Ok(_) => failure.into(),
        }
    }

    /// What exactly was wrong, where more is known than the failure says.
    pub(crate) fn why(&self) -> Option<&str> {
        Some(self.why.as_str()).filter(|why| !why.is_empty())
    }

    /// As Envoy writes details: one word, so that a log's line can be divided at blanks.
    pub(crate) fn details(&self) -> String {
        let row = self.failure.row();
        if self.why.is_empty() {
            return row.details.to_owned();
        }
        format!("{}{{{}}}", row.details, self.why.replace(char::is_whitespace, "_"))
    }
}

/// Counts and tells of a connection that is not served at all. Closing it is the caller's part: it drops the socket.
pub(crate) fn connection(
    core: &Core,
    local: &Local,
    reporter: Reporter,
    ends: &Ends,
    refused: impl Into<Refused>,
) {
    let refused = refused.into();
    let row = refused.failure.row();
    let service = ServiceName::undeclared("unknown");
    let parties = Parties {
        reporter,
        local,
        remote: &Party::default(),
        service: &service,
        security: Security::Unknown,
    };
    opaque::handle(core, &parties).failed(row.flag);
    tell_connection(core, local, ends, &refused);
}

/// Tells of a stream of a connection between proxies on which its peer broke a rule. One that was served is counted as what it carried.
pub(crate) fn tunnel(core: &Core, local: &Local, ends: &Ends, broken: &BrokenStream) {
    if broken.is_served {
        return tell_connection(core, local, ends, &broken.into());
    }
    core.shared.tunnels.inbound.failed(broken.failure.row().details);
    connection(core, local, Reporter::Destination, ends, broken);
}

fn tell_connection(core: &Core, local: &Local, ends: &Ends, refused: &Refused) {
    let Some(access) = &core.shared.access else { return };
    access.record(&AccessRecord {
        response_flags: refused.failure.row().flag,
        connection_termination_details: Some(&refused.details()),
        downstream_local_address: ends.local.map(Address::Ip),
        downstream_remote_address: ends.remote.map(Address::Ip),
        ..AccessRecord::new(local.clock.wall())
    });
}

/// Counts and tells of bytes on a connection of requests that are none. The answer is sent already, if there is one.
pub(crate) fn request(core: &Core, path: &Path, protocol: &'static str, refused: &Refused) {
    let row = refused.failure.row();
    let mut record = path.handle(core).start(leno_runtime::Instant::from_std(Instant::now()));
    record.response_code = row.http;
    record.response_flags = row.flag;
    tell_request(core, path, protocol, refused);
}

/// Tells of a request on whose stream the client broke a rule. One that was served is counted by its own record.
pub(crate) fn stream(core: &Core, path: &Path, broken: &BrokenStream) {
    let protocol = Version::Http2.as_str();
    if broken.is_served {
        return tell_request(core, path, protocol, &broken.into());
    }
    request(core, path, protocol, &broken.into());
}

fn tell_request(core: &Core, path: &Path, protocol: &'static str, refused: &Refused) {
    let row = refused.failure.row();
    let Some(access) = &core.shared.access else { return };
    let ends = path.ends();
    access.record(&AccessRecord {
        protocol: Some(protocol),
        response_code: row.http,
        response_flags: row.flag,
        response_code_details: Some(&refused.details()),
        downstream_local_address: ends.local.map(Address::Ip),
        downstream_remote_address: ends.remote.map(Address::Ip),
        requested_server_name: ends.server_name.as_deref().map(str::as_bytes),
        ..AccessRecord::new(path.local().clock.wall())
    });
}
