#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    let _ = m3::checkpoint::probe::safetensors_index(text, Path::new("model.safetensors.index.json"));
});
