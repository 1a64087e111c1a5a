//! `leno status --watch`: the answer again and again.
//!
//! On a terminal it is a screen of its own that is drawn over itself, which fits into the window and leaves the terminal
//! as it was; elsewhere every answer is printed under the last one, with `--output json` one a line. A thread of its own
//! asks, so that a proxy that hangs delays no key.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use leno_capture::signal::Signals;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use super::{Report, gather, text};
use crate::mesh::Named;
use crate::output::{self, Format};

/// Asks and shows until somebody has seen enough, or the mesh has ended.
pub(super) fn run(named: &Named, interval: Duration, format: Format) -> anyhow::Result<()> {
    // Which mesh is meant is settled once; another one that is started later changes nothing.
    let named = Named { mesh: Some(named.choose()?) };
    let ask = move || gather::report(named.running()?);
    if format == Format::Json {
        return again(interval, ask, output::json_line);
    }
    if isatty(io::stdout()) {
        return on_screen(interval, ask);
    }
    let mut is_first = true;
    again(interval, ask, |report| {
        let separator = (!std::mem::take(&mut is_first)).then(String::new);
        output::lines(separator.into_iter().chain(text::lines(report, gather::now(), usize::MAX)))
    })
}

/// Prints an answer every so often, until the reader is gone.
fn again(
    interval: Duration,
    ask: impl Fn() -> anyhow::Result<Report>,
    mut print: impl FnMut(&Report) -> io::Result<()>,
) -> anyhow::Result<()> {
    let signals = Signals::block(&[Signal::INT, Signal::TERM, Signal::HUP].map(Signal::as_raw))?;
    let pause = rustix::event::Timespec::try_from(interval).ok();
    loop {
        match print(&ask()?) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            printed => printed?,
        }
        let mut ended = [PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
        if rustix::io::retry_on_intr(|| poll(&mut ended, pause.as_ref()))? > 0 {
            return Ok(());
        }
    }
}

/// An answer from the thread that asks.
type Answer = anyhow::Result<Report>;

/// Asks every so often until nobody takes the answers; `wake` is written to with each.
fn ask_on(
    interval: Duration,
    ask: &impl Fn() -> Answer,
    answers: &SyncSender<Answer>,
    stop: &Receiver<()>,
    wake: &OwnedFd,
) {
    loop {
        let answer = ask();
        let is_last = answer.is_err();
        if answers.send(answer).is_err() || rustix::io::write(wake, &[0]).is_err() || is_last {
            return;
        }
        if stop.recv_timeout(interval) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn on_screen(interval: Duration, ask: impl Fn() -> Answer + Send + 'static) -> anyhow::Result<()> {
    let signals = [Signal::INT, Signal::TERM, Signal::HUP, Signal::WINCH, Signal::TSTP];
    let signals = Signals::block(&signals.map(Signal::as_raw))?;
    let (answers, answered) = sync_channel(1);
    let (stop, stopped) = sync_channel(0);
    let (woken, wake) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    leno_runtime::spawn_thread("ask", move || ask_on(interval, &ask, &answers, &stopped, &wake))?;
    // The first answer may be why there is nothing to show.
    let mut report = answered.recv()??;
    let mut terminal = Terminal::enter()?;
    let mut screen = Screen::default();
    let outcome = loop {
        if let Err(error) = screen.draw(&report) {
            break Err(error.into());
        }
        match wait(&signals, &woken, &terminal)? {
            Event::Answer => match answered.try_recv() {
                Ok(Ok(answer)) => report = answer,
                Ok(Err(error)) => break Err(error),
                // The first answer was taken before its sign.
                Err(_nothing) => {}
            },
            Event::Resized => screen.shown.clear(),
            Event::Suspended => {
                drop(terminal);
                kill_process(getpid(), Signal::STOP)?;
                terminal = Terminal::enter()?;
                screen.shown.clear();
            }
            Event::Key(key) if !screen.key(&key) => break Ok(()),
            Event::Key(_) => {}
            Event::Ended => break Ok(()),
        }
    };
    drop(terminal);
    drop(stop);
    outcome
}

/// What wakes the screen.
enum Event {
    Answer,
    Resized,
    Suspended,
    Key(Vec<u8>),
    Ended,
}

fn wait(signals: &Signals, woken: &OwnedFd, terminal: &Terminal) -> io::Result<Event> {
    let stdin = io::stdin();
    let mut events =
        vec![PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN), PollFd::new(woken, PollFlags::IN)];
    if terminal.has_keys() {
        events.push(PollFd::new(&stdin, PollFlags::IN));
    }
    rustix::io::retry_on_intr(|| poll(&mut events, None))?;
    let happened = |at: usize| events.get(at).is_some_and(|event| !event.revents().is_empty());
    if happened(0) {
        return Ok(match signals.take()? {
            Some(signal) if signal == Signal::WINCH.as_raw() => Event::Resized,
            Some(signal) if signal == Signal::TSTP.as_raw() => Event::Suspended,
            Some(_) => Event::Ended,
            None => Event::Resized,
        });
    }
    let mut bytes = [0; 16];
    if happened(1) {
        // One byte is one answer.
        let length = rustix::io::read(woken, bytes.get_mut(..1).unwrap_or_default())?;
        return Ok(if length == 0 { Event::Ended } else { Event::Answer });
    }
    let length = rustix::io::read(&stdin, &mut bytes)?;
    // A terminal without more to type is gone.
    Ok(if length == 0 { Event::Ended } else { Event::Key(bytes.get(..length).unwrap_or_default().to_vec()) })
}

/// The user's terminal with a screen of its own while this lives.
struct Terminal {
    /// How it was, where keys are read.
    before: Option<Termios>,
}

/// The alternate screen, without cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";

impl Terminal {
    fn enter() -> io::Result<Self> {
        let before = if isatty(io::stdin()) { Some(tcgetattr(io::stdin())?) } else { None };
        if let Some(before) = &before {
            let mut keys = before.clone();
            keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            tcsetattr(io::stdin(), OptionalActions::Now, &keys)?;
        }
        let terminal = Self { before };
        write(ENTER)?;
        Ok(terminal)
    }

    fn has_keys(&self) -> bool {
        self.before.is_some()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _restored = write(LEAVE);
        if let Some(before) = &self.before {
            let _restored = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// What is seen of the answer.
#[derive(Default)]
struct Screen {
    /// The first line that is seen.
    top: usize,
    /// How many lines there are, and how many fit.
    lines: usize,
    fit: usize,
    /// What was drawn last.
    shown: Vec<u8>,
}

impl Screen {
    /// Draws over what was drawn before, in one go; nothing is cleared first, so nothing flickers.
    fn draw(&mut self, report: &Report) -> io::Result<()> {
        let size = tcgetwinsize(io::stdout())?;
        let (columns, rows) = (usize::from(size.ws_col).max(1), usize::from(size.ws_row).max(2));
        let lines = text::lines(report, gather::now(), columns);
        let frame = self.frame(&lines, columns, rows);
        if frame != self.shown {
            write(&frame)?;
            self.shown = frame;
        }
        Ok(())
    }

    fn frame(&mut self, lines: &[String], columns: usize, rows: usize) -> Vec<u8> {
        (self.lines, self.fit) = (lines.len(), rows - 1);
        self.top = self.top.min(self.lines.saturating_sub(self.fit));
        let seen = lines.iter().skip(self.top).take(self.fit);
        // A terminal that can holds the picture until it is complete.
        let mut frame = String::from("\x1b[?2026h\x1b[H");
        let mut count = 0;
        for line in seen {
            frame.push_str(&cut(line, columns));
            frame.push_str("\x1b[K\r\n");
            count += 1;
        }
        frame.push_str(&"\x1b[K\r\n".repeat(self.fit - count));
        frame.push_str(&format!("\x1b[7m{:<columns$}\x1b[0m\x1b[?2026l", cut(&self.footer(), columns)));
        frame.into_bytes()
    }

    fn footer(&self) -> String {
        if self.lines <= self.fit {
            return " q quit".to_owned();
        }
        let last = (self.top + self.fit).min(self.lines);
        format!(" q quit  up/down scroll  lines {} to {last} of {}", self.top + 1, self.lines)
    }

    /// Obeys a key; false for the one that ends it.
    fn key(&mut self, key: &[u8]) -> bool {
        let page = self.fit.saturating_sub(1).max(1);
        self.top = match key {
            b"q" | b"Q" | b"\x03" | b"\x04" => return false,
            b"\x1b[A" | b"\x1bOA" | b"k" => self.top.saturating_sub(1),
            b"\x1b[B" | b"\x1bOB" | b"j" => self.top + 1,
            b"\x1b[5~" => self.top.saturating_sub(page),
            b"\x1b[6~" | b" " => self.top + page,
            b"\x1b[H" | b"\x1b[1~" | b"g" => 0,
            b"\x1b[F" | b"\x1b[4~" | b"G" => usize::MAX,
            _ => self.top,
        };
        self.top = self.top.min(self.lines.saturating_sub(self.fit));
        true
    }
}

/// As much of a line as fits; what is left out is shown by an ellipsis, and control characters by nothing.
fn cut(line: &str, columns: usize) -> String {
    let mut shown: String = line.chars().filter(|c| !c.is_control()).take(columns).collect();
    if line.chars().filter(|c| !c.is_control()).count() > columns {
        shown.pop();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal shows of a frame: control sequences taken out.
    fn picture(frame: &[u8]) -> Vec<String> {
        let text = String::from_utf8(frame.to_vec()).unwrap();
        let mut shown = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find('\x1b') {
            shown.push_str(&rest[..at]);
            let end = rest[at + 2..].find(|c: char| c.is_ascii_alphabetic()).unwrap();
            rest = &rest[at + 2 + end + 1..];
        }
        shown.push_str(rest);
        shown.split("\r\n").map(|line| line.trim_end().to_owned()).collect()
    }

    #[test]
    fn a_frame_fits_the_window_and_scrolls() {
        let lines: Vec<String> = (0..10).map(|number| format!("line number {number}")).collect();
        let mut screen = Screen::default();
        let frame = screen.frame(&lines, 10, 5);
        assert_eq!(picture(&frame), ["line numb…", "line numb…", "line numb…", "line numb…", " q quit  …"]);
        assert!(screen.key(b"\x1b[B"));
        let frame = screen.frame(&lines, 60, 5);
        let footer = " q quit  up/down scroll  lines 2 to 5 of 10";
        assert_eq!(
            picture(&frame),
            ["line number 1", "line number 2", "line number 3", "line number 4", footer]
        );
        assert!(screen.key(b"G"));
        assert_eq!(picture(&screen.frame(&lines, 60, 5))[3], "line number 9");
        assert_eq!(screen.top, 6);
        assert_eq!(picture(&screen.frame(&lines, 60, 12)).len(), 12, "it fills the window");
        assert_eq!(screen.top, 0, "a larger window shows all of it");
        assert!(!screen.key(b"q"));
    }
}
