//! With hyper on both sides of a proxy: every combination of versions.
