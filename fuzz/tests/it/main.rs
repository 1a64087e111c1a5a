//! The corpora, and mutations of them, as ordinary tests.

mod corpus;
mod mutate;
mod seeds;
