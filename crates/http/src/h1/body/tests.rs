//! Bodies in one piece, in every two pieces, and byte by byte.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::h1::encode;
use crate::limits;

/// Decodes pieces one after the other: the data, the trailers' number, the bytes left over, or the refusal.
fn decode(mut decoder: Decoder, pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, Vec<u8>, bool), Refusal> {
    let mut data = Vec::new();
    let mut trailers = 0;
    let mut left = Vec::new();
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match decoder.decode(&mut input)? {
                Decoded::Data(bytes) => {
                    assert!(!bytes.is_empty());
                    data.extend_from_slice(&bytes);
                }
                Decoded::Trailers(map) => trailers += map.len(),
                Decoded::End => {
                    left.extend_from_slice(&input);
                    break;
                }
                Decoded::NeedMore => {
                    assert!(input.is_empty());
                    break;
                }
            }
        }
    }
    let ended = decoder.is_ended() || matches!(decoder.decode(&mut Bytes::new())?, Decoded::End);
    Ok((data, trailers, left, ended))
}

#[track_caller]
fn check_chunked(text: &str, expected: Result<(&str, usize, &str), Refusal>) {
    let expected = expected
        .map(|(data, trailers, left)| (data.as_bytes().to_vec(), trailers, left.as_bytes().to_vec(), true));
    let bytes = text.as_bytes();
    assert_eq!(decode(Decoder::chunked(), &[bytes]), expected, "{text:?}");
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(decode(Decoder::chunked(), &[first, second]), expected, "{text:?} cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode(Decoder::chunked(), &single), expected, "{text:?} in single bytes");
}

#[test]
fn chunked_bodies() {
    use Refusal as R;
    check_chunked("0\r\n\r\n", Ok(("", 0, "")));
    check_chunked("5\r\nhello\r\n0\r\n\r\nGET", Ok(("hello", 0, "GET")));
    check_chunked("3\r\nabc\r\n00A\r\n0123456789\r\n000\r\n\r\n", Ok(("abc0123456789", 0, "")));
    check_chunked("1;a=b;c=\"d;\t\"\r\nx\r\n0;z\r\nT: 1\r\nU: 2\r\n\r\nnext", Ok(("x", 2, "next")));
    check_chunked("\r\n", Err(R::ChunkSize));
    check_chunked("+1\r\nx\r\n", Err(R::ChunkSize));
    check_chunked("-1\r\nx\r\n", Err(R::ChunkSize));
    check_chunked("0x1\r\nx\r\n", Err(R::ChunkSize));
    check_chunked(" 1\r\nx\r\n", Err(R::ChunkSize));
    check_chunked("1 \r\nx\r\n", Err(R::ChunkSize));
    check_chunked("1 ;a\r\nx\r\n", Err(R::ChunkSize));
    check_chunked("1_0\r\nx\r\n", Err(R::ChunkSize));
    check_chunked("g\r\n", Err(R::ChunkSize));
    check_chunked("1000000000000000\r\n", Err(R::ChunkSize));
    check_chunked("fffffffffffffffff\r\n", Err(R::ChunkSize));
    check_chunked("1\nx\r\n", Err(R::BareLf));
    check_chunked("1\r\rx", Err(R::BareCr));
    check_chunked("1;a\nb\r\nx\r\n", Err(R::BareLf));
    check_chunked("1;a\rb\r\nx\r\n", Err(R::BareCr));
    check_chunked("1;a\0\r\nx\r\n", Err(R::ChunkExtension));
    check_chunked("1\r\nxy\r\n", Err(R::ChunkEnd));
    check_chunked("1\r\nx\n0\r\n\r\n", Err(R::ChunkEnd));
    check_chunked("1\r\nx\r0", Err(R::ChunkEnd));
    check_chunked("0\r\nContent-Length: 1\r\n\r\n", Err(R::TrailerField));
    check_chunked("0\r\nA : 1\r\n\r\n", Err(R::BlankBeforeColon));
    check_chunked("0\r\nA: 1\n\r\n", Err(R::BareLf));
}

#[test]
fn extensions_and_trailers_are_bounded() {
    let long = format!("1;{}\r\nx\r\n", "a".repeat(limits::CHUNK_LINE_BYTES));
    assert_eq!(decode(Decoder::chunked(), &[long.as_bytes()]), Err(Refusal::ChunkExtension));
    let many = format!("1;{}\r\nx\r\n", "a".repeat(200)).repeat(100);
    assert_eq!(
        decode(Decoder::chunked(), &[many.as_bytes()]),
        Err(Refusal::ChunkExtension),
        "{}",
        many.len()
    );
    let few = format!("1;{}\r\nx\r\n", "a".repeat(200)).repeat(50);
    assert!(decode(Decoder::chunked(), &[few.as_bytes()]).is_ok());
    let trailer = format!("0\r\nA: {}\r\n\r\n", "b".repeat(limits::TRAILER_BYTES));
    assert_eq!(decode(Decoder::chunked(), &[trailer.as_bytes()]), Err(Refusal::TrailersTooLarge));
    let pieces: Vec<&[u8]> = trailer.as_bytes().chunks(100).collect();
    assert_eq!(decode(Decoder::chunked(), &pieces), Err(Refusal::TrailersTooLarge));
}

#[test]
fn other_bodies() {
    let text = b"hello world";
    assert_eq!(decode(Decoder::length(5), &[text]), Ok((b"hello".to_vec(), 0, b" world".to_vec(), true)));
    assert_eq!(decode(Decoder::length(0), &[text]), Ok((vec![], 0, text.to_vec(), true)));
    assert_eq!(decode(Decoder::length(12), &[text]), Ok((text.to_vec(), 0, vec![], false)));
    let until_close = decode(Decoder::until_close(), &[b"hello", b" world"]);
    assert_eq!(until_close, Ok((text.to_vec(), 0, vec![], false)));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
        let _ = decode(Decoder::chunked(), &[&bytes]);
    }

    #[test]
    fn what_is_encoded_is_decoded(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..5),
        cuts in proptest::collection::vec(0_usize..2000, 0..5),
        trailer: bool,
    ) {
        let mut text = Vec::new();
        for chunk in &chunks {
            encode::chunk_size(chunk.len(), &mut text);
            text.extend_from_slice(chunk);
            text.extend_from_slice(b"\r\n");
        }
        let mut map = HeaderMap::new();
        if trailer {
            map.insert("grpc-status", "0".parse().expect("value"));
        }
        map.insert("content-length", "1".parse().expect("value"));
        encode::last_chunk(Some(&map), &mut text);
        text.extend_from_slice(b"rest");
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect();
        let expected = (chunks.concat(), usize::from(trailer), b"rest".to_vec(), true);
        prop_assert_eq!(decode(Decoder::chunked(), &pieces), Ok(expected));
    }
}
