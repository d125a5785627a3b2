//! The `m3` command line: parse, dispatch, render a failure, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = m3::sandbox::helper_main(std::env::args_os()) {
        return code;
    }
    ExitCode::SUCCESS
}
