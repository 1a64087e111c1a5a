//! Output of many processes: cut into lines, kept for `leno logs`, printed with a prefix.
//!
//! Memory is bounded everywhere: the line being read, the lines kept per source, the lines waiting for
//! the terminal. What doesn't fit is dropped and counted, never waited for, so that a stuck terminal stops
//! no workload.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{Print, Shared};
use crate::{
    limits::{LINE_BYTES, LOG_BYTES, PRINTED_LINES},
    protocol::{Line, Stream},
};

/// Cuts bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Splitter(Vec<u8>);

impl Splitter {
    /// The lines that these bytes complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let mut part = part;
            while self.0.len() + part.len() > LINE_BYTES {
                let (fits, rest) = part.split_at((LINE_BYTES - self.0.len()).min(part.len()));
                self.0.extend(fits);
                part = rest;
                lines.push(self.cut());
            }
            self.0.extend(part);
            if self.0.last() == Some(&b'\n') {
                self.0.pop();
                lines.push(self.cut());
            }
        }
        lines
    }

    /// What is left without a line's end.
    pub(super) fn finish(&mut self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.cut())
    }

    fn cut(&mut self) -> String {
        let bytes = std::mem::take(&mut self.0);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// The last lines of one source, each with its place in the order of all sources' lines.
#[derive(Debug, Default)]
pub(super) struct Ring {
    lines: VecDeque<(u64, Line)>,
    bytes: usize,
    /// How many lines were forgotten.
    forgotten: u64,
}

impl Ring {
    fn push(&mut self, number: u64, line: Line) {
        self.bytes += line.text.len();
        self.lines.push_back((number, line));
        while self.bytes > LOG_BYTES
            && let Some((_, oldest)) = self.lines.pop_front()
        {
            self.bytes -= oldest.text.len();
            self.forgotten += 1;
        }
    }

    /// What came last from this stream: a line, with those below it that are indented, as errors have their causes and
    /// remedies.
    pub(super) fn last_words(&self, stream: Stream) -> Option<String> {
        let lines = self.lines.iter().rev().map(|(_, line)| line).filter(|line| line.stream == stream);
        let mut words = Vec::new();
        for line in lines {
            words.push(line.text.trim_start().trim_start_matches("error: "));
            if !line.text.starts_with("  ") {
                break;
            }
        }
        words.reverse();
        if words.is_empty() { None } else { Some(words.join("; ")) }
    }

    /// The lines after the first `seen` ones, and how many of those were forgotten meanwhile.
    pub(super) fn after(&self, seen: u64) -> (u64, Vec<(u64, Line)>) {
        let skipped = self.forgotten.saturating_sub(seen);
        let kept = usize::try_from(seen.saturating_sub(self.forgotten)).unwrap_or(usize::MAX);
        (skipped, self.lines.iter().skip(kept).cloned().collect())
    }
}

/// Takes lines from everywhere.
pub(super) struct Output {
    printer: Shared<Option<SyncSender<Line>>>,
    printed: Shared<Option<oneshot::Receiver<()>>>,
    dropped: std::cell::Cell<u64>,
    /// The number of the next line, over all sources: the order in which they came.
    next: watch::Sender<u64>,
    /// What Leno itself said.
    notes: Shared<Ring>,
}

impl Output {
    /// Starts the thread that writes.
    pub(super) fn start(terminal: Box<dyn Write + Send>, width: usize, print: Print) -> io::Result<Self> {
        let (printer, lines) = sync_channel(PRINTED_LINES);
        let (ended, printed) = oneshot::channel();
        let mut prefixer = Prefixer { terminal, width: width.max("leno".len()), print };
        leno_runtime::spawn_thread("printer", move || {
            prefixer.print(&lines);
            // `leno up` may have given up waiting.
            let _unheard = ended.send(());
        })?;
        Ok(Self {
            printer: Shared::new(Some(printer)),
            printed: Shared::new(Some(printed)),
            dropped: std::cell::Cell::new(0),
            next: watch::Sender::new(0),
            notes: Shared::default(),
        })
    }

    /// Something that Leno itself says.
    pub(super) fn note(&self, text: &str) {
        let line = Line { source: "leno".to_owned(), stream: Stream::Leno, text: text.to_owned() };
        self.take(&self.notes, line);
    }

    /// Keeps a line in its source's ring, and prints it unless it is only for those who ask.
    pub(super) fn take(&self, ring: &Shared<Ring>, line: Line) {
        let number = *self.next.borrow();
        if line.stream != Stream::Sidecar {
            self.print(line.clone());
        }
        ring.borrow_mut().push(number, line);
        self.next.send_replace(number + 1);
    }

    fn print(&self, line: Line) {
        let printer = self.printer.borrow();
        let Some(printer) = printer.as_ref() else { return };
        let lost = self.dropped.get();
        if lost > 0 {
            let text = format!("{lost} lines not shown, the terminal was too slow; see leno logs");
            let notice = Line { source: "leno".to_owned(), stream: Stream::Leno, text };
            if printer.try_send(notice).is_err() {
                self.dropped.set(lost + 1);
                return;
            }
            self.dropped.set(0);
        }
        if let Err(TrySendError::Full(_)) = printer.try_send(line) {
            self.dropped.set(self.dropped.get() + 1);
        }
    }

    /// What Leno itself said.
    pub(super) fn notes(&self) -> &Shared<Ring> {
        &self.notes
    }

    /// Changes with every line.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    /// Lets the printer end, for a moment.
    pub(super) async fn finish(&self) {
        self.printer.borrow_mut().take();
        let printed = self.printed.borrow_mut().take();
        if let Some(printed) = printed {
            let _in_time = timeout(Duration::from_secs(1), printed).await;
        }
    }
}

/// Writes lines with their sources.
struct Prefixer {
    terminal: Box<dyn Write + Send>,
    width: usize,
    print: Print,
}

impl Prefixer {
    fn print(&mut self, lines: &Receiver<Line>) {
        while let Ok(line) = lines.recv() {
            let text = format_line(&line, self.width, self.print);
            // A terminal that is gone takes nothing more; the mesh runs on.
            if self.terminal.write_all(text.as_bytes()).and_then(|()| self.terminal.flush()).is_err() {
                return;
            }
        }
    }
}

/// One printed line; bars are aligned.
fn format_line(line: &Line, width: usize, print: Print) -> String {
    let source = &line.source;
    match print {
        Print::Plain => format!("{source:width$} | {}\n", line.text),
        Print::Coloured => {
            let mixed =
                source.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
            let colour = 31 + mixed % 6;
            format!("\u{1b}[{colour}m{source:width$} |\u{1b}[0m {}\n", line.text)
        }
        // A struct of texts is always JSON.
        Print::Json => serde_json::to_string(line).unwrap_or_default() + "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_where_they_end_or_grow_too_long() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.push(b"a\nb"), ["a"]);
        assert_eq!(splitter.push(b"c\r\n\n"), ["bc", ""]);
        assert_eq!(splitter.push(b"\xffx"), Vec::<String>::new());
        assert_eq!(splitter.finish().as_deref(), Some("\u{fffd}x"));
        assert_eq!(splitter.finish(), None);
        let long = vec![b'y'; LINE_BYTES * 2 + 1];
        let lines = splitter.push(&long);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE_BYTES, LINE_BYTES]);
        assert_eq!(splitter.push(b"\n"), ["y"]);
    }

    #[test]
    fn a_ring_forgets_the_oldest() {
        let line = |text: &str| Line { source: "a".into(), stream: Stream::Stdout, text: text.into() };
        let mut ring = Ring::default();
        for number in 0..100 {
            ring.push(number, line(&"x".repeat(LOG_BYTES / 10)));
        }
        let after = |seen| {
            let (skipped, lines) = ring.after(seen);
            (skipped, lines.first().map(|(number, _)| *number), lines.len())
        };
        assert_eq!(after(0), (90, Some(90), 10));
        assert_eq!(after(89), (1, Some(90), 10));
        assert_eq!(after(98), (0, Some(98), 2));
        assert_eq!(after(100), (0, None, 0));
    }

    #[test]
    fn last_words_are_a_line_with_what_is_indented_below_it() {
        let line = |stream, text: &str| Line { source: "a".into(), stream, text: text.into() };
        let mut ring = Ring::default();
        assert_eq!(ring.last_words(Stream::Sidecar), None);
        let lines = [
            (Stream::Sidecar, "starting"),
            (Stream::Sidecar, "error: cannot listen on 127.0.0.1:80"),
            (Stream::Stdout, "hi"),
            (Stream::Sidecar, "  because: Address already in use"),
            (Stream::Sidecar, "  help: choose another"),
        ];
        for (number, (stream, text)) in (0..).zip(lines) {
            ring.push(number, line(stream, text));
        }
        let expected = "cannot listen on 127.0.0.1:80; because: Address already in use; help: choose another";
        assert_eq!(ring.last_words(Stream::Sidecar).as_deref(), Some(expected));
        assert_eq!(ring.last_words(Stream::Stdout).as_deref(), Some("hi"));
    }

    #[test]
    fn prefixes_are_aligned() {
        let line = Line { source: "cart".into(), stream: Stream::Stdout, text: "hi".into() };
        assert_eq!(format_line(&line, 6, Print::Plain), "cart   | hi\n");
        let json = "{\"source\":\"cart\",\"stream\":\"stdout\",\"text\":\"hi\"}\n";
        assert_eq!(format_line(&line, 6, Print::Json), json);
    }
}
