//! `vectordb`: the server and its tools on the command line.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    vectordb_server::cli::run()
}
