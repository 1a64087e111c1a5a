//! libFuzzer's program for [`leno_fuzz::discovery::open`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::discovery::open::run(data);
});
