#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Write;

// The readers work on files, at offsets. A temporary file in memory (/dev/shm as TMPDIR) keeps that quick.
fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    let _ = m3::checkpoint::probe::safetensors_header(file.path());
});
