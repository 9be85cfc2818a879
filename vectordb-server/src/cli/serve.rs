//! The server.

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use crate::cluster::ClusterError;
use crate::config::{Config, RestoreConfig};
use crate::lane;
use crate::server::StartError;
use crate::trace::Logs;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Serve {
    /// A file of settings, read after `config/config.yaml` and its like.
    #[arg(long, value_name = "FILE")]
    config_path: Option<PathBuf>,
    /// Where the other nodes of a cluster reach this one, as in http://node-1:6335.
    #[arg(long, env = "QDRANT_URI", value_name = "URI")]
    uri: Option<String>,
    /// Where any node of the cluster to join is reached.
    #[arg(long, env = "QDRANT_BOOTSTRAP", value_name = "URI")]
    bootstrap: Option<String>,
    /// A snapshot of a collection to recover before serving, and the collection's name; may be given several times.
    #[arg(long, value_name = "PATH:NAME", value_parser = snapshot_and_name)]
    snapshot: Vec<(PathBuf, String)>,
    /// A snapshot of everything to recover before serving.
    #[arg(long, value_name = "PATH")]
    storage_snapshot: Option<PathBuf>,
    /// Let recovered collections replace those that exist.
    #[arg(long)]
    force_snapshot: bool,
}

/// Takes `PATH:NAME` apart at its last colon, which no collection's name has.
fn snapshot_and_name(text: &str) -> Result<(PathBuf, String), String> {
    match text.rsplit_once(':') {
        Some((path, name)) if !path.is_empty() && !name.is_empty() => Ok((path.into(), name.to_owned())),
        _ => Err("expected PATH:NAME".to_owned()),
    }
}

pub(super) fn run(serve: &Serve) -> Result<(), Failure> {
    serve_until_told(serve).map_err(|error| match error.downcast_ref() {
        Some(StartError::Cluster(ClusterError::Refused { .. })) => Failure::refused(error.to_string()),
        _ => Failure::new(error.to_string()),
    })
}

fn serve_until_told(serve: &Serve) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::load(serve.config_path.as_deref())?;
    config.restore =
        RestoreConfig { storage_snapshot: serve.storage_snapshot.clone(), snapshots: serve.snapshot.clone(), force: serve.force_snapshot };
    config.cluster.uri = serve.uri.clone().or(config.cluster.uri);
    config.cluster.bootstrap = serve.bootstrap.clone().or(config.cluster.bootstrap);
    let logs = Logs::start(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().max_blocking_threads(lane::THREADS).enable_all().build()?;
    let served = runtime.block_on(async {
        // From here on, as the first process of a container is deaf to signals for which it does not ask.
        let mut told = Told::listening()?;
        let server = tokio::select! {
            server = crate::server::start(config) => server?,
            () = told.heard() => return Ok(false),
        };
        say_initialized()?;
        let failed = tokio::select! {
            () = told.heard() => None,
            reason = server.failed() => Some(reason),
        };
        server.stop().await;
        failed.map_or(Ok(true), |reason| Err(reason.into()))
    });
    logs.finish();
    if matches!(served, Ok(false)) {
        // Nobody waits until all data is open, only to close it.
        runtime.shutdown_background();
    }
    served.map(|_| ())
}

/// Makes the file of `QDRANT_INIT_FILE_PATH`, by which others see that the server has started.
fn say_initialized() -> std::io::Result<()> {
    match std::env::var_os("QDRANT_INIT_FILE_PATH").filter(|path| !path.is_empty()) {
        Some(path) => std::fs::write(path, ""),
        None => Ok(()),
    }
}

/// The signals that ask a process to end.
struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    fn listening() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one of them.
    async fn heard(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
