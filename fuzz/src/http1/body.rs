//! Bodies: what the decoder makes of them is what a plain recipient makes of them, however the bytes arrive.
//!
//! The first byte says how the body ends: 0 for chunked, 255 for the end of the connection, else its length.

use bytes::Bytes;
use leno_http::h1::Refusal;
use leno_http::h1::body::{Decoded, Decoder};

use super::naive::{self, Body};
use super::{Lines, drops, halves};
use crate::Outcome;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Some((kind, body)) = data.split_first() else { return Outcome::Refused };
    let decoder = || match kind {
        0 => Decoder::chunked(),
        255 => Decoder::until_close(),
        length => Decoder::length(u64::from(*length)),
    };
    let whole = decode(decoder(), &[Bytes::copy_from_slice(body)]);
    for pieces in [halves(body), drops(body)] {
        assert_eq!(decode(decoder(), &pieces), whole, "it matters how the bytes arrive");
    }
    match kind {
        0 => chunked_as_expected(&whole, body),
        255 => assert_eq!(whole, Read { data: body.to_vec(), ..Read::default() }),
        length => match naive::sized(body, usize::from(*length)) {
            Body::Complete { data, .. } => {
                assert_eq!((&whole.data, whole.is_complete()), (&data, true));
                assert_eq!(whole.left, body[data.len()..]);
            }
            Body::Partial { data } => assert_eq!((&whole.data, whole.is_complete()), (&data, false)),
            Body::Malformed => panic!("bytes are bytes"),
        },
    }
    Outcome::accepted_if(whole.is_complete())
}

/// What came out of a decoder.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    data: Vec<u8>,
    trailers: Lines,
    /// What stands behind the body.
    left: Vec<u8>,
    end: End,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Complete,
    Refused(Refusal),
}

impl Read {
    fn is_complete(&self) -> bool {
        self.end == End::Complete
    }
}

fn decode(mut decoder: Decoder, pieces: &[Bytes]) -> Read {
    let mut read = Read::default();
    for piece in pieces {
        let mut input = piece.clone();
        while read.end == End::Open {
            match decoder.decode(&mut input) {
                Ok(Decoded::Data(data)) => {
                    assert!(!data.is_empty(), "data without bytes");
                    read.data.extend_from_slice(&data);
                }
                Ok(Decoded::Trailers(trailers)) => {
                    let lines = trailers.iter().map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec()));
                    read.trailers.extend(lines);
                }
                Ok(Decoded::End) => read.end = End::Complete,
                Ok(Decoded::NeedMore) => {
                    assert!(input.is_empty(), "more is asked for while there is more");
                    break;
                }
                Err(refusal) => read.end = End::Refused(refusal),
            }
            if decoder.is_ended() {
                read.end = End::Complete;
            }
        }
        match read.end {
            End::Complete => read.left.extend_from_slice(&input),
            End::Open | End::Refused(_) => {}
        }
    }
    if read.end == End::Open && matches!(decoder.decode(&mut Bytes::new()), Ok(Decoded::End)) {
        read.end = End::Complete;
    }
    read
}

fn chunked_as_expected(read: &Read, body: &[u8]) {
    let expected = naive::chunked(body);
    match (&read.end, expected) {
        (End::Complete, Body::Complete { data, mut trailers, used }) => {
            assert_eq!(read.data, data);
            assert_eq!(read.left, body[used..], "the body ends elsewhere");
            // The map has the lines of one name together.
            let mut own = read.trailers.clone();
            own.sort();
            trailers.sort();
            assert_eq!(own, trailers);
        }
        (End::Open, Body::Partial { data }) => assert_eq!(read.data, data),
        // A field name is refused before its line is complete.
        (End::Refused(_), Body::Malformed | Body::Partial { .. }) => {}
        // These are well-formed, and refused all the same.
        (
            End::Refused(Refusal::TrailerField | Refusal::TrailersTooLarge | Refusal::ChunkExtension),
            Body::Complete { .. },
        ) => {}
        (end, expected) => panic!("{end:?} where {expected:?} was expected"),
    }
}
