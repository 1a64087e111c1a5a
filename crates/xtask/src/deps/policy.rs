//! The dependency policy as data. Each entry has its reason; changing one is a decision, not a formality.

/// Licences that ask for no more than a notice. A licence with conditions on our own sources or on how the
/// program is used (GPL, LGPL, AGPL, MPL, BUSL, SSPL) isn't here: nothing needs one so far.
pub(crate) const LICENCES: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    // Tables of Unicode's data.
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages that no build may contain.
pub(crate) const BANNED: [(&str, &str); 6] = [
    ("ring", "aws-lc-rs is our one source of cryptography; switch off the feature that brings ring"),
    ("openssl", "TLS is rustls"),
    ("openssl-sys", "TLS is rustls"),
    ("native-tls", "TLS is rustls"),
    ("async-std", "the runtime is tokio"),
    ("serde_yaml", "saphyr-parser has spans, duplicate keys and alias limits"),
];

/// Who may name a package in its own manifest. Packages that aren't here are free for all but the pure crates.
pub(crate) struct Use {
    pub(crate) package: &'static str,
    pub(crate) normal: &'static [&'static str],
    /// More crates, in tests and build scripts only.
    pub(crate) beside: &'static [&'static str],
    pub(crate) reason: &'static str,
}

const fn of(
    package: &'static str,
    normal: &'static [&'static str],
    beside: &'static [&'static str],
    reason: &'static str,
) -> Use {
    Use { package, normal, beside, reason }
}

/// See [`Use`].
pub(crate) const USES: &[Use] = &[
    of("libc", &["leno-capture"], &[], "raw system calls belong to capture"),
    of(
        "rustix",
        &[
            "leno-capture",
            "leno-runtime",
            "leno-control",
            "leno-local",
            "leno-cli",
            "leno-sample",
            "leno-bench",
            "leno-testkit",
        ],
        &["leno-e2e"],
        "safe system calls, where a crate's own work is with processes and files",
    ),
    of("netlink-packet-core", &["leno-capture"], &[], "the kernel's messages belong to capture"),
    of("netlink-packet-route", &["leno-capture"], &[], "the kernel's messages belong to capture"),
    of(
        "socket2",
        &["leno-capture", "leno-proxy", "leno-local"],
        &["leno-e2e"],
        "socket options belong to capture and proxy, and local opens a sidecar's sockets",
    ),
    of(
        "inotify",
        &["leno-control", "leno-local"],
        &[],
        "watching files is a source's work, and local keeps its own files protected",
    ),
    of(
        "h2",
        &["leno-sample"],
        &["leno-http", "leno-proxy", "leno-e2e"],
        "the data path's HTTP/2 is http's own, and this what others speak",
    ),
    of("httparse", &["leno-sample", "leno-fuzz"], &[], "the proxy's head parser is its own and strict"),
    of(
        "hyper",
        &["leno-wire", "leno-control", "leno-sample", "leno-cli", "leno-local", "leno-fuzz"],
        &["leno-http", "leno-proxy", "leno-e2e", "leno-testkit"],
        "control, administration and callouts only, and what others would read; the data path is http's own",
    ),
    of("prost", &["leno-wire", "leno-sample", "leno-fuzz"], &[], "discovery protobuf is wire's"),
    of("tonic", &["leno-wire", "leno-sample"], &["leno-control"], "discovery's transport is wire's"),
    of("tonic-prost", &["leno-wire", "leno-sample"], &[], "discovery protobuf is wire's"),
    of("protox", &[], &["leno-wire", "leno-sample"], "protobuf is compiled where it is used"),
    of("tonic-prost-build", &[], &["leno-wire", "leno-sample"], "protobuf is compiled where it is used"),
    of(
        "rcgen",
        &["leno-identity", "leno-bench", "leno-testkit"],
        &["leno-wire", "leno-proxy", "leno-control", "leno-e2e", "leno-fuzz"],
        "issuing certificates is identity's",
    ),
    of(
        "x509-parser",
        &["leno-identity"],
        &["leno-proxy", "leno-control", "leno-e2e", "leno-testkit"],
        "reading certificates is identity's",
    ),
    of("rustls-webpki", &["leno-identity", "leno-fuzz"], &[], "checking certificates is identity's"),
    of("saphyr-parser", &["leno-dialects"], &[], "YAML is read at one place, with spans and limits"),
    of("hickory-proto", &["leno-proxy"], &["leno-e2e"], "mesh DNS is the proxy's"),
    of("tikv-jemallocator", &["leno"], &[], "the binary chooses the allocator"),
    of(
        "anyhow",
        &["leno", "leno-cli", "xtask", "leno-bench"],
        &["leno-e2e", "leno-testkit"],
        "libraries have errors of their own",
    ),
    of("clap", &["leno", "leno-cli", "leno-sample", "leno-bench"], &[], "arguments are read in binaries"),
];

/// Crates whose functions do no I/O: of what others wrote they use only this, so nothing that waits, reads or sends.
pub(crate) const PURE: [&str; 3] = ["leno-model", "leno-dialects", "leno-engine"];

/// What no pure crate may reach by any path.
pub(crate) const IMPURE: [&str; 6] = ["tokio", "mio", "futures-util", "hyper", "rustix", "socket2"];

/// What the pure crates may use, in product code.
pub(crate) const PURE_MAY: [&str; 9] =
    ["base64", "ipnet", "memchr", "regex", "saphyr-parser", "serde", "serde_json", "thiserror", "http"];

/// The map's floors: a crate uses only crates on lower floors. Crates that test or automate may use all.
pub(crate) const FLOORS: [(&str, u8); 17] = [
    ("leno-model", 0),
    ("leno-runtime", 0),
    ("leno-capture", 0),
    ("leno-dialects", 1),
    ("leno-engine", 1),
    ("leno-http", 1),
    ("leno-telemetry", 1),
    ("leno-identity", 1),
    ("leno-wire", 2),
    ("leno-proxy", 3),
    ("leno-control", 3),
    ("leno-kubernetes", 4),
    ("leno-local", 4),
    ("leno-console", 5),
    ("leno-cli", 5),
    ("leno", 6),
    // An application like any other: it knows nothing of Leno.
    ("leno-sample", 0),
];

/// Crates beside the map: only tests use them, or nobody.
pub(crate) const BESIDE: [&str; 5] = ["leno-testkit", "leno-e2e", "leno-fuzz", "leno-bench", "xtask"];
