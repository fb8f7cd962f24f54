//! `switchback`: see [`switchback::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    switchback::cli::main()
}
