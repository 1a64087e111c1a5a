//! libFuzzer's program for [`leno_fuzz::identity::join_token`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::identity::join_token::run(data);
});
