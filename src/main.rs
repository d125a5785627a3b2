//! The `m3` command line: parse, dispatch, render a failure, exit code.
fn main() {}
