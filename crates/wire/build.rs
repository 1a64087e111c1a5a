//! Generates the protobuf types and gRPC services from `proto/`, without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "proto/envoy/discovery.proto",
        "proto/istio/certificate.proto",
        "proto/leno/discovery.proto",
        "proto/leno/control.proto",
        "proto/leno/open.proto",
        "proto/leno/state.proto",
    ];
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_well_known_types(true)
        .emit_rerun_if_changed(false)
        // Shared with the buffer they came in, or with every session they go out on.
        .bytes(".google.protobuf.Any")
        .bytes(".leno.state.v1")
        // Their derived form would print what is inside them, secrets included.
        .skip_debug([".google.protobuf.Any", ".leno.discovery.v1alpha1.TlsSecret", ".leno.state.v1.Held"])
        .include_file("proto.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
