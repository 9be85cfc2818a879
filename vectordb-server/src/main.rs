//! `vectordb`: the server and its tools on the command line.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use vectordb_server::config::Config;

/// A vector database that speaks the API of Qdrant.
#[derive(Debug, Parser)]
#[command(name = "vectordb", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve collections over REST and gRPC; what happens without a command, too.
    Serve(Serve),
}

#[derive(Debug, Clone, clap::Args)]
struct Serve {
    /// A file of settings, read after `config/config.yaml` and its like.
    #[arg(long, value_name = "FILE")]
    config_path: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let serve = match arguments.command {
        Some(Command::Serve(serve)) => serve,
        None => arguments.serve,
    };
    match run(&serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vectordb: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(serve: &Serve) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::load(serve.config_path.as_deref())?;
    let filter = EnvFilter::try_new(config.log_level.as_deref().unwrap_or("info").to_lowercase())?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    if config.logger.format.as_deref() == Some("json") {
        logs.json().init();
    } else {
        logs.init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = vectordb_server::start(config).await?;
        told_to_stop().await?;
        server.stop().await;
        Ok(())
    })
}

/// Waits for the signals that ask a process to end.
async fn told_to_stop() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        pressed = tokio::signal::ctrl_c() => pressed,
    }
}
