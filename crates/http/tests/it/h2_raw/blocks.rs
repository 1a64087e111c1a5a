//! Heads as blocks: CONTINUATION (RFC 9113 §6.10), sizes, and HPACK (RFC 7541).

use leno_http::limits;
use leno_http::server::Config;

use super::hpack::{block, field, huffman, indexed, integer};
use super::server::Expect::{Goaway, Refused, Reset, Serves};
use super::server::{PROBE, Server, check, error_of, is_answered, reset_of};
use super::wire::{
    FRAME, code, continuation, data, flag, frame, get, headers, kind, ping, post, priority, request, rst,
    settings, settings_ack, window_update,
};
use super::{Steps, cases, in_turn, run};

/// A head that goes on in a CONTINUATION.
fn begun(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_STREAM, stream, block)
}

/// A block in pieces of so many bytes.
fn pieces(stream: u32, flags: u8, block: &[u8], size: usize) -> Vec<u8> {
    let mut rest = block.chunks(size);
    let mut bytes = frame(kind::HEADERS, flags, stream, rest.next().unwrap_or_default());
    for piece in rest {
        bytes.extend(continuation(stream, 0, piece));
    }
    bytes.extend(continuation(stream, flag::END_HEADERS, b""));
    bytes
}

/// A GET between whose two frames comes another one.
fn torn(between: Vec<u8>) -> [Vec<u8>; 3] {
    let block = request("GET", "/", &[]);
    let (one, other) = block.split_at(9);
    [begun(1, one), between, continuation(1, flag::END_HEADERS, other)]
}

/// A request behind which its block goes on.
fn with(rest: &[u8]) -> Vec<u8> {
    headers(1, flag::END_STREAM, &[&request("GET", "/", &[]), rest].concat())
}

/// The same before it.
fn behind(start: &[u8]) -> Vec<u8> {
    headers(1, flag::END_STREAM, &[start, &request("GET", "/", &[])].concat())
}

/// A field `x` with a string that is taken as it is.
fn raw(string: &[u8]) -> Vec<u8> {
    with(&[&[0, 1, b'x'], string].concat())
}

const BAD: super::server::Expect = Goaway(&[code::COMPRESSION]);

cases! { check;
    a_head_in_two_frames: [begun(1, &request("GET", "/", &[])[..7]), continuation(1, 4, &request("GET", "/", &[])[7..])]
        => Serves;
    a_head_in_three_frames: [pieces(1, 1, &request("GET", "/", &[("x", "y")]), 30)] => Serves;
    a_head_in_many_frames: [pieces(1, 1, &request("GET", "/", &[("x", "y")]), 9)] => Serves;
    a_head_whose_first_frame_is_empty: [begun(1, b""), continuation(1, 4, &request("GET", "/", &[]))]
        => Serves;
    a_head_with_an_empty_frame: [begun(1, b""), continuation(1, 0, b""), continuation(1, 4, &request("GET", "/", &[]))]
        => Serves;
    trailers_in_two_frames: [post(1, "/"), begun(1, b"\0\x05x-sum"), continuation(1, 4, b"\x01y")] => Serves;
    a_padded_head_that_goes_on: [
        frame(kind::HEADERS, 9, 1, &super::wire::padded(&request("GET", "/", &[])[..7], 9)),
        continuation(1, 4, &request("GET", "/", &[])[7..]),
    ] => Serves;

    // Nothing may come between, not even what would be ignored elsewhere (RFC 9113 §4.3 and §5.5).
    data_amid_a_head: torn(data(1, 0, b"x")) => Goaway(&[code::PROTOCOL]);
    headers_amid_a_head: torn(get(1, "/")) => Goaway(&[code::PROTOCOL]);
    another_head_amid_a_head: torn(get(3, "/")) => Goaway(&[code::PROTOCOL]);
    priority_amid_a_head: torn(priority(1, 0, 9)) => Goaway(&[code::PROTOCOL]);
    priority_of_another_amid_a_head: torn(priority(3, 0, 9)) => Goaway(&[code::PROTOCOL]);
    rst_stream_amid_a_head: torn(rst(1, code::CANCEL)) => Goaway(&[code::PROTOCOL]);
    settings_amid_a_head: torn(settings(&[])) => Goaway(&[code::PROTOCOL]);
    a_settings_ack_amid_a_head: torn(settings_ack()) => Goaway(&[code::PROTOCOL]);
    ping_amid_a_head: torn(ping(b"12345678")) => Goaway(&[code::PROTOCOL]);
    goaway_amid_a_head: torn(super::wire::goaway(0, 0)) => Goaway(&[code::PROTOCOL]);
    window_update_amid_a_head: torn(window_update(0, 1)) => Goaway(&[code::PROTOCOL]);
    an_unknown_frame_amid_a_head: torn(frame(0xbe, 0, 1, b"x")) => Goaway(&[code::PROTOCOL]);
    an_unknown_frame_of_the_connection_amid_a_head: torn(frame(0xbe, 0, 0, b"")) => Goaway(&[code::PROTOCOL]);
    continuation_of_another_stream: torn(continuation(3, 0, b"")) => Goaway(&[code::PROTOCOL]);
    continuation_of_the_connection: torn(continuation(0, 0, b"")) => Goaway(&[code::PROTOCOL]);
    continuation_after_a_whole_head: [post(1, "/hold"), continuation(1, 4, b"")] => Goaway(&[code::PROTOCOL]);
    continuation_after_a_continued_head:
        [begun(1, b""), continuation(1, 4, &request("GET", "/hold", &[])), continuation(1, 4, b"")]
        => Goaway(&[code::PROTOCOL, code::STREAM_CLOSED]);
    continuation_after_data: [post(1, "/hold"), data(1, 0, b"x"), continuation(1, 4, b"")]
        => Goaway(&[code::PROTOCOL]);
    a_head_amid_trailers: [post(1, "/"), begun(1, b""), get(3, "/")] => Goaway(&[code::PROTOCOL]);

    // Indices (RFC 7541 §2.3.3).
    index_0: [with(&[0x80])] => BAD;
    index_0_first: [behind(&[0x80])] => BAD;
    an_index_behind_the_static_table: [with(&[0xbe])] => BAD;
    a_large_index: [with(&integer(0x80, 7, 100_000))] => BAD;
    a_name_behind_the_static_table: [with(&[&integer(0, 4, 62)[..], b"\x01y"].concat())] => BAD;
    a_name_to_index_behind_the_static_table: [with(&[&integer(0x40, 6, 62)[..], b"\x01y"].concat())] => BAD;
    a_name_never_to_index_behind_the_static_table: [with(&[&integer(0x10, 4, 70)[..], b"\x01y"].concat())]
        => BAD;
    an_index_behind_the_table: [with(&[&indexed(b"x", b"y")[..], &[0xbe, 0xbf]].concat())] => BAD;
    an_evicted_entry:
        [with(&indexed(b"x", b"y")), headers(3, 1, &[&[0x20, 0xbe], &request("GET", "/", &[])[..]].concat())]
        => BAD;

    // Integers and strings (RFC 7541 §5).
    an_integer_cut_off: [with(&[0xff])] => BAD;
    an_integer_cut_off_later: [with(&[0xff, 0x80, 0x80])] => BAD;
    an_integer_too_large: [with(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])]
        => BAD;
    an_integer_of_64_bits: [with(&[0xff, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])] => BAD;
    a_string_cut_off: [with(&[0, 1, b'x', 5, b'y'])] => BAD;
    a_string_without_a_length: [with(&[0, 1, b'x'])] => BAD;
    a_name_cut_off: [with(&[0, 5, b'x'])] => BAD;
    a_name_without_a_length: [with(&[0])] => BAD;
    a_string_of_great_length: [raw(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f])] => BAD;

    // Huffman codes (RFC 7541 §5.2): `0x1f` is an `a` and three ones.
    huffman_with_good_padding: [raw(&[0x81, 0x1f])] => Serves;
    huffman_with_zeros_as_padding: [raw(&[0x81, 0x18])] => BAD;
    huffman_with_a_mixed_padding: [raw(&[0x81, 0x1b])] => BAD;
    huffman_with_a_byte_of_padding: [raw(&[0x82, 0x1f, 0xff])] => BAD;
    huffman_of_padding_alone: [raw(&[0x81, 0xff])] => BAD;
    huffman_with_eos: [raw(&[0x84, 0xff, 0xff, 0xff, 0xff])] => BAD;
    huffman_with_eos_inside: [raw(&[0x85, 0x1f, 0xff, 0xff, 0xff, 0xff])] => BAD;
    huffman_cut_in_a_code: [raw(&[0x82, 0xff, 0xfe])] => BAD;
    huffman_of_nothing: [raw(&[0x80])] => Serves;
    huffman_of_all_lengths: [raw(&huffman(b"! \"#$%&'()*+,-./019:;<=>?@AZ[\\]^_`az{|}~\x80\xff"))] => Serves;

    // Sizes of the table (RFC 7541 §4.2 and §6.3).
    a_table_size: [behind(&integer(0x20, 5, 4096))] => Serves;
    no_table: [behind(&[0x20])] => Serves;
    two_table_sizes: [behind(&[&[0x20], &integer(0x20, 5, 4096)[..]].concat())] => Serves;
    a_table_size_alone: [post(1, "/"), headers(1, 1, &[0x20])] => Serves;
    a_table_too_large: [behind(&integer(0x20, 5, 4097))] => BAD;
    a_table_of_64_bits: [behind(&[0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])] => BAD;
    a_table_size_at_the_end: [with(&[0x20])] => BAD;
    a_table_size_amid_fields: [with(&[&[0x20], &block(&[("x", "y")])[..]].concat())] => BAD;
    a_table_size_cut_off: [behind(&[0x3f])] => BAD;

    // Wherever a block comes, it must be read.
    a_bad_block_in_trailers: [post(1, "/"), headers(1, 1, &[0x80])] => BAD;
    a_bad_block_in_continuation: [begun(1, &request("GET", "/", &[])), continuation(1, 4, &[0x80])] => BAD;
    a_bad_block_after_the_server_s_reset: in_turn([post(1, "/drop"), headers(1, 1, &[0x80])]) => BAD;
    a_block_of_one_reset_stream: in_turn([post(1, "/drop"), headers(1, 1, &block(&[("x", "y")]))])
        => Reset(1, &[code::INTERNAL]);

    // All ways to say a field (RFC 7541 §6).
    a_request_of_indices: [headers(1, 1, &[0x82, 0x86, 0x84, 0x41, 1, b'a'])] => Serves;
    a_request_in_huffman_code:
        [headers(1, 1, &[&[0x82, 0x86, 0x44][..], &huffman(b"/x?y"), &[0x01], &huffman(b"a.b")].concat())]
        => Serves;
    fields_never_to_be_indexed: [with(&[0x10, 1, b'x', 1, b'y', 0x1f, 0x08, 1, b'z'])] => Serves;
    fields_that_enter_the_table: [
        with(&[indexed(b"x-one", b"1"), indexed(b"x-two", b"2"), vec![0xbe, 0xbf]].concat()),
        headers(3, 1, &[request("GET", "/", &[]), vec![0xbe, 0xbf, 0x7e, 1, b'3', 0xbe]].concat()),
    ] => Serves;
    a_field_larger_than_the_table: [
        with(&[indexed(b"x", b"y"), indexed(b"x", &[b'y'; 5000])].concat()),
        headers(3, 1, &[request("GET", "/", &[]), indexed(b"z", b"1"), vec![0xbe]].concat()),
    ] => Serves;
    an_empty_table_after_a_field_larger_than_it:
        [with(&[indexed(b"x", b"y"), indexed(b"x", &[b'y'; 5000]), vec![0xbe]].concat())] => BAD;
    a_table_that_evicts: [
        with(&[indexed(b"a", &[b'1'; 2000]), indexed(b"b", &[b'2'; 2000]), indexed(b"c", &[b'3'; 2000])].concat()),
        headers(3, 1, &[request("GET", "/", &[]), vec![0xbe, 0xbf]].concat()),
    ] => Serves;
    a_name_of_an_entry_that_is_evicted_by_it:
        [with(&[
            indexed(b"x-name", &[b'1'; 4000]),
            [&[0x7e], &integer(0, 7, 3900)[..], &[b'2'; 3900], &[0xbe]].concat(),
        ].concat())] => Serves;

    // A head of nothing is malformed, not broken.
    an_empty_head: [headers(1, flag::END_STREAM, b"")] => Refused(1);
    a_head_of_a_table_size: [headers(1, flag::END_STREAM, &[0x20])] => Refused(1);
}

/// Runs a request that is too much, and one behind it which needs the field that it put into the table.
fn too_much(steps: fn() -> Steps, may_end: bool) {
    run(move || async move {
        let mut server = Server::open().await;
        let frames = server.peer.play(&steps().0).await;
        let head = frames.iter().find(|frame| frame.is(kind::HEADERS, 1));
        let is_refused =
            head.is_some_and(|head| head.status() == Some(431)) || reset_of(&frames, 1).is_some();
        let error = error_of(&frames);
        assert!(is_refused || error.is_some(), "{frames:?}");
        assert!(error.is_none() || may_end, "one stream's error: {frames:?}");
        assert_eq!(server.logged(), [""; 0]);
        if error.is_none() {
            server.peer.send(&headers(PROBE, 1, &[request("GET", "/", &[]), vec![0xbe]].concat())).await;
            let frames = server.peer.rest().await;
            assert!(is_answered(&frames, PROBE), "{frames:?}");
        }
        server.end().await;
    });
}

fn large(bytes: usize) -> Vec<u8> {
    let filler = [b'y'; 4000];
    let mut block = request("GET", "/no", &[]);
    while block.len() < bytes {
        block.extend(field(b"x", &filler));
    }
    block.extend(indexed(b"x-late", b"1"));
    pieces(1, flag::END_STREAM, &block, FRAME)
}

/// So many references to one large field, each of a byte.
fn bomb(references: usize) -> Vec<u8> {
    let entry = indexed(b"x", &[b'y'; 4000]);
    pieces(1, flag::END_STREAM, &[request("GET", "/no", &[]), entry, vec![0xbe; references]].concat(), FRAME)
}

cases! { too_much;
    a_head_somewhat_larger_than_the_limit: [large(limits::HEAD_BYTES + 5000)] => false;
    a_head_much_larger_than_the_limit: [large(20 * limits::HEAD_BYTES)] => true;
    too_many_fields: [pieces(1, 1, &[
        request("GET", "/no", &[]), field(b"x", b"y").repeat(limits::HEAD_FIELDS), indexed(b"x-late", b"1"),
    ].concat(), FRAME)] => false;
    many_more_fields: [pieces(1, 1, &[
        request("GET", "/no", &[]), field(b"x", b"y").repeat(10_000), indexed(b"x-late", b"1"),
    ].concat(), FRAME)] => true;
    a_small_bomb: [bomb(20)] => false;
    a_bomb: [bomb(10_000)] => true;
    a_large_bomb: [bomb(1_000_000)] => true;
}

/// Fields are counted with what they cost (RFC 9113 §6.5.2), and one short of the limit is served.
#[test]
fn a_head_as_large_as_the_limit_is_served() {
    run(|| async {
        let config = Config { head_bytes: 4096, ..Config::default() };
        for (value, is_served) in [(3500, true), (3900, false), (4097, false)] {
            let mut server = Server::open_with(config.clone(), &[]).await;
            server.peer.send(&headers(1, 1, &request("GET", "/", &[("x", &"y".repeat(value))]))).await;
            let frames = server.peer.rest().await;
            assert_eq!(is_answered(&frames, 1), is_served, "{value} {frames:?}");
            server.probe().await;
        }
    });
}

/// Trailers have a limit as well.
#[test]
fn trailers_larger_than_the_limit_end_the_request() {
    run(|| async {
        let mut server = Server::open().await;
        let fields = field(b"x", &[b'y'; 4000]).repeat(20);
        server.peer.send(&[post(1, "/"), pieces(1, flag::END_STREAM, &fields, FRAME)].concat()).await;
        let frames = server.peer.rest().await;
        assert!(reset_of(&frames, 1).is_some() || error_of(&frames).is_some(), "{frames:?}");
        assert!(server.logged().iter().all(|line| !line.contains("complete")), "{:?}", server.logged());
        server.end().await;
    });
}
