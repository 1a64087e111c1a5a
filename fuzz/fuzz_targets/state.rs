//! libFuzzer's program for [`leno_fuzz::discovery::state`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::discovery::state::run(data);
});
