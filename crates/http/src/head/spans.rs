//! Field lines as ranges of one buffer: the head as it was read, with edits appended.
//!
//! Unedited lines that follow each other are written as one copy. Invariant: every range lies inside the buffer,
//! names are tokens, and values hold no control characters but TAB, so that writing a line needs no check.

/// A range of the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    /// A range; positions fit since heads are limited to far below 4 GiB.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a head has at most HEAD_BYTES bytes plus bounded edits"
    )]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, len: end.saturating_sub(start) as u32 }
    }

    pub(crate) fn of(self, buffer: &[u8]) -> &[u8] {
        let start = self.start as usize;
        buffer.get(start..start + self.len as usize).unwrap_or_default()
    }
}

/// What is known of a line besides its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An ordinary line, in the buffer exactly as it may be written.
    Verbatim,
    /// An ordinary line with blanks after the value; written anew.
    Loose,
    /// Readable, but written by the codec itself from what the head says of framing.
    Managed,
    /// Removed.
    Gone,
}

/// What tells most names apart, to be compared before them: their length, and the letters in their middle and at their end
/// without regard to case. Many begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag(u32);

/// A name, of less than 64 KiB, and its tag. Made in line, so that the tags of constants are constants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'n> {
    tag: Tag,
    text: &'n [u8],
}

impl<'n> Name<'n> {
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "what is longer counts as 64 KiB")]
    pub(crate) const fn of(text: &'n [u8]) -> Self {
        let len = if text.len() < 0xffff { text.len() as u32 } else { 0xffff };
        let (middle, last) = match (text, text.split_at(text.len() / 2)) {
            ([.., last], (_, [middle, ..])) => (*middle | 0x20, *last | 0x20),
            _ => (0, 0),
        };
        Self { tag: Tag(len | (middle as u32) << 16 | (last as u32) << 24), text }
    }
}

impl Tag {
    fn len(self) -> u32 {
        self.0 & 0xffff
    }

    /// One bit of 64. With this factor (xxHash's first prime), few of the names that are asked for share one with those
    /// that are usually there.
    #[inline]
    fn bit(self) -> u64 {
        1 << (self.0.wrapping_mul(0x9e37_79b1) >> 26)
    }
}

/// One field line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    name_start: u32,
    tag: Tag,
    pub(crate) value: Span,
    pub(crate) kind: Kind,
    /// Whether no table of HTTP/2 is to take it, by the sender's wish (RFC 7541 §6.2.3).
    pub(crate) is_secret: bool,
}

impl Line {
    /// A line whose name starts there.
    pub(crate) fn new(name_start: u32, name: Name<'_>, value: Span, kind: Kind) -> Self {
        Self { name_start, tag: name.tag, value, kind, is_secret: false }
    }

    pub(crate) fn name(self) -> Span {
        Span { start: self.name_start, len: self.tag.len() }
    }

    fn is_named(self, buffer: &[u8], name: Name<'_>) -> bool {
        self.tag == name.tag && self.kind != Kind::Gone && {
            let text = self.name().of(buffer);
            // Most are written as they are asked for, and that is found out by fewer instructions.
            text == name.text || text.eq_ignore_ascii_case(name.text)
        }
    }

    /// Where a verbatim line ends, its CRLF included.
    fn end(self) -> u32 {
        self.value.start + self.value.len + 2
    }
}

/// Field lines, and which tags they have: most names that are asked for aren't there, and one look tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    lines: Vec<Line>,
    /// The bits of all tags, of lines that are gone as well.
    tags: u64,
}

impl Lines {
    pub(crate) fn with_capacity(lines: usize) -> Self {
        Self { lines: Vec::with_capacity(lines), tags: 0 }
    }

    pub(crate) fn push(&mut self, line: Line) {
        self.tags |= line.tag.bit();
        self.lines.push(line);
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Line> {
        self.lines.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Line> {
        self.lines.iter_mut()
    }

    /// The last line, unless there is none.
    pub(crate) fn last_mut(&mut self) -> Option<&mut Line> {
        self.lines.last_mut()
    }

    /// Whether a line may have this name. In line, as are those who ask: mostly there is nothing more to do.
    #[inline]
    fn may_have(&self, name: Name<'_>) -> bool {
        self.tags & name.tag.bit() != 0
    }

    /// Lines that may have this name: none, or all.
    #[inline]
    fn with(&self, name: Name<'_>) -> std::slice::Iter<'_, Line> {
        if self.may_have(name) { self.lines.iter() } else { [].iter() }
    }
}

/// Field lines over one buffer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    pub(crate) buffer: Vec<u8>,
    pub(crate) lines: Lines,
}

impl Spans {
    #[inline]
    pub(crate) fn first(&self, name: Name<'_>) -> Option<&[u8]> {
        if self.lines.may_have(name) { self.find(name) } else { None }
    }

    fn find(&self, name: Name<'_>) -> Option<&[u8]> {
        self.lines
            .iter()
            .find(|line| line.is_named(&self.buffer, name))
            .map(|line| line.value.of(&self.buffer))
    }

    pub(crate) fn all<'a>(&'a self, name: Name<'_>) -> impl Iterator<Item = &'a [u8]> {
        self.lines
            .with(name)
            .filter(move |line| line.is_named(&self.buffer, name))
            .map(|line| line.value.of(&self.buffer))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.live().map(|line| {
            let name = std::str::from_utf8(line.name().of(&self.buffer)).unwrap_or_default();
            (name, line.value.of(&self.buffer))
        })
    }

    /// Lines that the codec doesn't write itself: name, value and whether it is secret.
    pub(crate) fn of_others(&self) -> impl Iterator<Item = (&[u8], &[u8], bool)> {
        let of_others = |line: &Line| matches!(line.kind, Kind::Verbatim | Kind::Loose);
        let lines = self.lines.iter().copied().filter(of_others);
        lines.map(|line| (line.name().of(&self.buffer), line.value.of(&self.buffer), line.is_secret))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.live().map(|line| line.name().of(&self.buffer))
    }

    /// Bytes that the lines take as `name: value` and line end.
    pub(crate) fn size(&self) -> usize {
        self.live().map(|line| line.tag.len() as usize + line.value.len as usize + 4).sum()
    }

    fn live(&self) -> impl Iterator<Item = Line> + '_ {
        self.lines.iter().copied().filter(|line| line.kind != Kind::Gone)
    }

    #[inline]
    pub(crate) fn remove(&mut self, name: Name<'_>) -> bool {
        self.take(name, |_value| {})
    }

    /// Removes every line of a name, and shows their values; whether there was one.
    #[inline]
    pub(crate) fn take(&mut self, name: Name<'_>, show: impl FnMut(&[u8])) -> bool {
        self.lines.may_have(name) && self.take_all(name, show)
    }

    fn take_all(&mut self, name: Name<'_>, mut show: impl FnMut(&[u8])) -> bool {
        let Self { buffer, lines } = self;
        let mut found = false;
        for line in lines.iter_mut().filter(|line| line.is_named(buffer, name)) {
            show(line.value.of(buffer));
            line.kind = Kind::Gone;
            found = true;
        }
        found
    }

    /// Removes ordinary lines by name.
    pub(crate) fn remove_where(&mut self, unwanted: &mut dyn FnMut(&[u8]) -> bool) {
        for line in self.lines.iter_mut() {
            if matches!(line.kind, Kind::Verbatim | Kind::Loose) && unwanted(line.name().of(&self.buffer)) {
                line.kind = Kind::Gone;
            }
        }
    }

    /// Appends a line in the place of all of its name.
    #[inline]
    pub(crate) fn replace(&mut self, name: Name<'_>, value: &[u8], kind: Kind) {
        self.remove(name);
        self.push(name, value, kind, false);
    }

    /// Appends a line whose name and value are known to be well-formed.
    pub(crate) fn push(&mut self, name: Name<'_>, value: &[u8], kind: Kind, is_secret: bool) {
        self.buffer.reserve(name.text.len() + value.len() + 4);
        let name_start = self.store(name.text).start;
        self.buffer.extend_from_slice(b": ");
        let value = self.store(value);
        self.buffer.extend_from_slice(b"\r\n");
        self.lines.push(Line { is_secret, ..Line::new(name_start, name, value, kind) });
    }

    /// Puts bytes that belong to no line into the buffer.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Span {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        Span::new(start, self.buffer.len())
    }

    /// Writes every line that isn't managed; runs of verbatim neighbours in one copy.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut run: Option<(u32, u32)> = None;
        for line in self.lines.iter() {
            match line.kind {
                Kind::Verbatim => match &mut run {
                    Some((_, end)) if *end == line.name_start => *end = line.end(),
                    _ => {
                        self.write_run(run.take(), out);
                        run = Some((line.name_start, line.end()));
                    }
                },
                Kind::Loose => {
                    self.write_run(run.take(), out);
                    out.extend_from_slice(line.name().of(&self.buffer));
                    out.extend_from_slice(b": ");
                    out.extend_from_slice(line.value.of(&self.buffer));
                    out.extend_from_slice(b"\r\n");
                }
                Kind::Managed | Kind::Gone => {}
            }
        }
        self.write_run(run, out);
    }

    fn write_run(&self, run: Option<(u32, u32)>, out: &mut Vec<u8>) {
        if let Some((start, end)) = run {
            out.extend_from_slice(self.buffer.get(start as usize..end as usize).unwrap_or_default());
        }
    }
}
