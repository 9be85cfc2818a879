//! Settings, from files, from the environment and from the command line, the later ones having precedence.
//!
//! Files: `config/config.yaml`, `config/$RUN_MODE.yaml` (`development` if unset), `config/local.yaml` and the one named on the
//! command line; all may be missing but the last. Environment: `VECTORDB__SERVICE__HTTP_PORT=6333`, with `QDRANT__` instead of
//! `VECTORDB__` accepted too, so that a deployment can change over by changing its image. Unknown settings are passed over.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat};
use serde::Deserialize;

/// All settings.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Least severe level that is logged, or a filter like `info,vectordb_server=debug`.
    pub log_level: Option<String>,
    /// How logs are written.
    pub logger: LoggerConfig,
    /// The doors.
    pub service: ServiceConfig,
    /// Where and how data is stored.
    pub storage: StorageConfig,
    /// Peers.
    pub cluster: ClusterConfig,
    /// Certificates.
    pub tls: Option<TlsConfig>,
    /// What to recover before listening; from the command line alone.
    #[serde(skip)]
    pub restore: RestoreConfig,
}

/// Snapshots to recover at the start.
#[derive(Debug, Clone, Default)]
pub struct RestoreConfig {
    /// A snapshot of everything.
    pub storage_snapshot: Option<PathBuf>,
    /// Snapshots of collections, with the names that these are to have.
    pub snapshots: Vec<(PathBuf, String)>,
    /// Whether collections that exist are replaced.
    pub force: bool,
}

/// How logs are written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct LoggerConfig {
    /// `text` or `json`.
    pub format: Option<String>,
}

/// The doors.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct ServiceConfig {
    /// Address to listen at.
    pub host: IpAddr,
    /// Port of REST; 0 takes a free one.
    pub http_port: u16,
    /// Port of gRPC; none: no gRPC. 0 takes a free one.
    pub grpc_port: Option<u16>,
    /// Largest body of a request, in megabytes.
    pub max_request_size_mb: usize,
    /// Whether browsers may call from pages of other hosts.
    pub enable_cors: bool,
    /// Whether REST is encrypted.
    pub enable_tls: bool,
    /// The key that may do everything; empty: none.
    pub api_key: Option<String>,
    /// A second key that may do everything, for the change from one to the other.
    pub alt_api_key: Option<String>,
    /// The key that may read everything.
    pub read_only_api_key: Option<String>,
    /// Whether tokens signed with the key are accepted.
    pub jwt_rbac: bool,
    /// Requests that take longer than this many seconds are logged.
    pub slow_query_secs: f64,
    /// What stands before the names of metrics; `vectordb_` if nothing is said.
    pub metrics_prefix: Option<String>,
    /// Whether snapshots may be recovered from URLs.
    pub enable_snapshot_url_recovery: bool,
    /// What the server calls itself.
    pub title: Option<String>,
    /// Whether the dashboard is served.
    pub enable_static_content: bool,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            host: IpAddr::from([0, 0, 0, 0]),
            http_port: 6333,
            grpc_port: Some(6334),
            max_request_size_mb: 32,
            enable_cors: true,
            enable_tls: false,
            api_key: None,
            alt_api_key: None,
            read_only_api_key: None,
            jwt_rbac: false,
            slow_query_secs: 1.0,
            metrics_prefix: None,
            enable_snapshot_url_recovery: true,
            title: None,
            enable_static_content: true,
        }
    }
}

/// Where and how data is stored.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct StorageConfig {
    /// Directory of collections.
    pub storage_path: PathBuf,
    /// Directory of snapshots.
    pub snapshots_path: PathBuf,
    /// Accept ids that are neither numbers nor UUIDs.
    pub allow_string_ids: bool,
    /// Where snapshots and backups lie.
    pub snapshots_config: SnapshotsConfig,
    /// Bytes of memory that may be taken; four fifths of what the control group or the machine has, if nothing is said.
    pub memory_limit_bytes: Option<u64>,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            storage_path: PathBuf::from("./storage"),
            snapshots_path: PathBuf::from("./snapshots"),
            allow_string_ids: false,
            snapshots_config: SnapshotsConfig::default(),
            memory_limit_bytes: None,
        }
    }
}

/// Where snapshots and backups lie.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SnapshotsConfig {
    /// `s3` brings snapshots, and backups that name no place, into the bucket below.
    pub snapshots_storage: SnapshotsStorage,
    /// How buckets are reached.
    pub s3_config: Option<S3Config>,
}

/// A kind of place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotsStorage {
    /// The directory of snapshots.
    #[default]
    Local,
    /// A bucket.
    S3,
}

/// How buckets are reached. What is not said is taken from the environment (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, …), or from the
/// identity of the machine or the pod.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct S3Config {
    /// Name of the bucket.
    pub bucket: String,
    /// Region of the bucket.
    pub region: String,
    /// Who asks.
    pub access_key: String,
    /// The secret of who asks.
    pub secret_key: String,
    /// Where a service is that is not Amazon's, as in `http://minio:9000`.
    pub endpoint_url: Option<String>,
}

impl std::fmt::Debug for S3Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys do not go to the log.
        let Self { bucket, region, endpoint_url, .. } = self;
        f.debug_struct("S3Config")
            .field("bucket", bucket)
            .field("region", region)
            .field("endpoint_url", endpoint_url)
            .finish_non_exhaustive()
    }
}

impl SnapshotsConfig {
    /// The bucket for snapshots and backups, as `s3://BUCKET`; none: all is in the directory of snapshots.
    pub fn bucket(&self) -> Option<String> {
        let name = self.s3_config.as_ref().map_or("", |config| &config.bucket);
        (self.snapshots_storage == SnapshotsStorage::S3).then(|| format!("s3://{name}"))
    }
}

/// Peers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ClusterConfig {
    /// Whether there may be other peers.
    pub enabled: bool,
}

/// Certificates.
#[derive(Debug, Clone, Deserialize)]
pub struct TlsConfig {
    /// Chain of certificates, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Who signed the certificates of callers, PEM.
    #[serde(default)]
    pub ca_cert: Option<PathBuf>,
    /// Seconds after which the files are read again.
    #[serde(default)]
    pub cert_ttl: Option<u64>,
}

/// Why settings cannot be read.
pub type ConfigError = config::ConfigError;

impl Config {
    /// Reads all layers; `named` is the file of the command line.
    ///
    /// # Errors
    /// A file that cannot be read, and a setting of the wrong type.
    pub fn load(named: Option<&Path>) -> Result<Self, ConfigError> {
        let mode = std::env::var("RUN_MODE").unwrap_or_else(|_| "development".to_owned());
        let optional = |path: &str| File::new(path, FileFormat::Yaml).required(false);
        let mut layers = config::Config::builder()
            .add_source(optional("config/config.yaml"))
            .add_source(optional(&format!("config/{mode}.yaml")))
            .add_source(optional("config/local.yaml"));
        if let Some(path) = named {
            layers = layers.add_source(File::from(path).format(FileFormat::Yaml));
        }
        for prefix in ["QDRANT", "VECTORDB"] {
            let environment = Environment::with_prefix(prefix).prefix_separator("__").separator("__");
            layers = layers.add_source(environment.try_parsing(true).ignore_empty(true));
        }
        layers.build()?.try_deserialize()
    }
}
