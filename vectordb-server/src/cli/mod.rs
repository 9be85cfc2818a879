//! The command line: the server, and tools around it and its data.
//!
//! A tool speaks to a running server over REST (`--uri`), or opens a directory of data that no server has open
//! (`--storage-path`). What is asked for goes to the standard output, everything else to the standard error.
//!
//! Files: `serve`, `backup` (and restore, verify, backups, prune), `snapshot`, `import`, `export`, `size`, `bench`, `check`,
//! `selftest`, `ctl` (the nodes of a cluster), and what they share: `npy` (tables of NumPy), `parquet` (tables of points), `client` (REST
//! from the caller's side), `place` (where backups lie), `failure` (exit codes), `output` (progress and numbers).

mod backup;
mod bench;
mod check;
mod client;
mod ctl;
mod export;
mod failure;
mod import;
mod npy;
mod output;
mod parquet;
mod place;
mod selftest;
mod serve;
mod size;
mod snapshot;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A vector database that speaks the API of Qdrant.
#[derive(Debug, Parser)]
#[command(name = "vectordb", version, after_help = failure::EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve collections over REST and gRPC; what happens without a command, too.
    Serve(serve::Serve),
    /// Back up to a bucket of S3 or to a directory: only what is not there yet is sent.
    Backup(backup::Backup),
    /// Make collections of a backup, after checking all of it.
    Restore(backup::Restore),
    /// Read every object of backups again, and name what is damaged.
    Verify(backup::Verify),
    /// List backups.
    Backups(backup::Backups),
    /// Delete all backups but the newest.
    Prune(backup::Prune),
    /// Make, list, get, delete and recover snapshots of a running server.
    Snapshot(snapshot::Snapshot),
    /// Store the points of a file.
    Import(import::Import),
    /// Write points to a file.
    Export(export::Export),
    /// Tell what a collection will take of memory and disk.
    Size(size::Size),
    /// Measure how fast a running server answers searches.
    Bench(bench::Bench),
    /// Look after the nodes of a running cluster.
    Ctl(ctl::Ctl),
    /// Compare every file of a directory of data with its checksums.
    Check(check::Check),
    /// Try a running server: make a collection, write, search, take a snapshot, and delete all of it.
    #[command(name = "selftest")]
    SelfTest(selftest::SelfTest),
}

/// Does what the arguments of the process ask for, and says how it went.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        None => serve::run(&arguments.serve),
        Some(Command::Serve(serve)) => serve::run(&serve),
        Some(Command::Backup(backup)) => backup::back_up(&backup),
        Some(Command::Restore(restore)) => backup::restore(&restore),
        Some(Command::Verify(verify)) => backup::verify(&verify),
        Some(Command::Backups(backups)) => backup::list(&backups),
        Some(Command::Prune(prune)) => backup::prune(&prune),
        Some(Command::Snapshot(snapshot)) => snapshot::run(&snapshot),
        Some(Command::Import(import)) => import::run(&import),
        Some(Command::Export(export)) => export::run(&export),
        Some(Command::Size(size)) => size::run(&size),
        Some(Command::Bench(bench)) => bench::run(&bench),
        Some(Command::Ctl(ctl)) => ctl::run(&ctl),
        Some(Command::Check(check)) => check::run(&check),
        Some(Command::SelfTest(selftest)) => selftest::run(&selftest),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("vectordb: {failure}");
            failure.code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
