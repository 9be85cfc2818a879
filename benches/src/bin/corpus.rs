//! Runs the corpus of filters and queries in every way the engine has.
//!
//! `cargo run --release -p vectordb-benches --bin corpus`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use indicatif::ProgressBar;
use vectordb_benches::corpus::{Filters, Outcome, Queries, directory};

#[derive(Parser)]
#[command(about = "Runs the corpus of filters and queries in every way the engine has")]
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
    let dir = args.dir.unwrap_or_else(directory);
    let filters = Filters::read(&dir).and_then(|corpus| corpus.run(&|| bar.inc(1)));
    let outcome = filters.and_then(|outcome| {
        let queries = Queries::read(&dir.join("queries"))?.run(&|| bar.inc(1))?;
        Ok(outcome.and(queries))
    });
    bar.finish_and_clear();
    let outcome: Outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("corpus: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Outcome { cases, runners, questions, failures } = outcome;
    let runners = runners.len();
    if args.json {
        println!("{}", serde_json::json!({"cases": cases, "runners": runners, "failures": failures.len()}));
    } else {
        println!("{cases} cases, {runners} runners, {questions} questions, {} failures", failures.len());
    }
    failures.iter().take(40).for_each(|failure| eprintln!("{failure}"));
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
