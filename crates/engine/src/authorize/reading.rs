//! The other reading of a path: what a lenient server may make of it.

use crate::percent;

/// The path percent-decoded once, with backslashes as slashes, without the parameters of segments (`;…`, which servlet
/// containers drop), slashes merged and dot segments resolved (RFC 3986 §5.2.4). `None` where that changes nothing; then
/// nothing is allocated. Only paths that begin with `/` have readings.
pub(super) fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    if !path.starts_with(b"/") || !is_suspicious(path) {
        return None;
    }
    let decoded = percent::decode(path);
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut is_directory = false;
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let segment = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        is_directory = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let mut reading = Vec::with_capacity(decoded.len());
    for segment in &segments {
        reading.push(b'/');
        reading.extend_from_slice(segment);
    }
    if is_directory || segments.is_empty() {
        reading.push(b'/');
    }
    (reading != path).then_some(reading)
}

/// Bytes that can be read in another way: by themselves, or right after a slash.
const ALONE: u8 = 1;
const SLASH: u8 = 2;
const AFTER_SLASH: u8 = 4;

#[allow(clippy::indexing_slicing, reason = "in a constant, an index out of range doesn't compile")]
const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    (table[b'%' as usize], table[b'\\' as usize], table[b';' as usize]) = (ALONE, ALONE, ALONE);
    (table[b'/' as usize], table[b'.' as usize]) = (SLASH | AFTER_SLASH, AFTER_SLASH);
    table
};

/// Whether anything in the path could be read in another way.
fn is_suspicious(path: &[u8]) -> bool {
    // Every byte is looked at, without a branch: nearly always there is nothing to find.
    #[allow(clippy::indexing_slicing, reason = "a byte is below 256")]
    let (found, _) = path.iter().fold((0, 0), |(found, before), byte| {
        let class = CLASSES[usize::from(*byte)];
        // A slash before it stands where what may follow one does.
        (found | class & (ALONE | before << 1 & AFTER_SLASH), class)
    });
    found != 0
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_read_as_a_lenient_server_does() {
        for (path, expected) in [
            ("/", None),
            ("/a/b", None),
            ("/a/b/", None),
            ("/a.b/.well-known/..x", None),
            ("*", None),
            ("", None),
            ("//a", Some("/a")),
            ("/a//b/", Some("/a/b/")),
            ("/./a", Some("/a")),
            ("/a/.", Some("/a/")),
            ("/a/../b", Some("/b")),
            ("/a/..", Some("/")),
            ("/../../a", Some("/a")),
            ("/a%2fb", Some("/a/b")),
            ("/a%5Cb", Some("/a/b")),
            ("/a\\..\\b", Some("/b")),
            ("/public/%2e%2e/admin", Some("/admin")),
            ("/public%2f..%2fadmin", Some("/admin")),
            ("/%61dmin", Some("/admin")),
            ("/%252fadmin", Some("/%2fadmin")),
            ("/100%", None),
            ("/admin;x=1/y;z", Some("/admin/y")),
            ("/;x/admin", Some("/admin")),
            ("/a/..%3bx/admin%3by", Some("/admin")),
        ] {
            let reading = super::decoded(path.as_bytes());
            assert_eq!(reading.as_deref(), expected.map(str::as_bytes), "{path}");
        }
    }
}
