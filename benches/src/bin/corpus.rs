//! Runs the corpus of filters in every way the engine has.
//!
//! `cargo run --release -p vectordb-benches --bin corpus`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use indicatif::ProgressBar;
use vectordb_benches::corpus::{Corpus, Outcome};

#[derive(Parser)]
#[command(about = "Runs the corpus of filters in every way the engine has")]
struct Args {
    /// Where the data files are, if not in the checkout.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// One line of JSON instead of the report.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let bar = ProgressBar::new_spinner().with_message("cases");
    let outcome = Corpus::read(&args.dir.unwrap_or_else(Corpus::directory)).and_then(|corpus| corpus.run(&|| bar.inc(1)));
    bar.finish_and_clear();
    let outcome: Outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("corpus: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Outcome { cases, runners, questions, failures } = outcome;
    if args.json {
        println!("{}", serde_json::json!({"cases": cases, "runners": runners, "failures": failures.len()}));
    } else {
        println!("{cases} cases, {runners} runners, {questions} questions, {} failures", failures.len());
    }
    failures.iter().take(40).for_each(|failure| eprintln!("{failure}"));
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
