//! Every limit of this crate, with its reason. Text comes from people and from attackers alike.

/// Largest file or request body, in bytes. A whole mesh's export has a few megabytes.
pub const MAX_FILE_BYTES: usize = 16 << 20;

/// Largest single document, in bytes: what the Kubernetes API server accepts (3 MiB), so that nothing that can be
/// stored there is refused here.
pub const MAX_DOCUMENT_BYTES: usize = 3 << 20;

/// Most documents in one file; a file of empty documents must not cost more than its bytes.
pub const MAX_DOCUMENTS: usize = 50_000;

/// Deepest nesting. The deepest field of any kind known here is 11 levels down; readers of the tree recurse.
pub const MAX_DEPTH: usize = 48;

/// Most bytes of one document that are read once more because a line had to be indented for the parser's sake: 256
/// such lines in a document of 64 KiB, five in the largest.
pub const MAX_REREAD_BYTES: usize = 16 << 20;

/// Most nodes in one document, aliases counted as what they stand for: an alias must not buy more than its text.
pub const MAX_NODES: usize = 400_000;

/// Most bytes of text in one document, aliases counted as what they stand for.
pub const MAX_EXPANDED_BYTES: usize = 2 * MAX_DOCUMENT_BYTES;

/// Most items of one list and keys of one mapping. The largest list that any API allows is 4096 (Istio's
/// `portLevelSettings`); readers compare items with each other.
pub const MAX_ITEMS: usize = 4096;

/// Most matches of one object that are compared with each other to find rules that never apply; the number of
/// comparisons is its square.
pub const MAX_COMPARED_MATCHES: usize = 1_000;

/// Most hints about names that are nearly right in one analysis; each costs a comparison with every name.
pub const MAX_NAME_HINTS: usize = 50;

/// Most findings kept for one object. Nobody reads more, and a document of 400,000 wrong fields must not cost
/// 400,000 sentences.
pub const MAX_FINDINGS: usize = 100;

/// Longest value shown in a message, in characters; the place says where the rest is.
pub const MAX_SHOWN: usize = 60;

/// Longest duration accepted, in seconds (a year): far from where sums of durations overflow.
pub const MAX_DURATION_SECS: u64 = 366 * 24 * 3600;

/// Largest body of a fixed response, in bytes: Istio's limit.
pub const MAX_RESPONSE_BYTES: usize = 1 << 20;
