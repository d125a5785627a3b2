//! The `m3` command line: parse, dispatch, render a failure, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A program that a model wrote is confined by this very program, started again as a helper.
    if let Some(code) = m3::sandbox::helper_main(std::env::args_os()) {
        return code;
    }
    m3::cli::run(std::env::args_os())
}
