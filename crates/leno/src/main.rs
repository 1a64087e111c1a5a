//! The `leno` program: an allocator and a command line.

use std::process::ExitCode;

/// Few arenas and quick purging (`.cargo/config.toml`): a sidecar has two busy threads and should give memory back when
/// idle.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    leno_cli::main()
}
