#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    let _ = m3::checkpoint::probe::adapter_config(text, Path::new("adapter_config.json"));
});
