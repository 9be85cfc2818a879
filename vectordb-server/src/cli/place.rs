//! Where backups lie, and who gets at them: this process, or a server that is asked to.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Runtime;
use vectordb_core::{Background, Options};
use vectordb_service::{Bucket, DirectoryBucket, Repository, Service, Settings};

use super::failure::Failure;
use crate::buckets::buckets;
use crate::config::{Config, S3Config};

/// Settings of buckets.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct BucketArgs {
    /// A file of settings; `storage.snapshots_config.s3_config` in it says how buckets are reached.
    #[arg(long, value_name = "FILE")]
    config_path: Option<PathBuf>,
    /// Where a service is that is not Amazon's, as in http://minio:9000. Keys come from the settings or from AWS_ACCESS_KEY_ID
    /// and AWS_SECRET_ACCESS_KEY.
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// The bucket's region.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
}

/// The settings and what works for buckets; it must live as long as their use.
#[derive(Debug)]
pub(super) struct Place {
    config: Config,
    s3: S3Config,
    runtime: Runtime,
}

impl Place {
    pub(super) fn new(arguments: &BucketArgs) -> Result<Self, Failure> {
        let config = Config::load(arguments.config_path.as_deref()).map_err(|error| Failure::new(error.to_string()))?;
        let mut s3 = config.storage.snapshots_config.s3_config.clone().unwrap_or_default();
        if let Some(endpoint) = &arguments.endpoint_url {
            s3.endpoint_url = Some(endpoint.clone());
        }
        if let Some(region) = &arguments.region {
            s3.region.clone_from(region);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Ok(Self { config, s3, runtime: runtime.map_err(|error| Failure::new(error.to_string()))? })
    }

    /// The backups of a location, or of the one that is set.
    pub(super) fn repository(&self, location: Option<&str>) -> Result<Repository, Failure> {
        let set = self.config.storage.snapshots_config.bucket().map(|bucket| format!("{bucket}/backups"));
        let none = || Failure::new("say where backups lie: s3://BUCKET/PREFIX or a directory");
        let location = location.or(set.as_deref()).ok_or_else(none)?;
        let bucket: Arc<dyn Bucket> = if location.starts_with("s3://") {
            buckets(Some(self.s3.clone()), self.runtime.handle().clone()).open(location)?
        } else {
            Arc::new(location.parse::<DirectoryBucket>()?)
        };
        Ok(Repository::new(bucket))
    }
}

/// Opens a directory of data that no other process has open.
pub(super) fn open_offline(directory: PathBuf, create: bool) -> Result<Service, Failure> {
    // Nothing but what is asked for happens to the data.
    let options = Options::default().background(Background::Manual).create(create);
    Ok(Service::open(&directory, options, Settings::default())?)
}
