#![no_main]

use libfuzzer_sys::fuzz_target;
use m3::checkpoint::{Gguf, TensorSource};
use std::io::Write;

// The readers work on files, at offsets. A temporary file in memory (/dev/shm as TMPDIR) keeps that quick.
fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    if let Ok(model) = Gguf::open(file.path()) {
        for (name, _) in model.manifest().iter() {
            let _ = model.read_all(name);
        }
    }
});
