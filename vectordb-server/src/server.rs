//! The life of a server: opening the data, listening, and stopping without losing anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::serve::{Listener, ListenerExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpIncoming};
use vectordb_core::{MemoryLimit, Options};
use vectordb_service::{Access, Fault, Recovery, Service, ServiceError, Settings};

use crate::auth::Auth;
use crate::cluster::{ClusterError, Node};
use crate::config::{Config, RestoreConfig, ServiceConfig};
use crate::tls::{Certificates, TlsError, TlsListener};
use crate::{buckets, fetch, grpc, http};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data cannot be opened.
    #[error(transparent)]
    Data(#[from] ServiceError),
    /// A port is taken, or may not be taken.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// There is no encryption where there should be.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The node takes no part in a cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A thread cannot be made.
    #[error("the data could not be opened: {0}")]
    Aborted(#[from] tokio::task::JoinError),
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    http_address: SocketAddr,
    grpc_address: Option<SocketAddr>,
    service: Arc<Service>,
    node: Option<Node>,
    stop: watch::Sender<bool>,
    doors: Vec<JoinHandle<()>>,
}

/// Opens the data and listens.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config) -> Result<Server, StartError> {
    let certificates = certificates(&config)?;
    let settings = settings(&config)?;
    let options = options(&config);
    let path = config.storage.storage_path.clone();
    let restore = config.restore.clone();
    let peer_id = if config.cluster.enabled { Some(Node::peer_id(&path, &config.cluster)?) } else { None };
    let opened = tokio::task::spawn_blocking(move || {
        let service = handed_over(|| match peer_id {
            Some(peer_id) => Service::open_node(&path, options.clone(), settings.clone(), peer_id),
            None => Service::open(&path, options.clone(), settings.clone()),
        })?;
        restored(&service, &restore)?;
        Ok::<_, ServiceError>(service)
    });
    let service = opened.await??;
    let service = Arc::new(service);
    let auth = Auth::new(&config.service, Arc::clone(&service));
    let node = if config.cluster.enabled { Some(take_part(&config, &service).await?) } else { None };
    let (stop, stopped) = watch::channel(false);
    let (listener, http_address) = listen(SocketAddr::new(config.service.host, config.service.http_port)).await?;
    let grpc = match config.service.grpc_port {
        Some(port) => Some(listen(SocketAddr::new(config.service.host, port)).await?),
        None => None,
    };
    let grpc_address = grpc.as_ref().map(|(_, address)| *address);
    let doors = match certificates {
        Some(certificates) => {
            let encrypted = |listener, address| {
                TlsListener::new(listener, Arc::clone(&certificates)).map_err(|source| StartError::Listen { address, source })
            };
            let rest = encrypted(listener, http_address)?;
            let grpc = grpc.map(|(listener, address)| encrypted(listener, address)).transpose()?;
            // Who waits for new certificates must not keep the data open.
            let told = Arc::downgrade(&service);
            let tell = move |certificates: &Certificates| {
                if let (Some(moment), Some(service)) = (certificates.expires_unix_secs(), told.upgrade()) {
                    service.metrics().certificate(moment);
                }
            };
            tell(&certificates);
            tokio::spawn(certificates.keep_fresh(stopped.clone(), tell));
            open_doors(rest, grpc, &service, &auth, &config.service, &stopped)
        }
        None => {
            let grpc = grpc.map(|(listener, _)| TcpIncoming::from(listener).with_nodelay(Some(true)));
            // A caller is none the worse for small packets that do not wait for each other.
            let rest = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
            open_doors(rest, grpc, &service, &auth, &config.service, &stopped)
        }
    };
    tracing::info!(%http_address, grpc_address = grpc_address.map(tracing::field::display), tls = config.service.enable_tls, "listening");
    Ok(Server { http_address, grpc_address, service, node, stop, doors })
}

/// How long the process before may still have the data open: that of a pod that was deleted by force has two seconds to end, while
/// the next pod starts, and who gave up would be started again only after ten.
const HANDOVER: Duration = Duration::from_secs(10);

/// Opens the data as soon as nobody else has it open.
fn handed_over(open: impl Fn() -> Result<Service, ServiceError>) -> Result<Service, ServiceError> {
    let begun = Instant::now();
    loop {
        match open() {
            Err(error) if error.fault == Fault::Unavailable && begun.elapsed() < HANDOVER => {
                tracing::warn!(%error, "waiting for the data");
                std::thread::sleep(Duration::from_millis(200));
            }
            done => return done,
        }
    }
}

/// Takes part in a cluster.
async fn take_part(config: &Config, service: &Arc<Service>) -> Result<Node, StartError> {
    let mut cluster = config.cluster.clone();
    cluster.p2p.secret = cluster.p2p.secret.or_else(|| config.service.api_key.clone());
    let (listener, address) = listen(SocketAddr::new(config.service.host, cluster.p2p.port)).await?;
    let node = Node::start(&config.storage.storage_path, &cluster, listener, config.tls.as_ref(), service).await?;
    tracing::info!(%address, peer_id = service.peer_id(), "taking part in a cluster");
    Ok(node)
}

/// The certificates to show, if the doors are to be encrypted.
fn certificates(config: &Config) -> Result<Option<Arc<Certificates>>, TlsError> {
    if !config.service.enable_tls {
        return Ok(None);
    }
    let files = config.tls.as_ref().ok_or(TlsError::NoCertificate)?;
    Ok(Some(Arc::new(Certificates::read(files, config.service.verify_https_client_certificate)?)))
}

/// Opens the doors: REST for one kind of connections, and gRPC for another, if it is spoken.
fn open_doors<S>(
    rest: impl Listener<Addr: std::fmt::Debug>,
    grpc: Option<impl Stream<Item = std::io::Result<S>> + Send + 'static>,
    service: &Arc<Service>,
    auth: &Auth,
    config: &ServiceConfig,
    stopped: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>>
where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let slow = Duration::try_from_secs_f64(config.slow_query_secs).unwrap_or(Duration::MAX);
    let rest = tokio::spawn(http::serve(rest, Arc::clone(service), auth.clone(), config.clone(), stopped.clone()));
    let grpc = grpc.map(|grpc| tokio::spawn(grpc::serve(grpc, Arc::clone(service), auth.clone(), slow, stopped.clone())));
    std::iter::once(rest).chain(grpc).collect()
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listening = async {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    listening.await.map_err(|source| StartError::Listen { address, source })
}

/// Recovers what the command line names; what is there already is replaced only if that was said.
fn restored(service: &Service, restore: &RestoreConfig) -> Result<(), ServiceError> {
    let access = &Access::Manage;
    if let Some(path) = &restore.storage_snapshot {
        service.recover_all(&Recovery::from_file(path), restore.force, access)?;
        tracing::info!(snapshot = %path.display(), "recovered");
    }
    for (path, name) in &restore.snapshots {
        if !restore.force && service.exists(name, access)? {
            let message = format!("Collection `{name}` already exists! --force-snapshot replaces it");
            return Err(ServiceError::new(Fault::AlreadyExists, message));
        }
        service.recover_collection(name, &Recovery::from_file(path), access)?;
        tracing::info!(snapshot = %path.display(), collection = name, "recovered");
    }
    Ok(())
}

fn settings(config: &Config) -> Result<Settings, ServiceError> {
    let mut settings = Settings::default();
    settings.allow_string_ids = config.storage.allow_string_ids;
    settings.snapshots_path = Some(config.storage.snapshots_path.clone());
    settings.min_free_disk_bytes = config.storage.min_free_disk_bytes;
    let snapshots = &config.storage.snapshots_config;
    let buckets = buckets::buckets(snapshots.s3_config.clone(), Handle::current());
    settings.snapshots_bucket = snapshots.bucket().map(|bucket| buckets.open(&bucket)).transpose()?;
    settings.buckets = Some(buckets);
    settings.backup_location = snapshots.bucket().map(|bucket| format!("{bucket}/backups"));
    settings.fetch = config.service.enable_snapshot_url_recovery.then(|| fetch::fetch(config));
    if let Some(prefix) = &config.service.metrics_prefix {
        settings.metrics_prefix.clone_from(prefix);
    }
    if let Some(title) = &config.service.title {
        settings.title.clone_from(title);
    }
    Ok(settings)
}

/// How the engine is opened.
pub(crate) fn options(config: &Config) -> Options {
    let options = Options::default();
    match config.storage.memory_limit_bytes {
        Some(bytes) => options.memory_limit(MemoryLimit::Bytes(bytes)),
        None => options,
    }
}

impl Server {
    /// Where REST is spoken.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Where gRPC is spoken, if it is.
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc_address
    }

    /// What the doors call.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Waits until the server can be of no use any more before it is started again, and says why.
    pub async fn failed(&self) -> String {
        match &self.node {
            Some(node) => node.failed().await,
            // What fails alone is written again.
            None => std::future::pending().await,
        }
    }

    /// Takes no more requests, finishes those that came, and closes the data.
    pub async fn stop(self) {
        if let Some(node) = &self.node {
            node.step_aside().await;
        }
        let _ = self.stop.send(true);
        for door in self.doors {
            // A door that panicked has nothing more to finish.
            let _ = door.await;
        }
        if let Some(node) = self.node {
            node.stop().await;
        }
        let service = self.service;
        let closed = tokio::task::spawn_blocking(move || match Arc::into_inner(service) {
            Some(service) => service.close(),
            // Someone of this process still holds it, and closes it by letting go.
            None => Ok(()),
        });
        match closed.await {
            Ok(Ok(())) => tracing::info!("stopped"),
            Ok(Err(error)) => tracing::error!(%error, "not everything could be written"),
            Err(error) => tracing::error!(%error, "closing was cut short"),
        }
    }
}
