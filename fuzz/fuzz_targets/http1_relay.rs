//! libFuzzer's program for [`leno_fuzz::http1::relay`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::http1::relay::run(data);
});
