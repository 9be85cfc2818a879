//! Settings, from files, from the environment and from the command line, the later ones having precedence.
//!
//! Files: `config/config.yaml`, `config/$RUN_MODE.yaml` (`development` if unset), `config/local.yaml` and the one named on the
//! command line; all may be missing but the last. Environment: `VECTORDB__SERVICE__HTTP_PORT=6333`, with `QDRANT__` instead of
//! `VECTORDB__` accepted too, so that a deployment can change over by changing its image. Unknown settings are passed over.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat};
use serde::{Deserialize, Deserializer};

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
    /// Traces for a collector of one's own; nothing is sent to anybody else, ever.
    pub telemetry: TelemetryConfig,
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
    /// Whether REST and gRPC are encrypted.
    pub enable_tls: bool,
    /// Whether callers need a certificate that `tls.ca_cert` signed.
    pub verify_https_client_certificate: bool,
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
    /// Whether snapshots may be recovered from URLs, of hosts that [`SnapshotsConfig::recovery_allowed_hosts`] lists.
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
            verify_https_client_certificate: false,
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
    /// Where snapshots and backups lie, and which come here.
    pub snapshots_config: SnapshotsConfig,
    /// Bytes of memory that may be taken; four fifths of what the control group or the machine has, if nothing is said.
    pub memory_limit_bytes: Option<u64>,
    /// Free bytes of the disk below which nothing is added, only read and deleted; a twentieth of the disk, but at most a
    /// gigabyte and at least 128 megabytes, if nothing is said.
    pub min_free_disk_bytes: Option<u64>,
}

/// A list, or a text of parts with commas between them, as environment variables have it.
fn listed<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::List(list) => list,
        Form::Text(text) => text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect(),
    })
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            storage_path: PathBuf::from("./storage"),
            snapshots_path: PathBuf::from("./snapshots"),
            allow_string_ids: false,
            snapshots_config: SnapshotsConfig::default(),
            memory_limit_bytes: None,
            min_free_disk_bytes: None,
        }
    }
}

/// Where snapshots and backups lie, and which come here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SnapshotsConfig {
    /// `s3` brings snapshots, and backups that name no place, into the bucket below.
    pub snapshots_storage: SnapshotsStorage,
    /// How buckets are reached.
    pub s3_config: Option<S3Config>,
    /// Hosts whose snapshots may be recovered by URL: `name`, `name:port`, `*.name` for all below it, or `*` for every host
    /// with a public address. A list, or one text with commas. This server itself is always allowed.
    #[serde(deserialize_with = "listed")]
    pub recovery_allowed_hosts: Vec<String>,
    /// Largest snapshot that is fetched from a URL, in bytes; what fits on the disk, if nothing is said.
    pub recovery_max_bytes: Option<u64>,
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
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct ClusterConfig {
    /// Whether there may be other peers.
    pub enabled: bool,
    /// How the others are spoken with.
    pub p2p: P2pConfig,
    /// The number of this node, at most 53 bits; a random one, if nothing is said. A node keeps its number.
    pub peer_id: Option<u64>,
    /// Where the others reach this node, as in `http://node-1:6335`.
    pub uri: Option<String>,
    /// Where any node of the cluster to join is reached. Of no consequence once this node is part of one.
    pub bootstrap: Option<String>,
    /// Whether replicas that are well are moved to keep shards spread evenly, and dropped where there are more than the factor says.
    /// Those of dead peers are replaced in any case.
    pub rebalance: bool,
    /// What fails together with this node: the replicas of a shard are spread over as many zones as there are. Without a name, a node
    /// fails by itself.
    pub zone: Option<String>,
    /// Whether this node, coming without data, takes the place of the peer that had its address, as long as others have copies
    /// of everything that one had. Otherwise it is refused, and someone has to remove that peer.
    pub replace_lost_peer: bool,
    /// Seconds of silence after which other nodes take the place of one.
    pub replace_peer_after_secs: u64,
    /// Bytes of files of shards that this node sends to others in a second, at most; 0 for as many as there come.
    pub transfer_bytes_per_sec: u64,
    /// What is asked of the Kubernetes that this node runs in.
    pub kubernetes: KubernetesConfig,
}

/// What is asked of the Kubernetes that a node runs in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct KubernetesConfig {
    /// Whether other pods are found by its API, the founding of a cluster is noted there, once for all, and what happens to peers
    /// is told there.
    pub enabled: bool,
    /// A file that says how the API is reached; what a pod is given, if nothing is said.
    pub kubeconfig: Option<PathBuf>,
    /// Name of this pod; the variable `POD_NAME`, if nothing is said.
    pub pod: Option<String>,
    /// Namespace of this pod; the variable `POD_NAMESPACE`, if nothing is said.
    pub namespace: Option<String>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            p2p: P2pConfig::default(),
            peer_id: None,
            uri: None,
            bootstrap: None,
            rebalance: true,
            zone: None,
            replace_lost_peer: false,
            replace_peer_after_secs: 600,
            transfer_bytes_per_sec: 256 << 20,
            kubernetes: KubernetesConfig::default(),
        }
    }
}

/// How nodes speak with each other.
#[derive(Clone, Deserialize)]
#[serde(default)]
pub struct P2pConfig {
    /// Port of the door for other nodes; 0 takes a free one.
    pub port: u16,
    /// What nodes show each other; the API key, if nothing is said.
    pub secret: Option<String>,
    /// Whether nodes speak encrypted, each with a certificate that `tls.ca_cert` signed; `tls.cert` is what this one shows. It has to be
    /// the same for all nodes, from the beginning.
    pub enable_tls: bool,
}

impl Default for P2pConfig {
    fn default() -> Self {
        Self { port: 6335, secret: None, enable_tls: false }
    }
}

impl std::fmt::Debug for P2pConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Secrets do not go to the log.
        f.debug_struct("P2pConfig").field("port", &self.port).finish_non_exhaustive()
    }
}

/// Traces for a collector.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct TelemetryConfig {
    /// Where a collector takes traces by the OpenTelemetry protocol over HTTP, as in `http://localhost:4318`; the variable
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, if nothing is said, and nowhere without that.
    pub otlp_endpoint: Option<String>,
    /// What this server is called in traces; `vectordb` if nothing is said.
    pub service_name: Option<String>,
    /// The share, from 0 to 1, of the traces that begin here which is sent. Who calls with a trace decides for his own.
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { otlp_endpoint: None, service_name: None, sample_ratio: 1.0 }
    }
}

impl TelemetryConfig {
    /// Where traces go, if anywhere.
    pub fn endpoint(&self) -> Option<String> {
        let standard = || std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok();
        self.otlp_endpoint.clone().or_else(standard).filter(|endpoint| !endpoint.is_empty())
    }
}

/// Certificates.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TlsConfig {
    /// Chain of certificates, PEM.
    pub cert: Option<PathBuf>,
    /// Private key, PEM.
    pub key: Option<PathBuf>,
    /// Who signs the certificates of callers, PEM; servers whose certificates it signs are believed too.
    pub ca_cert: Option<PathBuf>,
    /// Seconds after which the files are read again; 3600 if nothing is said.
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
