//! Tests over the public API: golden pairs, properties, generated documents.

mod dump;
mod golden;
