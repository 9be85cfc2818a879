//! Buckets of S3 and of what speaks its protocol.
//!
//! Calls block: they come from threads that may, and wait for the runtime to do the work.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, PutMode, RetryConfig};
use tokio::runtime::Handle;
use vectordb_service::{Bucket, Buckets, ServiceError, StoredObject};

use crate::config::S3Config;

/// Tries of a request, and how long they may take together.
const RETRIES: usize = 4;
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a large object that are sent or fetched at once.
const PART_BYTES: usize = 8 << 20;
/// Where a service that is not Amazon's needs some region for its signatures.
const ANY_REGION: &str = "us-east-1";

/// Opens buckets, `s3://BUCKET/PREFIX`, as settings and environment say; `runtime` does the work.
pub(crate) fn buckets(config: Option<S3Config>, runtime: Handle) -> Buckets {
    let config = config.unwrap_or_default();
    Buckets::new(move |location| Ok(Arc::new(S3Bucket::open(location, &config, runtime.clone())?)))
}

/// Objects under a prefix of a bucket.
#[derive(Debug)]
struct S3Bucket {
    location: String,
    prefix: Path,
    store: AmazonS3,
    runtime: Handle,
}

impl S3Bucket {
    /// # Errors
    /// [`Fault::BadRequest`](vectordb_service::Fault::BadRequest) for a location or settings that make no sense. Nothing is asked yet.
    fn open(location: &str, config: &S3Config, runtime: Handle) -> Result<Self, ServiceError> {
        let bad = |what: &dyn std::fmt::Display| ServiceError::request(format!("{location} is no place for backups: {what}"));
        let (bucket, prefix) = location.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, ""))).unwrap_or_default();
        if bucket.is_empty() {
            return Err(bad(&"expected s3://BUCKET/PREFIX"));
        }
        let prefix = Path::parse(prefix.trim_matches('/')).map_err(|error| bad(&error))?;
        crate::tls::provide_cryptography();
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        for (key, value) in [
            (AmazonS3ConfigKey::Region, Some(&config.region)),
            (AmazonS3ConfigKey::AccessKeyId, Some(&config.access_key)),
            (AmazonS3ConfigKey::SecretAccessKey, Some(&config.secret_key)),
            (AmazonS3ConfigKey::Endpoint, config.endpoint_url.as_ref()),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                builder = builder.with_config(key, value);
            }
        }
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        if endpoint.is_some() && builder.get_config_value(&AmazonS3ConfigKey::Region).is_none() {
            builder = builder.with_region(ANY_REGION);
        }
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        // Only who writes `http://` gets it.
        let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let store = builder.with_retry(retry).with_allow_http(plain).build().map_err(|error| bad(&error))?;
        Ok(Self { location: location.trim_end_matches('/').to_owned(), prefix, store, runtime })
    }

    fn path(&self, key: &str) -> Path {
        key.split('/').filter(|part| !part.is_empty()).fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn failed(&self, error: &Error) -> ServiceError {
        ServiceError::request(format!("{}: {error}", self.location))
    }

    fn stored(&self, key: &str, content: Vec<u8>, mode: PutMode) -> Result<bool, ServiceError> {
        let path = self.path(key);
        match self.runtime.block_on(self.store.put_opts(&path, content.into(), mode.into())) {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }
}

/// The next part of a file; a shorter one is the last.
fn read_part(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut part = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut part).map(|_| part)
}

impl Bucket for S3Bucket {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn put(&self, key: &str, content: Vec<u8>) -> Result<(), ServiceError> {
        self.stored(key, content, PutMode::Overwrite).map(drop)
    }

    fn create(&self, key: &str, content: Vec<u8>) -> Result<bool, ServiceError> {
        self.stored(key, content, PutMode::Create)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        let path = self.path(key);
        let got = self.runtime.block_on(async { self.store.get(&path).await?.bytes().await });
        match got {
            Ok(content) => Ok(Some(content.into())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn put_file(&self, key: &str, file: &FilePath) -> Result<(), ServiceError> {
        let disk = |error: std::io::Error| ServiceError::internal(format!("{}: {error}", file.display()));
        let mut content = File::open(file).map_err(disk)?;
        let mut part = read_part(&mut content).map_err(disk)?;
        if part.len() < PART_BYTES {
            return self.put(key, part);
        }
        let path = self.path(key);
        let mut upload = self.runtime.block_on(self.store.put_multipart(&path)).map_err(|error| self.failed(&error))?;
        let mut sent = || {
            while !part.is_empty() {
                let payload = std::mem::take(&mut part).into();
                self.runtime.block_on(upload.put_part(payload)).map_err(|error| self.failed(&error))?;
                part = read_part(&mut content).map_err(disk)?;
            }
            self.runtime.block_on(upload.complete()).map(drop).map_err(|error| self.failed(&error))
        };
        sent().inspect_err(|_| {
            // Parts that stay behind are seen by nobody but the bucket's owner.
            let _ = self.runtime.block_on(upload.abort());
        })
    }

    fn get_file(&self, key: &str, file: &FilePath) -> Result<bool, ServiceError> {
        let path = self.path(key);
        let size = match self.runtime.block_on(self.store.head(&path)) {
            Ok(found) => found.size,
            Err(Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(self.failed(&error)),
        };
        let disk = |error: std::io::Error| ServiceError::internal(format!("{}: {error}", file.display()));
        let mut copy = File::create_new(file).map_err(disk)?;
        // Piece by piece: each is a request with a time limit of its own.
        for begin in (0..size).step_by(PART_BYTES) {
            let range = begin..(begin + PART_BYTES as u64).min(size);
            let piece = self.runtime.block_on(self.store.get_range(&path, range)).map_err(|error| self.failed(&error))?;
            copy.write_all(&piece).map_err(disk)?;
        }
        Ok(true)
    }

    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, ServiceError> {
        let path = self.path(prefix);
        let listed = self.runtime.block_on(self.store.list(Some(&path)).try_collect::<Vec<_>>());
        let cut = if self.prefix.as_ref().is_empty() { 0 } else { self.prefix.as_ref().len() + 1 };
        let objects = listed.map_err(|error| self.failed(&error))?.into_iter();
        let keys =
            objects.filter_map(|object| Some(StoredObject { key: object.location.as_ref().get(cut..)?.to_owned(), bytes: object.size }));
        Ok(keys.collect())
    }

    fn delete(&self, keys: &[String]) -> Result<(), ServiceError> {
        let paths: Vec<_> = keys.iter().map(|key| Ok(self.path(key))).collect();
        let deleted = self.store.delete_stream(stream::iter(paths).boxed());
        let missing_is_fine = |result: object_store::Result<Path>| match result {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        self.runtime.block_on(deleted.map(missing_is_fine).try_collect::<Vec<()>>()).map(drop).map_err(|error| self.failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_that_make_no_sense_are_refused_and_keys_lie_below_their_prefix() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let config = S3Config { endpoint_url: Some("http://127.0.0.1:1".into()), ..S3Config::default() };
        let open = |location: &str| S3Bucket::open(location, &config, runtime.handle().clone());
        for bad in ["s3://", "s3:///x", "gs://bucket", "s3://bucket/a//b"] {
            assert!(open(bad).is_err(), "{bad}");
        }
        let bucket = open("s3://bucket/deep/place/").expect("a bucket");
        assert_eq!(bucket.location(), "s3://bucket/deep/place");
        assert_eq!(bucket.path("objects/ab/abc").as_ref(), "deep/place/objects/ab/abc");
        assert_eq!(open("s3://bucket").expect("a bucket").path("lease").as_ref(), "lease");
    }
}
