//! Tables of paths and hosts, and the laws that normal forms obey.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::h1::parse::{Limits, Parsed};

/// A path in the three modes that change something; `!` stands for a rejection.
const PATHS: &[(&str, &str, &str, &str)] = &[
    ("/", "/", "/", "/"),
    ("/a/b", "/a/b", "/a/b", "/a/b"),
    ("/a/b/", "/a/b/", "/a/b/", "/a/b/"),
    // Slashes.
    ("//", "//", "/", "/"),
    ("//admin", "//admin", "/admin", "/admin"),
    ("/a//b///c", "/a//b///c", "/a/b/c", "/a/b/c"),
    ("/a//", "/a//", "/a/", "/a/"),
    // Dot segments.
    ("/.", "/", "/", "/"),
    ("/..", "/", "/", "/"),
    ("/../..", "/", "/", "/"),
    ("/./admin", "/admin", "/admin", "/admin"),
    ("/a/../admin", "/admin", "/admin", "/admin"),
    ("/a/./b", "/a/b", "/a/b", "/a/b"),
    ("/a/b/..", "/a/", "/a/", "/a/"),
    ("/a/b/.", "/a/b/", "/a/b/", "/a/b/"),
    ("/../admin", "/admin", "/admin", "/admin"),
    ("/a//../admin", "/a/admin", "/admin", "/admin"),
    ("/...", "/...", "/...", "/..."),
    ("/.a/..b", "/.a/..b", "/.a/..b", "/.a/..b"),
    // Encoded dots.
    ("/%2e%2e/admin", "/admin", "/admin", "/admin"),
    ("/a/.%2E/admin", "/admin", "/admin", "/admin"),
    ("/a/%2e/b", "/a/b", "/a/b", "/a/b"),
    // Encoded letters.
    ("/%61dmin", "/admin", "/admin", "/admin"),
    ("/%7Euser%2d1", "/~user-1", "/~user-1", "/~user-1"),
    // Encoded slashes and backslashes.
    ("/a%2fb", "/a%2fb", "/a%2fb", "/a/b"),
    ("/a%2F%2fb", "/a%2F%2fb", "/a%2F%2fb", "/a/b"),
    ("/a%5cb", "/a%5cb", "/a%5cb", "/a/b"),
    ("/x%2f..%2fadmin", "/x%2f..%2fadmin", "/x%2f..%2fadmin", "/admin"),
    ("/x%2f%2e%2e%2fadmin", "/x%2f..%2fadmin", "/x%2f..%2fadmin", "/admin"),
    ("\\admin", "/admin", "/admin", "/admin"),
    ("/a\\b", "/a/b", "/a/b", "/a/b"),
    ("/a\\..\\admin", "/admin", "/admin", "/admin"),
    ("/\\admin", "//admin", "/admin", "/admin"),
    // Twice encoded stays once encoded: one decoding is the server's.
    ("/%252e%252e/admin", "/%252e%252e/admin", "/%252e%252e/admin", "/%252e%252e/admin"),
    ("/a%252fb", "/a%252fb", "/a%252fb", "/a%252fb"),
    // Others stay.
    ("/%20%c3%A9%3f%23%25", "/%20%c3%A9%3f%23%25", "/%20%c3%A9%3f%23%25", "/%20%c3%A9%3f%23%25"),
    ("/a;b=c/d", "/a;b=c/d", "/a;b=c/d", "/a;b=c/d"),
    ("/{x}|^", "/{x}|^", "/{x}|^", "/{x}|^"),
    ("/<\">`", "/%3C%22%3E%60", "/%3C%22%3E%60", "/%3C%22%3E%60"),
    // Rejected.
    ("/a%00b", "!", "!", "!"),
    ("/a%", "!", "!", "!"),
    ("/a%2", "!", "!", "!"),
    ("/a%zz", "!", "!", "!"),
    ("/a%+1", "!", "!", "!"),
    ("/..;/admin", "!", "!", "!"),
    ("/a/.;x/b", "!", "!", "!"),
    ("/%2e%2e;x=1/admin", "!", "!", "!"),
    ("/%c0%ae%c0%ae/admin", "!", "!", "!"),
    ("/%c1%9cadmin", "!", "!", "!"),
    ("/%e0%80%afadmin", "!", "!", "!"),
    ("/%F0%8f%80%afadmin", "!", "!", "!"),
    // Rightly so many bytes, or another encoding than UTF-8.
    (
        "/%c3%80%e0%a4%85%f0%90%8d%88",
        "/%c3%80%e0%a4%85%f0%90%8d%88",
        "/%c3%80%e0%a4%85%f0%90%8d%88",
        "/%c3%80%e0%a4%85%f0%90%8d%88",
    ),
    ("/%c0/%e0a%f0", "/%c0/%e0a%f0", "/%c0/%e0a%f0", "/%c0/%e0a%f0"),
];

#[test]
fn paths_in_every_mode() {
    let show = |result: Result<Cow<'_, str>, Rejected>| {
        result.map_or_else(|_rejected| "!".to_owned(), Cow::into_owned)
    };
    for (before, base, merged, decoded) in PATHS {
        assert_eq!(show(path(before, PathMode::None)), *before);
        assert_eq!(show(path(before, PathMode::Base)), *base, "{before} BASE");
        assert_eq!(show(path(before, PathMode::MergeSlashes)), *merged, "{before} MERGE_SLASHES");
        assert_eq!(
            show(path(before, PathMode::DecodeAndMergeSlashes)),
            *decoded,
            "{before} DECODE_AND_MERGE_SLASHES"
        );
    }
}

#[test]
fn rejections_say_why() {
    for (text, why) in [
        ("/%00", Rejected::Nul),
        ("/%4", Rejected::Percent),
        ("/..;", Rejected::DotParameter),
        ("/%üx", Rejected::Percent),
    ] {
        assert_eq!(path(text, PathMode::Base), Err(why), "{text}");
    }
}

#[test]
fn hosts() {
    for (before, after) in [
        ("", Some("")),
        ("reviews", Some("reviews")),
        ("Reviews.Default", Some("reviews.default")),
        ("reviews.", Some("reviews")),
        ("REVIEWS.:9080", Some("reviews:9080")),
        ("reviews:", Some("reviews")),
        ("reviews:080", Some("reviews:80")),
        ("reviews:80", Some("reviews:80")),
        ("[2001:DB8::1]:80", Some("[2001:db8::1]:80")),
        ("[::1]", Some("[::1]")),
        ("[::1].", None),
        ("reviews..", None),
        (".", None),
        (":80", None),
        ("reviews:0", None),
        ("reviews:65536", None),
        ("reviews:+80", None),
        ("u@reviews", None),
        ("re views", None),
        ("reviews%2e", None),
        ("2001:db8::1", None),
    ] {
        assert_eq!(host(before).ok().as_deref(), after, "{before}");
    }
}

#[test]
fn requests_are_changed_in_place() {
    for (line, authority, path, query) in [
        ("GET /a//b?x=//..", "Reviews.:80", "/a/b", Some("x=//..")),
        ("GET /%2e%2e/admin?", "a", "/admin", Some("")),
        ("OPTIONS *", "A", "*", None),
        ("CONNECT A:443", "A:443", "", None),
    ] {
        let text = format!("{line} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        let Parsed::Complete(mut parsed, _) = crate::h1::parse::request(text.as_bytes(), Limits::default())
        else {
            panic!("{text}")
        };
        request(&mut parsed.head, PathMode::default()).expect(line);
        let head = &parsed.head;
        assert_eq!((head.path(), head.query()), (path, query), "{line}");
        assert_eq!(head.authority(), authority.replace('.', "").to_lowercase(), "{line}");
    }
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "/", "//", ".", "..", "a", "%2e", "%2E", "%2f", "%5C", "\\", "%25", "%61", ";", "%", "%00", "é", "<",
    ]);
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    /// A normal form is its own, begins with a slash, and has nothing left to resolve.
    #[test]
    fn normal_forms_are_final(text in pieces()) {
        for mode in [PathMode::Base, PathMode::MergeSlashes, PathMode::DecodeAndMergeSlashes] {
            let Ok(normal) = path(&text, mode) else { continue };
            prop_assert!(normal.starts_with('/'));
            prop_assert_eq!(path(&normal, mode), Ok(Cow::Borrowed(&*normal)));
            prop_assert!(!normal.split('/').any(|segment| matches!(segment, "." | "..")), "{}", normal);
            prop_assert!(mode == PathMode::Base || !normal.contains("//"));
            prop_assert!(!normal.contains('\\'));
        }
    }

    #[test]
    fn normal_hosts_are_final(text in "[A-Za-z0-9.:\\[\\]-]{0,20}") {
        if let Ok(normal) = host(&text) {
            prop_assert_eq!(host(&normal), Ok(Cow::Borrowed(&*normal)));
        }
    }
}
