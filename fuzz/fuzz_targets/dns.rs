//! libFuzzer's program for [`leno_fuzz::dns`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::dns::run(data);
});
