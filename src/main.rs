//! The `m3` command line: parse, dispatch, render a failure, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A confined program starts as this very program, told by its first argument to be a helper.
    if let Some(code) = m3::sandbox::helper_main(std::env::args_os()) {
        return code;
    }
    m3::cli::run(std::env::args_os())
}
