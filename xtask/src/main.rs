//! The repository's own checks: `cargo xtask <command>`.
//!
//! `ci` and `tidy` only read, `fix` writes. Nothing here is part of what is published.

mod ci;
mod clients;
mod e2e;
mod image;
mod k8s;
mod python;
mod rooms;
mod source;
mod tidy;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The repository's own checks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything a change must pass: format, lints, tidy, tests, documentation, examples, stock clients, the Python package, the chart.
    /// Writes nothing but `target`.
    Ci,
    /// The stock clients of other languages against the server.
    Clients,
    /// The Python package: its tests, types and stubs.
    Python,
    /// The chart for Kubernetes, the manifests made of it, and the alert rules.
    K8s {
        /// Make the manifests anew first.
        #[arg(long)]
        write: bool,
    },
    /// Chart, manifests and server on a control plane of Kubernetes, which is built first, for a long time; not part of `ci`.
    #[command(name = "k8s-e2e")]
    K8sE2e {
        /// An older program of the server, to upgrade from.
        #[arg(long)]
        previous: Option<PathBuf>,
        /// Only what is done with containers, under the kubelet of Kubernetes.
        #[arg(long)]
        real: bool,
    },
    /// The container image, of a static program and nothing below it; needs Docker, and no registry.
    Image {
        /// With what the chart of Qdrant calls in its image.
        #[arg(long)]
        drop_in: bool,
        /// Make both images, and try them under the restrictions of the pods.
        #[arg(long)]
        test: bool,
        /// Without optimization.
        #[arg(long)]
        dev: bool,
    },
    /// Formats the sources and applies what clippy can mend by itself.
    Fix,
    /// Floors and cycles between rooms, unsafe code, dependencies, sizes.
    Tidy {
        /// One line of JSON instead of the report.
        #[arg(long)]
        json: bool,
    },
    /// Crash images, corrupted files and killed processes, as many as asked for.
    Crash {
        /// Disk images left behind by a simulated power loss.
        #[arg(long, default_value_t = 1000)]
        images: u64,
        /// Damaged copies of a database's files.
        #[arg(long, default_value_t = 1000)]
        corruptions: u64,
        /// Processes killed while they write.
        #[arg(long, default_value_t = 20)]
        kills: u64,
        /// One line of JSON instead of the report.
        #[arg(long)]
        json: bool,
    },
    /// Runs the corpus of filters, queries and updates.
    Corpus {
        /// One line of JSON instead of the report.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let passed = match Cli::parse().task {
        Task::Ci => ci::run(),
        Task::Clients => ci::clients(),
        Task::Python => ci::python(),
        Task::K8s { write } => k8s::run(write),
        Task::K8sE2e { previous, real } => e2e::run(previous.as_deref(), real),
        Task::Image { drop_in, test, dev } => image::run(drop_in, test, dev),
        Task::Fix => ci::fix(),
        Task::Tidy { json } => tidy::run(json),
        Task::Crash { images, corruptions, kills, json } => {
            let [images, corruptions, kills] = [images, corruptions, kills].map(|count| count.to_string());
            let args = ["all", "--images", &images, "--corruptions", &corruptions, "--kills", &kills];
            harness("faults", &args, json)
        }
        Task::Corpus { json } => harness("corpus", &[], json),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a binary of the benches crate; what it prints is passed through.
fn harness(bin: &str, args: &[&str], json: bool) -> bool {
    let mut command = cargo(&["run", "--quiet", "--release", "-p", "vectordb-benches", "--bin", bin, "--"]);
    command.args(args).args(json.then_some("--json"));
    succeeds(&mut command)
}

/// The top directory of the repository.
fn top() -> PathBuf {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()));
    here.parent().map_or_else(|| here.clone(), PathBuf::from)
}

/// The cargo that runs us, at the top of the repository.
fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(top());
    // What cargo says of us to us: build scripts that watch these would take everything for changed.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of_us| name.to_string_lossy().starts_with(of_us)) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end.
fn succeeds(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("{}: {error}", command.get_program().display());
            false
        }
    }
}
