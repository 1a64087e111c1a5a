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
