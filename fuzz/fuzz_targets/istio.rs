//! libFuzzer's program for [`leno_fuzz::dialects`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::dialects::run(data);
});
