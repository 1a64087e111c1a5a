//! libFuzzer's program for [`leno_fuzz::detect`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::detect::run(data);
});
