//! Where objects lie.

use std::fmt;

use crate::error::Result;

/// An object as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub bytes: u64,
}

/// A place for objects under keys: a directory, or a bucket of S3. Keys are made of lower-case letters, digits, `-` and `/`
/// alone. Every call blocks, and may be made from several threads at once.
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
