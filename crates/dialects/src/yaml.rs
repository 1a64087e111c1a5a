//! YAML 1.2 (and JSON, which is YAML) with the place of everything.
//!
//! A file is divided into its documents first, so that a document that is not well-formed takes no other with it.
//! Stricter than YAML where YAML is a trap: duplicate keys, tags outside the core schema and merge keys are refused.
//! Aliases are expanded, within limits. It reads into a plain tree ([`Node`]); [`Fields`] and [`Value`] read the
//! tree against a [table](crate::table) and make the findings by themselves.

mod build;
mod fields;
mod node;
mod parse;
mod path;
mod scalar;
mod split;
mod value;

pub use fields::Fields;
pub use node::{Entry, Kind, Node, Scalar, Style};
pub use parse::{Document, documents};
pub use path::Path;
pub use scalar::{Resolved, parse_duration, parse_quantity};
pub use value::Value;

#[cfg(test)]
mod tests;
