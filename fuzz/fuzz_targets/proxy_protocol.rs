//! libFuzzer's program for [`leno_fuzz::proxy_protocol`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::proxy_protocol::run(data);
});
