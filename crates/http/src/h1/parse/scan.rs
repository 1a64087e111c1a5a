//! Finding the end of a head that arrives in pieces, each byte looked at once.

use super::Refusal;
use crate::head::is_token_byte;
use crate::limits;

/// How far a head has been looked through. Start a new one for each head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Bytes looked at.
    seen: usize,
    /// Where the current line begins.
    line: usize,
}

impl Scan {
    /// Looks at what `bytes`, the whole head so far, has gained since the last call, and says whether a head is
    /// complete.
    ///
    /// # Errors
    /// As soon as the bytes can't become an acceptable head of at most `limit` bytes.
    pub fn is_complete(&mut self, bytes: &[u8], limit: usize) -> Result<bool, Refusal> {
        while let Some(at) = memchr::memchr(b'\n', bytes.get(self.seen..).unwrap_or_default()) {
            let lf = self.seen + at;
            self.seen = lf + 1;
            if lf == 0 || bytes.get(lf - 1) != Some(&b'\r') {
                return Err(Refusal::BareLf);
            }
            // An empty line ends the head, unless it is the one that may come before it.
            if self.line + 1 == lf && self.line > 0 {
                return if self.seen > limit { Err(Refusal::HeadTooLarge) } else { Ok(true) };
            }
            self.line = self.seen;
        }
        self.seen = bytes.len();
        if bytes.len() > limit { Err(Refusal::HeadTooLarge) } else { Ok(false) }
    }
}

/// Refuses the beginning of what can't become a request, so that other protocols needn't wait for a line end.
pub(super) fn check_beginning(bytes: &[u8]) -> Result<(), Refusal> {
    let method = bytes.split(|b| *b == b' ').next().unwrap_or_default();
    if matches!(bytes.first(), None | Some(b'\r')) {
        return Ok(());
    }
    let looked_at = method.get(..=limits::METHOD_BYTES).unwrap_or(method);
    if looked_at.is_empty()
        || !looked_at.iter().all(|b| is_token_byte(*b))
        || method.len() > limits::METHOD_BYTES
    {
        return Err(Refusal::Method);
    }
    Ok(())
}
