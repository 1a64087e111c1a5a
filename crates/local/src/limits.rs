//! Every limit of this crate, with its reason.

/// Bytes of a mesh's, service's or workload's name. Both stand in the path of a Unix socket, which has
/// at most 107 bytes; whether a whole path fits is checked where it is made.
pub const NAME_BYTES: usize = 40;

/// Replicas in one mesh. Each has a supervisor, a sidecar and an init process, about 10 MiB together.
pub const REPLICAS: u32 = 1000;
