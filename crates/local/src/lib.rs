//! Meshes of plain processes on one machine: what `leno up` starts, watches and ends.
//!
//! - [`mesh`]: the mesh file (`LocalMesh`), as written and as checked.
//! - [`plan`]: what follows from a mesh: replicas with their names, addresses and sockets.
//!
//! Invariant: nothing here knows of routes, policies or requests. Programs that do (control plane,
//! gateway, sidecar) are given as command lines.

pub mod limits;
pub mod mesh;
pub mod plan;
