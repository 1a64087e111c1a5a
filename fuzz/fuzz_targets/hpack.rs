//! libFuzzer's program for [`leno_fuzz::h2::hpack`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::h2::hpack::run(data);
});
