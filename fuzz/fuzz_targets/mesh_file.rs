//! libFuzzer's program for [`leno_fuzz::mesh_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = leno_fuzz::mesh_file::run(data);
});
