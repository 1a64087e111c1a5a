//! Tests over the public API.
