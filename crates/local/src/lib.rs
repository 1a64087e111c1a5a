//! Meshes of plain processes.
