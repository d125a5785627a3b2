#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    let _ = m3::merge::probe::recipe(text, Path::new("recipe.toml"));
});
