//! libFuzzer's program for [`leno_fuzz::identity::pem`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::identity::pem::run(data);
});
