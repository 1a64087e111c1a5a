//! Answers that a client meets with: malformed ones, bodies and trailers (RFC 9113 §8.1, §8.2, §8.3.2).

use leno_model::failure::Failure;

use super::client::Expect::{Answers, Either, Goaway, Malformed, Reset, Tolerated};
use super::client::{Client, answer, check, check_head, outcome};
use super::hpack::{block, field, indexed};
use super::wire::{FRAME, code, continuation, data, flag, frame, headers, kind, padded};
use super::{Steps, cases, in_turn, run};

/// A whole answer of these fields.
fn of(fields: &[(&str, &str)]) -> Vec<u8> {
    headers(1, flag::END_STREAM, &block(fields))
}

/// A whole answer with one more field, which may hold any bytes.
fn odd(name: &[u8], value: &[u8]) -> Vec<u8> {
    headers(1, flag::END_STREAM, &[block(&[OK]), field(name, value)].concat())
}

/// A head that announces a length.
fn announced(length: &str) -> Vec<u8> {
    headers(1, 0, &block(&[OK, ("content-length", length)]))
}

fn trailers(fields: &[(&str, &str)]) -> Vec<u8> {
    of(fields)
}

const OK: (&str, &str) = (":status", "200");

/// Whoever finds a malformed answer after its head has come may just cancel.
const MALFORMED: &[u32] = &[code::PROTOCOL, code::CANCEL];

cases! { check;
    an_answer_without_a_body: [answer(1, 200, 1)] => Answers(200, 0, 0);
    an_answer_with_a_body: [answer(1, 200, 0), data(1, 0, b"hello"), data(1, 1, b"x")] => Answers(200, 6, 0);
    an_answer_with_trailers: [answer(1, 200, 0), data(1, 0, b"hello"), trailers(&[("x-sum", "1")])]
        => Answers(200, 5, 1);
    an_answer_with_trailers_alone: [answer(1, 200, 0), trailers(&[("x-sum", "1")])] => Answers(200, 0, 1);
    an_answer_with_empty_data: [answer(1, 404, 0), data(1, 0, b""), data(1, 1, b"")] => Answers(404, 0, 0);
    an_answer_with_padding: [
        headers(1, flag::PADDED, &padded(&block(&[OK]), 5)),
        data(1, flag::PADDED, &padded(b"hello", 250)), data(1, 9, &padded(b"", 1)),
    ] => Answers(200, 5, 0);
    an_answer_in_two_frames: [frame(kind::HEADERS, 1, 1, &block(&[OK])[..5]), continuation(1, 4, &block(&[OK])[5..])]
        => Answers(200, 0, 0);
    an_answer_from_the_table: [headers(1, 1, &[0x8d])] => Answers(404, 0, 0);
    an_answer_step_by_step: in_turn([answer(1, 200, 0), data(1, 0, b"he"), data(1, 0, b"llo"), trailers(&[("x", "y")])])
        => Answers(200, 5, 1);

    // Interim answers (RFC 9110 §15.2).
    an_interim_answer: [answer(1, 103, 0), answer(1, 200, 1)] => Answers(200, 0, 0);
    some_interim_answers: [answer(1, 100, 0), answer(1, 102, 0), answer(1, 103, 0).repeat(8), answer(1, 204, 1)]
        => Answers(204, 0, 0);
    interim_answers_for_ever: [answer(1, 103, 0).repeat(1000)] => Either(&[code::PROTOCOL, code::CANCEL, code::CALM]);
    an_interim_answer_that_ends: [answer(1, 103, 1)] => Malformed;
    an_interim_answer_with_data: [answer(1, 103, 0), data(1, 1, b"x")] => Either(&[code::PROTOCOL]);
    an_interim_answer_with_a_length:
        [headers(1, 0, &block(&[(":status", "103"), ("content-length", "5")])), answer(1, 200, 1)] => Tolerated(&[]);
    an_upgrade: [answer(1, 101, 0)] => Reset(MALFORMED);
    an_upgrade_that_ends: [answer(1, 101, 1)] => Malformed;

    // The order of frames (RFC 9113 §8.1).
    data_before_the_head: [data(1, 0, b"x"), answer(1, 200, 1)] => Either(&[code::PROTOCOL]);
    the_end_before_the_head: [data(1, 1, b"")] => Either(&[code::PROTOCOL]);
    a_second_head: [answer(1, 200, 0), answer(1, 200, 0)] => Either(MALFORMED);
    a_second_head_that_ends: [answer(1, 200, 0), answer(1, 200, 1)] => Malformed;
    an_interim_answer_after_the_head: [answer(1, 200, 0), answer(1, 103, 0), data(1, 1, b"x")]
        => Either(MALFORMED);
    trailers_that_do_not_end_an_answer: [answer(1, 200, 0), headers(1, 0, &block(&[("x", "y")]))]
        => Either(MALFORMED);
    data_after_an_answer: [answer(1, 200, 1), data(1, 0, b"x")] => Tolerated(&[code::STREAM_CLOSED, code::PROTOCOL]);
    a_head_after_an_answer: [answer(1, 200, 1), answer(1, 200, 1)] => Tolerated(&[code::STREAM_CLOSED, code::PROTOCOL]);
    data_after_trailers_of_an_answer: [answer(1, 200, 0), trailers(&[("x", "y")]), data(1, 0, b"x")]
        => Tolerated(&[code::STREAM_CLOSED, code::PROTOCOL]);

    // Status (RFC 9113 §8.3.2).
    no_status: [of(&[("x", "y")])] => Malformed;
    no_fields: [of(&[])] => Malformed;
    two_statuses: [of(&[OK, OK])] => Malformed;
    two_different_statuses: [of(&[OK, (":status", "404")])] => Malformed;
    a_status_behind_a_field: [of(&[("x", "y"), OK])] => Malformed;
    an_empty_status: [of(&[(":status", "")])] => Malformed;
    a_status_of_text: [of(&[(":status", "abc")])] => Malformed;
    a_status_of_two_digits: [of(&[(":status", "20")])] => Malformed;
    a_status_of_four_digits: [of(&[(":status", "2000")])] => Malformed;
    a_status_with_a_reason: [of(&[(":status", "200 OK")])] => Malformed;
    a_status_below_100: [of(&[(":status", "099")])] => Malformed;
    a_status_with_a_sign: [of(&[(":status", "+20")])] => Malformed;
    a_method_in_an_answer: [of(&[OK, (":method", "GET")])] => Malformed;
    a_path_in_an_answer: [of(&[OK, (":path", "/")])] => Malformed;
    an_authority_in_an_answer: [of(&[(":authority", "a"), OK])] => Malformed;
    a_protocol_in_an_answer: [of(&[OK, (":protocol", "websocket")])] => Malformed;
    an_unknown_pseudo_field_in_an_answer: [of(&[OK, (":x", "y")])] => Malformed;

    // Fields.
    an_answer_with_a_name_in_upper_case: [odd(b"X", b"y")] => Malformed;
    an_answer_with_an_empty_name: [odd(b"", b"y")] => Malformed;
    an_answer_with_a_space_in_a_name: [odd(b"x y", b"z")] => Malformed;
    an_answer_with_a_colon_in_a_name: [odd(b"x:", b"y")] => Malformed;
    an_answer_with_a_line_in_a_name: [odd(b"x: y\r\nz", b"y")] => Malformed;
    an_answer_with_a_high_byte_in_a_name: [odd(b"x\xff", b"y")] => Malformed;
    an_answer_with_a_line_in_a_value: [odd(b"x", b"y\r\nset-cookie: z")] => Malformed;
    an_answer_with_nul_in_a_value: [odd(b"x", b"y\0")] => Malformed;
    an_answer_with_a_space_at_the_start_of_a_value: [odd(b"x", b" y")] => Malformed;
    an_answer_with_a_space_at_the_end_of_a_value: [odd(b"x", b"y ")] => Malformed;
    an_answer_with_high_bytes_in_a_value: [odd(b"x", b"\x80\xff")] => Answers(200, 0, 0);
    an_answer_with_connection: [odd(b"connection", b"close")] => Malformed;
    an_answer_with_keep_alive: [odd(b"keep-alive", b"timeout=5")] => Malformed;
    an_answer_with_transfer_encoding: [odd(b"transfer-encoding", b"chunked")] => Malformed;
    an_answer_with_upgrade: [odd(b"upgrade", b"h2c")] => Malformed;
    an_answer_with_proxy_connection: [odd(b"proxy-connection", b"close")] => Malformed;
    trailers_of_an_answer_with_a_status: [answer(1, 200, 0), data(1, 0, b"x"), trailers(&[OK])] => Malformed;
    trailers_of_an_answer_with_a_path: [answer(1, 200, 0), data(1, 0, b"x"), trailers(&[(":path", "/")])] => Malformed;
    trailers_of_an_answer_in_upper_case: [answer(1, 200, 0), data(1, 0, b"x"), trailers(&[("X", "y")])] => Malformed;
    trailers_of_an_answer_with_connection:
        [answer(1, 200, 0), data(1, 0, b"x"), trailers(&[("connection", "close")])] => Malformed;

    // Lengths (RFC 9113 §8.1.1).
    a_length_that_is_kept: [announced("5"), data(1, 0, b"he"), data(1, 1, b"llo")] => Answers(200, 5, 0);
    a_length_that_is_kept_with_trailers: [announced("5"), data(1, 0, b"hello"), trailers(&[("x", "y")])]
        => Answers(200, 5, 1);
    a_length_that_padding_does_not_count_for: [announced("5"), data(1, 9, &padded(b"hello", 9))] => Answers(200, 5, 0);
    a_body_too_short: [announced("5"), data(1, 1, b"hell")] => Malformed;
    a_body_too_short_with_trailers: [announced("5"), data(1, 0, b"hell"), trailers(&[("x", "y")])] => Malformed;
    a_body_too_long: [announced("5"), data(1, 1, b"hello!")] => Malformed;
    a_body_too_long_before_its_end: in_turn([announced("5"), data(1, 0, b"hello!")]) => Reset(MALFORMED);
    a_body_where_none_was_announced: [announced("0"), data(1, 1, b"x")] => Malformed;
    no_body_where_one_was_announced: [of(&[OK, ("content-length", "5")])] => Malformed;
    an_answer_with_a_length_of_text: [announced("abc"), data(1, 1, b"hello")] => Malformed;
    an_answer_with_a_negative_length: [announced("-1"), data(1, 1, b"hello")] => Malformed;
    an_answer_with_a_huge_length: [announced("99999999999999999999"), data(1, 1, b"hello")] => Malformed;
    an_answer_with_two_lengths:
        [headers(1, 0, &block(&[OK, ("content-length", "5"), ("content-length", "6")])), data(1, 1, b"hello")]
        => Malformed;
    a_304_with_a_length: [of(&[(":status", "304"), ("content-length", "5")])] => Answers(304, 0, 0);

    // Blocks that are too large, or broken.
    an_answer_with_a_broken_block: [headers(1, 1, &[0x88, 0x80])] => Goaway(&[code::COMPRESSION]);
    an_answer_with_a_truncated_block: [headers(1, 1, &[0x88, 0x00, 0x05])] => Goaway(&[code::COMPRESSION]);
    an_answer_torn_by_data: [frame(kind::HEADERS, 0, 1, &[0x88]), data(1, 1, b"x")] => Goaway(&[code::PROTOCOL]);
    an_answer_torn_by_another: [frame(kind::HEADERS, 0, 1, &[0x88]), continuation(3, 4, b"")]
        => Goaway(&[code::PROTOCOL]);
    an_answer_that_never_ends: [frame(kind::HEADERS, 0, 1, &[0x88]), continuation(1, 0, b"").repeat(10_000)]
        => Goaway(&[code::CALM, code::PROTOCOL]);
}

/// Answers that are much too large fail, and may end the connection.
#[test]
fn heads_much_larger_than_the_limit() {
    run(|| async {
        for fields in [
            [indexed(b"x", &[b'y'; 4000]), vec![0xbe; 100_000]].concat(),
            field(b"x", b"y").repeat(5000),
            field(b"x", &[b'y'; 4000]).repeat(1000),
        ] {
            let mut client = Client::open().await;
            let mut response = client.get().await;
            client.heard(1).await;
            let Steps(steps) = large(&fields);
            client.peer.send(&steps.concat()).await;
            let frames = client.peer.rest().await;
            assert_eq!(outcome(&mut response).await, Err(Failure::UpstreamProtocol), "{frames:?}");
            client.end().await;
        }
    });
}

/// An answer with such fields, in frames that are as large as allowed.
fn large(fields: &[u8]) -> Steps {
    let block = [&[0x88], fields].concat();
    let mut chunks = block.chunks(FRAME);
    let mut bytes = frame(kind::HEADERS, flag::END_STREAM, 1, chunks.next().unwrap_or_default());
    bytes.extend(chunks.flat_map(|chunk| continuation(1, 0, chunk)));
    bytes.extend(continuation(1, flag::END_HEADERS, b""));
    bytes.into()
}

cases! { check_head;
    an_answer_to_head: [answer(1, 200, 1)] => Answers(200, 0, 0);
    an_answer_to_head_with_a_length: [of(&[OK, ("content-length", "5")])] => Answers(200, 0, 0);
    an_answer_to_head_with_an_empty_frame: [announced("5"), data(1, 1, b"")] => Answers(200, 0, 0);
}

/// RFC 9110 §9.3.2: there is none, whatever the server thinks.
#[test]
fn an_answer_to_head_has_no_body() {
    check_head(
        || [headers(1, 0, &block(&[OK, ("content-length", "5")])), data(1, 1, b"hello")].into(),
        Either(MALFORMED),
    );
}

/// A head that is somewhat too large fails alone, and its fields enter the table.
#[test]
fn a_head_larger_than_the_limit_fails_alone() {
    run(|| async {
        let mut client = Client::open().await;
        let mut response = client.get().await;
        client.heard(1).await;
        let fields = [field(b"x", &[b'y'; 4000]).repeat(16), indexed(b"content-length", b"0")].concat();
        let Steps(steps) = large(&fields);
        client.peer.send(&steps.concat()).await;
        outcome(&mut response).await.expect_err("too large");
        drop(response);
        let mut response = client.get().await;
        client.heard(3).await;
        client.peer.send(&headers(3, flag::END_STREAM, &[0x88, 0xbe])).await;
        assert_eq!(outcome(&mut response).await, Ok((200, 0, 0)));
        client.probe(5).await;
        client.end().await;
    });
}

/// Fields of answers that nobody waits for enter the table nevertheless.
#[test]
fn answers_to_dropped_requests_keep_the_table() {
    run(|| async {
        let mut client = Client::open().await;
        let response = client.get().await;
        client.heard(1).await;
        drop(response);
        assert_eq!(client.peer.expect(kind::RST_STREAM, 1).await.code(), code::CANCEL);
        client.peer.send(&headers(1, 0, &[&[0x88], &indexed(b"x-late", b"1")[..]].concat())).await;
        client.peer.send(&[data(1, 0, b"late"), trailers(&[("x", "y")])].concat()).await;
        let mut response = client.get().await;
        client.heard(3).await;
        client.peer.send(&headers(3, flag::END_STREAM, &[0x88, 0xbe])).await;
        assert_eq!(outcome(&mut response).await, Ok((200, 0, 0)));
        client.end().await;
    });
}
