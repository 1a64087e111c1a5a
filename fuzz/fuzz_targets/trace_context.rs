//! libFuzzer's program for [`leno_fuzz::trace_context`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::trace_context::run(data);
});
