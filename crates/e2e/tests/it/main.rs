//! Whole meshes as an ordinary user runs them: the real program, the sample's processes, real namespaces.

mod bookshop;
mod mesh;
