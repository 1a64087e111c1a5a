//! Compiles the bookshop's protobuf without `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["proto/bookshop.proto"], ["proto"])?;
    tonic_prost_build::configure().build_transport(false).btree_map(".").compile_fds(files)?;
    Ok(())
}
