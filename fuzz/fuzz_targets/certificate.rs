//! libFuzzer's program for [`leno_fuzz::identity::certificate`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::identity::certificate::run(data);
});
