//! Where objects lie that are not part of the data: snapshots and backups.
//!
//! A bucket knows nothing of what is in it. This crate has one kind, a directory; the door that can speak to other hosts brings
//! another.
//!
//! Files: `directory` (a bucket of this host).

mod directory;

use std::fmt;
use std::path::Path;

use crate::error::Result;

pub use directory::DirectoryBucket;

/// An object as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub bytes: u64,
}

/// A place for objects under keys: a directory, or a bucket of S3. Keys are made of letters, digits, `-`, `_`, `.`, `=`
/// and `/` alone. Every call blocks, and may be made from several threads at once.
pub trait Bucket: Send + Sync + fmt::Debug {
    /// The place as a person writes it, for messages.
    fn location(&self) -> String;

    /// Stores an object, whole and durable when this returns, in the place of one of the same key.
    ///
    /// # Errors
    /// Those of the place.
    fn put(&self, key: &str, content: Vec<u8>) -> Result<()>;

    /// Stores an object unless there is one of this key; false if there is.
    ///
    /// # Errors
    /// Those of the place.
    fn create(&self, key: &str, content: Vec<u8>) -> Result<bool>;

    /// The content of an object; none if there is none of this key.
    ///
    /// # Errors
    /// Those of the place.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;

    /// Stores a file as an object, however large it is.
    ///
    /// # Errors
    /// Those of the place and of the disk; there is no such object then.
    fn put_file(&self, key: &str, file: &Path) -> Result<()>;

    /// Writes an object into a new file, however large it is; false, and no file, if there is none of this key.
    ///
    /// # Errors
    /// Those of the place and of the disk.
    fn get_file(&self, key: &str, file: &Path) -> Result<bool>;

    /// All objects whose keys begin with the prefix, which ends with `/`, in any order.
    ///
    /// # Errors
    /// Those of the place.
    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>>;

    /// Deletes objects; one that is not there is no error.
    ///
    /// # Errors
    /// Those of the place; some may be deleted then.
    fn delete(&self, keys: &[String]) -> Result<()>;
}
