//! libFuzzer's program for [`leno_fuzz::identity::signing_request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::identity::signing_request::run(data);
});
