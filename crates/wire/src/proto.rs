//! Generated protobuf types and gRPC services. What they mean is written in `proto/`.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    clippy::nursery,
    reason = "generated"
)]

use std::fmt;

include!(concat!(env!("OUT_DIR"), "/proto.rs"));

pub use envoy::service::discovery::v3 as discovery;
pub use leno::control::v1alpha1 as control;
pub use leno::discovery::v1alpha1 as units;
pub use leno::state::v1 as state;
pub use leno::transport::v1 as transport;

impl fmt::Debug for google::protobuf::Any {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.type_url, self.value.len())
    }
}

impl fmt::Debug for units::TlsSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Debug for state::Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {} bytes", self.type_url, self.name, self.content.len())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Resource, Status};
    use super::google::protobuf::Any;
    use super::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};

    /// Field numbers and types of a message, as they are on the wire: `(number, is length-delimited)`.
    fn fields(message: &impl Message) -> Vec<(u8, bool)> {
        let bytes = message.encode_to_vec();
        let mut rest = bytes.as_slice();
        let mut fields = Vec::new();
        while let [tag, value, tail @ ..] = rest {
            let is_delimited = tag & 7 == 2;
            fields.push((tag >> 3, is_delimited));
            rest = if is_delimited { &tail[usize::from(*value)..] } else { tail };
        }
        fields
    }

    /// The numbers are those of envoy's discovery.proto and base.proto, google's status.proto and any.proto, and istio's
    /// ca.proto: others speak these messages too.
    #[test]
    fn messages_that_are_not_ours_have_their_owners_numbers() {
        let text = || "x".to_owned();
        let request = DeltaDiscoveryRequest {
            node: Some(Node::default()),
            type_url: text(),
            resource_names_subscribe: vec![text()],
            resource_names_unsubscribe: vec![text()],
            initial_resource_versions: [(text(), text())].into(),
            response_nonce: text(),
            error_detail: Some(Status::default()),
        };
        assert_eq!(fields(&request), (1..=7).map(|number| (number, true)).collect::<Vec<_>>());
        let response = DeltaDiscoveryResponse {
            system_version_info: text(),
            resources: vec![Resource::default()],
            type_url: text(),
            nonce: text(),
            removed_resources: vec![text()],
        };
        assert_eq!(fields(&response), [1, 2, 4, 5, 6].map(|number| (number, true)));
        let resource = Resource { version: text(), resource: Some(Any::default()), name: text() };
        assert_eq!(fields(&resource), [1, 2, 3].map(|number| (number, true)));
        let node = Node { id: text(), cluster: text(), user_agent_name: text(), user_agent_version: text() };
        assert_eq!(fields(&node), [1, 2, 6, 7].map(|number| (number, true)));
        let status = Status { code: 1, message: text(), details: vec![Any::default()] };
        assert_eq!(fields(&status), [(1, false), (2, true), (3, true)]);
        let any = Any { type_url: text(), value: b"x"[..].into() };
        assert_eq!(fields(&any), [1, 2].map(|number| (number, true)));
        let request = IstioCertificateRequest {
            csr: text(),
            validity_duration: 1,
            metadata: Some(super::google::protobuf::Struct::default()),
        };
        assert_eq!(fields(&request), [(1, true), (3, false), (4, true)]);
        assert_eq!(fields(&IstioCertificateResponse { cert_chain: vec![text()] }), [(1, true)]);
    }
}
