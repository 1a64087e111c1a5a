//! One WebSocket frame to and from bytes (RFC 6455 §5.2), and its rules.

use bytes::BytesMut;

/// Which end of the connection this is: clients mask what they send, servers don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// One frame, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) opcode: Opcode,
    pub(crate) payload: BytesMut,
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("a reserved bit is set, but no extension was agreed")]
    ReservedBit,
    #[error("unknown opcode {0:#x}")]
    Opcode(u8),
    #[error("masked by a server or unmasked by a client")]
    Mask,
    #[error("a control frame is fragmented or longer than 125 bytes")]
    Control,
    #[error("the length isn't written in its shortest form")]
    Length,
    #[error("the message is too long")]
    TooLong,
    #[error("a new message began inside another")]
    Interleaved,
    #[error("a continuation without a beginning")]
    NothingToContinue,
    #[error("text that isn't UTF-8")]
    NotUtf8,
    #[error("a wrong close frame")]
    Close,
}

impl Violation {
    /// The close code for it (RFC 6455 §7.4.1).
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::NotUtf8 => 1007,
            Self::TooLong => 1009,
            _ => 1002,
        }
    }
}

/// Decodes the frame at the start of `bytes` as `side` receives it; `None` while it is incomplete. The number is its
/// length on the wire.
pub(crate) fn decode(bytes: &[u8], side: Side, most: usize) -> Result<Option<(Frame, usize)>, Violation> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(Violation::ReservedBit);
    }
    let (fin, bits, masked, short) = (first & 0x80 != 0, first & 0x0F, second & 0x80 != 0, second & 0x7F);
    let opcode = Opcode::from_bits(bits).ok_or(Violation::Opcode(bits))?;
    if masked != (side == Side::Server) {
        return Err(Violation::Mask);
    }
    if opcode.is_control() && (!fin || short > 125) {
        return Err(Violation::Control);
    }
    let Some((length, rest)) = length(short, rest)? else { return Ok(None) };
    let length = usize::try_from(length).ok().filter(|length| *length <= most).ok_or(Violation::TooLong)?;
    let (mask, rest) = match (masked, rest) {
        (false, rest) => (None, rest),
        (true, [a, b, c, d, rest @ ..]) => (Some([*a, *b, *c, *d]), rest),
        (true, _) => return Ok(None),
    };
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    let wire = bytes.len() - rest.len() + length;
    let mut payload = BytesMut::from(payload);
    if let Some(mask) = mask {
        apply(mask, &mut payload);
    }
    Ok(Some((Frame { fin, opcode, payload }, wire)))
}

/// The payload's length from its short form and the bytes behind, which must be no longer than needed.
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (length, least, rest) = match (short, rest) {
        (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 126, rest),
        (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
            (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 1 << 16, rest)
        }
        (126 | 127, _) => return Ok(None),
        _ => (u64::from(short), 0, rest),
    };
    if length < least || length > i64::MAX.unsigned_abs() {
        return Err(Violation::Length);
    }
    Ok(Some((length, rest)))
}

/// Encodes one frame.
pub(crate) fn encode(fin: bool, opcode: Opcode, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(payload.len() + 14);
    wire.push(if fin { 0x80 } else { 0 } | opcode.bits());
    let masked = if mask.is_some() { 0x80 } else { 0 };
    if let Ok(short @ ..126) = u8::try_from(payload.len()) {
        wire.push(masked | short);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        wire.push(masked | 126);
        wire.extend(length.to_be_bytes());
    } else {
        wire.push(masked | 127);
        wire.extend((payload.len() as u64).to_be_bytes());
    }
    wire.extend(mask.into_iter().flatten());
    let start = wire.len();
    wire.extend(payload);
    if let Some(mask) = mask {
        apply(mask, wire.get_mut(start..).unwrap_or_default());
    }
    wire
}

/// Masks or unmasks.
fn apply(mask: [u8; 4], payload: &mut [u8]) {
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// The code in a close frame's payload (RFC 6455 §5.5.1 and §7.4).
pub(crate) fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match payload {
        [] => Ok(None),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let known = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            if known && std::str::from_utf8(reason).is_ok() { Ok(Some(code)) } else { Err(Violation::Close) }
        }
        [_] => Err(Violation::Close),
    }
}
