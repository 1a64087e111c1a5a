//! `docs/reference/smuggling.md`.

use std::fmt::Write as _;
use std::path::Path;

const OPENING: &str = "# Request smuggling

What becomes of messages whose bounds two recipients could see differently. Written by a test that sends each of them
through whole proxies (`cargo test -p leno-proxy smuggling`); don't edit.

- **Refused** means that the other side sees no byte of the message. A client gets the answer that is shown, and its
  connection is closed (HTTP/2: the stream is reset, or the connection ends). An application's connection is closed, and
  the client gets 502 without a byte of what the application said.
- What is **passed on** is written anew: framing is always the proxy's own, with one `content-length` or one
  `transfer-encoding: chunked`, without chunk extensions, folds, blanks before line ends, and fields of the connection.
- Each message of HTTP/1 goes through a sidecar on its way out, a sidecar on its way in, and a gateway, to applications
  that speak HTTP/1 and HTTP/2; each of HTTP/2 likewise. All give the same answer. After each message another client asks
  for something else and gets just that: nothing is left behind in a connection that others use.
- Chunk extensions are legal (RFC 9112 §7.1.1) and mean nothing to anybody, so they are neither refused nor passed on. They
  end only in CR LF: a recipient that ends them at a bare LF sees other chunks (TERM.EXT, EXT.TERM). One has at most 256
  bytes, and all together at most 16 KiB more than the data.
- Bodies are passed on as they come. If the fault of a body is here with its head, the message is refused; what comes later
  can only cut off what has begun. It then looks cut off to the other side, which sees no end of the body.
- What hyper and Envoy make of the same bytes is found out by `cargo test -p leno-fuzz others_take`. hyper takes hosts, targets
  and fields as whoever uses it will judge them.
";

/// The page as it should be.
pub(super) struct Page(String);

/// A row's cells.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) sent: String,
    pub(super) rule: &'static str,
    /// What the client gets.
    pub(super) answer: String,
    /// What the application sees, or what becomes of its connection.
    pub(super) seen: String,
    /// What hyper and Envoy make of it, where they were asked.
    pub(super) peers: Option<(&'static str, &'static str)>,
}

impl Page {
    pub(super) fn new() -> Self {
        Self(OPENING.to_owned())
    }

    pub(super) fn section(&mut self, title: &str) {
        write!(self.0, "\n## {title}\n").unwrap();
    }

    pub(super) fn table(&mut self, title: &str, columns: [&str; 5], rows: &[Row]) {
        if !title.is_empty() {
            write!(self.0, "\n### {title}\n").unwrap();
        }
        let has_peers = rows.iter().any(|row| row.peers.is_some());
        let peers: &[&str] = if has_peers { &["hyper", "Envoy"] } else { &[] };
        let columns = [&columns[..], peers].concat();
        write!(self.0, "\n| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len())).unwrap();
        for row in rows {
            let (sent, answer, seen) = (code(&row.sent), code(&row.answer), code(&row.seen));
            let (what, rule) = (row.what.replace('|', "\\|"), row.rule);
            write!(self.0, "| {what} | {sent} | {rule} | {answer} | {seen} |").unwrap();
            if let Some((hyper, envoy)) = row.peers {
                write!(self.0, " {} | {} |", taken(hyper), taken(envoy)).unwrap();
            }
            self.0.push('\n');
        }
    }

    /// Asserts that the page is current; `UPDATE_DOCS=1` writes it.
    pub(super) fn check(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/smuggling.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &self.0).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        let differing = page.lines().zip(self.0.lines()).find(|(before, now)| before != now);
        assert!(page == self.0, "{} is not current; run with UPDATE_DOCS=1: {differing:#?}", path.display());
    }
}

/// What a peer takes, as code.
fn taken(told: &str) -> String {
    match told.strip_prefix("takes ") {
        Some(message) => format!("takes {}", code(message)),
        None => told.to_owned(),
    }
}

/// Lines as code; a table's cell ends at `|` even there.
fn code(text: &str) -> String {
    let line = |line: &str| {
        let fence = if line.contains('`') { "``" } else { "`" };
        format!("{fence}{}{fence}", line.replace('|', "\\|"))
    };
    text.lines().filter(|text| !text.is_empty()).map(line).collect::<Vec<_>>().join("<br>")
}

/// Bytes of HTTP/1, a line for each line end in the head; what follows is one line.
pub(super) fn shown(bytes: &[u8]) -> String {
    let escaped = bytes.escape_ascii().to_string();
    let (head, body) = match escaped.split_once("\\r\\n\\r\\n") {
        Some((head, body)) => (format!("{head}\\r\\n\\r\\n"), body.to_owned()),
        None => (escaped, String::new()),
    };
    format!("{}\n{body}", head.replace("\\r\\n", "\\r\\n\n"))
}
