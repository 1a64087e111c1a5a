//! libFuzzer's program for [`leno_fuzz::hygiene`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::hygiene::run(data);
});
