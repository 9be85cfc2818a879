//! Crash images, failing calls, damaged files and killed processes: nothing acknowledged may be lost, nothing invented.
//!
//! `cargo run --release -p vectordb-benches --bin faults -- all --images 100000 --corruptions 20000 --kills 200`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use vectordb_benches::faults::{Report, corruption, images, io_errors, kills};

#[derive(Parser)]
#[command(about = "Crash images, failing calls, damaged files and killed processes")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Everything.
    All(Amounts),
    /// Only disk images after a loss of power.
    Images(Amounts),
    /// Only failing calls.
    Errors(Amounts),
    /// Only damaged files.
    Corruptions(Amounts),
    /// Only killed processes.
    Kills(Amounts),
    /// A process to be killed; the others call it.
    #[command(hide = true)]
    Child {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        sync: bool,
        #[arg(long, value_delimiter = ',')]
        next: Vec<u64>,
    },
}

#[derive(Args, Clone, Copy)]
struct Amounts {
    /// Disk images left behind by a loss of power.
    #[arg(long, default_value_t = 1000)]
    images: u64,
    /// Damaged copies of a database's files.
    #[arg(long, default_value_t = 1000)]
    corruptions: u64,
    /// Processes killed while they write.
    #[arg(long, default_value_t = 20)]
    kills: u64,
    /// Workloads of which every call to the file system fails once.
    #[arg(long, default_value_t = 2)]
    workloads: u64,
    /// What everything random is made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For images: the control of the method. Syncs do nothing, and the run passes only if losses are found.
    #[arg(long)]
    without_syncs: bool,
    /// One line of JSON instead of the report.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (amounts, parts) = match cli.what {
        What::Child { dir, seed, sync, next } => {
            return match kills::child(&dir, seed, sync, &next) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("child: {error}");
                    ExitCode::FAILURE
                }
            };
        }
        What::All(amounts) => (amounts, [true; 4]),
        What::Images(amounts) => (amounts, [true, false, false, false]),
        What::Errors(amounts) => (amounts, [false, true, false, false]),
        What::Corruptions(amounts) => (amounts, [false, false, true, false]),
        What::Kills(amounts) => (amounts, [false, false, false, true]),
    };
    // A panic is counted with its trial; its message comes with the report.
    std::panic::set_hook(Box::new(|_| {}));
    let start = Instant::now();
    let report = match run(amounts, parts) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("faults: {error}");
            return ExitCode::FAILURE;
        }
    };
    if amounts.json {
        println!("{}", serde_json::json!(report));
    } else {
        print(&report, start);
    }
    report.failures.iter().for_each(|failure| eprintln!("{failure}"));
    let passed = if amounts.without_syncs { report.lost > 0 } else { report.is_clean() };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(amounts: Amounts, [images, errors, corruptions, kills]: [bool; 4]) -> std::io::Result<Report> {
    let mut report = Report::default();
    if images {
        let bar = bar(amounts.images, "images");
        let plan = images::Plan { images: amounts.images, seed: amounts.seed, ignore_syncs: amounts.without_syncs };
        report += images::run(plan, &|count| bar.inc(count));
        bar.finish_and_clear();
    }
    if errors {
        let bar = bar(amounts.workloads, "workloads with failing calls");
        report += io_errors::run(amounts.workloads, amounts.seed, &|count| bar.inc(count));
        bar.finish_and_clear();
    }
    if corruptions {
        let bar = bar(amounts.corruptions, "damaged copies");
        report += corruption::run(amounts.corruptions, amounts.seed, &|count| bar.inc(count));
        bar.finish_and_clear();
    }
    if kills {
        let bar = bar(amounts.kills, "killed processes");
        report += kills::run(amounts.kills, amounts.seed, &kills::this_program()?, &|count| bar.inc(count))?;
        bar.finish_and_clear();
    }
    Ok(report)
}

fn bar(count: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} {eta}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count).with_style(style).with_message(what)
}

fn print(report: &Report, start: Instant) {
    let rows = [
        ("crash images", report.images),
        ("failing calls", report.io_errors),
        ("damaged copies", report.corruptions),
        ("killed processes", report.kills),
        ("acknowledged updates looked for", report.acked),
        ("lost", report.lost),
        ("phantom", report.phantom),
        ("panics", report.panics),
    ];
    for (what, count) in rows {
        println!("{what:<32} {count:>12}");
    }
    println!("{:<32} {:>10.1} s", "took", start.elapsed().as_secs_f64());
}
