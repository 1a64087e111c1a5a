//! HTTP/2 as a plain recipient reads it: frame by frame, and header blocks bit by bit (RFC 9113, RFC 7541).

/// A name and its value, and whether it is never to be indexed.
pub(crate) type Field = (Vec<u8>, Vec<u8>, bool);

/// The fields of a block.
pub(crate) type Fields = Vec<Field>;

/// The header blocks of one direction.
pub(crate) struct Table {
    /// The newest entry first.
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    most: usize,
}

/// A block that can't be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost;

impl Table {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), most: 4096 }
    }

    pub(crate) fn entries(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.entries
    }

    /// The fields of a block.
    pub(crate) fn decode(&mut self, block: &[u8]) -> Result<Fields, Lost> {
        let mut rest = block;
        let mut fields = Fields::new();
        let mut updates = 0;
        while let Some(&first) = rest.first() {
            if first & 0x80 != 0 {
                let (name, value) = self.entry(integer(&mut rest, 7)?)?;
                fields.push((name, value, false));
            } else if first & 0x40 != 0 {
                let (name, value) = self.literal(&mut rest, 6)?;
                fields.push((name.clone(), value.clone(), false));
                self.entries.insert(0, (name, value));
                self.shrink();
            } else if first & 0x20 != 0 {
                updates += 1;
                self.most = integer(&mut rest, 5)?;
                if self.most > 4096 || !fields.is_empty() || updates > 2 {
                    return Err(Lost);
                }
                self.shrink();
            } else {
                let (name, value) = self.literal(&mut rest, 4)?;
                fields.push((name, value, first & 0x10 != 0));
            }
        }
        Ok(fields)
    }

    fn literal(&self, rest: &mut &[u8], prefix: u32) -> Result<(Vec<u8>, Vec<u8>), Lost> {
        let index = integer(rest, prefix)?;
        let name = if index == 0 { string(rest)? } else { self.entry(index)?.0 };
        Ok((name, string(rest)?))
    }

    fn entry(&self, index: usize) -> Result<(Vec<u8>, Vec<u8>), Lost> {
        if let Some((name, value)) = statics().nth(index.checked_sub(1).ok_or(Lost)?) {
            return Ok((name.into(), value.into()));
        }
        self.entries.get(index - 62).cloned().ok_or(Lost)
    }

    fn shrink(&mut self) {
        while self.entries.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>()
            > self.most
        {
            self.entries.pop();
        }
    }
}

/// The static table's fields.
fn statics() -> impl Iterator<Item = (&'static str, &'static str)> {
    STATICS.lines().map(|line| line.split_once('=').unwrap_or((line, "")))
}

/// Whether the static table has this very field.
pub(crate) fn is_static(name: &[u8], value: &[u8]) -> bool {
    statics().any(|own| (own.0.as_bytes(), own.1.as_bytes()) == (name, value))
}

/// The static table's index of a name, or 0.
pub(crate) fn known(name: &[u8]) -> usize {
    statics().position(|(own, _)| own.as_bytes() == name).map_or(0, |at| at + 1)
}

/// An integer whose prefix has so many bits, in at most four bytes more.
fn integer(rest: &mut &[u8], prefix: u32) -> Result<usize, Lost> {
    let (first, mut behind) = rest.split_first().ok_or(Lost)?;
    let mask = (1 << prefix) - 1;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        for place in 0..5 {
            let (byte, after) = behind.split_first().ok_or(Lost)?;
            if place == 4 {
                return Err(Lost);
            }
            behind = after;
            value += usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = behind;
    Ok(value)
}

fn string(rest: &mut &[u8]) -> Result<Vec<u8>, Lost> {
    let is_coded = rest.first().ok_or(Lost)? & 0x80 != 0;
    let length = integer(rest, 7)?;
    let (text, behind) = rest.split_at_checked(length).ok_or(Lost)?;
    *rest = behind;
    if is_coded { uncoded(text) } else { Ok(text.to_vec()) }
}

/// A string in Huffman's code, which is made from the lengths of its codes: they are in order of length and symbol.
fn uncoded(text: &[u8]) -> Result<Vec<u8>, Lost> {
    let mut out = Vec::new();
    let mut bits = text.iter().flat_map(|byte| (0..8).rev().map(move |at| u32::from(byte >> at & 1)));
    loop {
        // The first code of the current length, and what came.
        let (mut first, mut code, mut length, mut has_zero) = (0, 0, 0, false);
        loop {
            let Some(bit) = bits.next() else {
                return if length < 8 && !has_zero { Ok(out) } else { Err(Lost) };
            };
            has_zero |= bit == 0;
            (code, first, length) = (code << 1 | bit, first << 1, length + 1);
            let symbols = of_length(length);
            if let Some(symbol) = code.checked_sub(first).and_then(|at| symbols.get(at as usize)) {
                out.push(u8::try_from(*symbol).map_err(|_end| Lost)?);
                break;
            }
            first += u32::try_from(symbols.len()).unwrap_or_default();
        }
    }
}

/// The symbols whose codes have so many bits (RFC 7541 Appendix B); 256 is the end.
fn of_length(bits: u32) -> &'static [u16] {
    match bits {
        5 => &[48, 49, 50, 97, 99, 101, 105, 111, 115, 116],
        6 => &[
            32, 37, 45, 46, 47, 51, 52, 53, 54, 55, 56, 57, 61, 65, 95, 98, 100, 102, 103, 104, 108, 109,
            110, 112, 114, 117,
        ],
        7 => &[
            58, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89,
            106, 107, 113, 118, 119, 120, 121, 122,
        ],
        8 => &[38, 42, 44, 59, 88, 90],
        10 => &[33, 34, 40, 41, 63],
        11 => &[39, 43, 124],
        12 => &[35, 62],
        13 => &[0, 36, 64, 91, 93, 126],
        14 => &[94, 125],
        15 => &[60, 96, 123],
        19 => &[92, 195, 208],
        20 => &[128, 130, 131, 162, 184, 194, 224, 226],
        21 => &[153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230],
        22 => &[
            129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187,
            189, 190, 196, 198, 228, 232, 233,
        ],
        23 => &[
            1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174,
            175, 180, 182, 183, 188, 191, 197, 231, 239,
        ],
        24 => &[9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237],
        25 => &[199, 207, 234, 235],
        26 => &[192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255],
        27 => {
            &[203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254]
        }
        28 => &[
            2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31,
            127, 220, 249,
        ],
        30 => &[10, 13, 22, 256],
        _ => &[],
    }
}

/// RFC 7541 Appendix A, an entry in a line.
const STATICS: &str = ":authority
:method=GET
:method=POST
:path=/
:path=/index.html
:scheme=http
:scheme=https
:status=200
:status=204
:status=206
:status=304
:status=400
:status=404
:status=500
accept-charset
accept-encoding=gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate";

/// What one end said on a stream.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) id: u32,
    /// Header blocks in their order.
    pub(crate) heads: Vec<Fields>,
    /// The body.
    pub(crate) data: Vec<u8>,
    pub(crate) has_ended: bool,
    pub(crate) is_reset: bool,
    /// By how much the other end's window was raised.
    pub(crate) raised: u64,
}

/// What one end said, as far as its frames are whole and its blocks can be decoded.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    /// By when they were named first.
    pub(crate) streams: Vec<Said>,
    pub(crate) settings: Vec<(u16, u32)>,
    /// By how much the other end's window of the connection was raised.
    pub(crate) raised: u64,
    /// Codes of GOAWAY.
    pub(crate) farewells: Vec<u32>,
    /// Bytes behind the last frame that was read.
    pub(crate) rest: usize,
    /// Whether the last frame was GOAWAY.
    pub(crate) ends_by_farewell: bool,
}

impl Talk {
    pub(crate) fn stream(&mut self, id: u32) -> &mut Said {
        let at = self.streams.iter().position(|said| said.id == id);
        let at = at.unwrap_or_else(|| {
            self.streams.push(Said { id, ..Said::default() });
            self.streams.len() - 1
        });
        &mut self.streams[at]
    }
}

/// Reads frames until one isn't whole, or a block can't be decoded. `each` sees every frame before it counts.
pub(crate) fn read(bytes: &[u8], mut each: impl FnMut(&mut Talk, &Raw<'_>)) -> Talk {
    let mut talk = Talk::default();
    let mut table = Table::new();
    let mut rest = bytes;
    let mut block: Option<(u32, bool, Vec<u8>)> = None;
    while let Some(frame) = Raw::read(rest) {
        each(&mut talk, &frame);
        let is_last = frame.has(4);
        match frame.kind {
            0 => {
                let data = frame.content().unwrap_or_default();
                let said = talk.stream(frame.stream);
                if !said.has_ended {
                    said.data.extend_from_slice(data);
                    said.has_ended = frame.has(1);
                }
            }
            1 => block = Some((frame.stream, frame.has(1), frame.content().unwrap_or_default().to_vec())),
            3 => talk.stream(frame.stream).is_reset = true,
            4 if !frame.has(1) => talk.settings.extend(frame.settings()),
            7 => talk.farewells.extend(frame.number(4)),
            8 => {
                let more = u64::from(frame.number(0).unwrap_or_default() & 0x7fff_ffff);
                if frame.stream == 0 { talk.raised += more } else { talk.stream(frame.stream).raised += more }
            }
            9 => {
                if let Some((_, _, block)) = &mut block {
                    block.extend_from_slice(frame.payload);
                }
            }
            _ => {}
        }
        if is_last
            && matches!(frame.kind, 1 | 9)
            && let Some((stream, ends, block)) = block.take()
        {
            let Ok(fields) = table.decode(&block) else { break };
            let said = talk.stream(stream);
            said.heads.push(fields);
            said.has_ended |= ends;
        }
        talk.ends_by_farewell = frame.kind == 7;
        rest = &rest[9 + frame.payload.len()..];
    }
    talk.rest = rest.len();
    talk
}

/// A frame as it stands there.
pub(crate) struct Raw<'b> {
    pub(crate) kind: u8,
    flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: &'b [u8],
}

impl<'b> Raw<'b> {
    fn read(bytes: &'b [u8]) -> Option<Self> {
        let (&[a, b, c, kind, flags, s0, s1, s2, s3], rest) = bytes.split_first_chunk::<9>()?;
        let length = u32::from_be_bytes([0, a, b, c]);
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        Some(Self { kind, flags, stream, payload: rest.get(..usize::try_from(length).ok()?)? })
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Without padding and priority; none if there is no room for them.
    pub(crate) fn content(&self) -> Option<&'b [u8]> {
        let (mut content, mut padding) = (self.payload, 0);
        if self.has(8) {
            padding = usize::from(*content.first()?);
            content = &content[1..];
        }
        if self.kind == 1 && self.has(0x20) {
            content = content.get(5..)?;
        }
        content.get(..content.len().checked_sub(padding)?)
    }

    fn settings(&self) -> Vec<(u16, u32)> {
        let entry =
            |e: &[u8; 6]| (u16::from_be_bytes([e[0], e[1]]), u32::from_be_bytes([e[2], e[3], e[4], e[5]]));
        self.payload.as_chunks::<6>().0.iter().map(entry).collect()
    }

    fn number(&self, at: usize) -> Option<u32> {
        self.payload.get(at..at + 4)?.try_into().map(u32::from_be_bytes).ok()
    }
}
