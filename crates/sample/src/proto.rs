//! The bookshop's protobuf types, generated from `proto/bookshop.proto`.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::excessive_nesting,
    clippy::too_many_lines,
    clippy::use_self,
    reason = "generated code"
)]

tonic::include_proto!("leno.sample.v1");
