//! One writer at a time: what one deletes another might just be counting on.
//!
//! A lease (Gray & Cheriton 1989) is an object that says until when it holds. Who dies leaves one that ends by itself; who lives
//! renews it, and looks whether it still is his own before anything that would hurt another.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;
use crate::error::{Fault, Result, ServiceError};

const KEY: &str = "lease";
/// How long a lease holds, and from when on it is renewed.
const TERM: Duration = Duration::from_secs(15 * 60);
const RENEW_AFTER: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Content {
    holder: String,
    #[serde(with = "super::moment")]
    until: Timestamp,
}

/// The right to write to a bucket; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    bucket: Arc<dyn Bucket>,
    holder: String,
    until: Mutex<Timestamp>,
}

impl Lease {
    /// Takes the lease of a bucket.
    ///
    /// # Errors
    /// [`Fault::Unavailable`] when another has it.
    pub(super) fn take(bucket: &Arc<dyn Bucket>) -> Result<Self> {
        let holder = uuid::Uuid::new_v4().simple().to_string();
        let lease = Self { bucket: Arc::clone(bucket), holder, until: Mutex::new(Timestamp::now()) };
        // One that has ended is taken away once; whoever is faster then has it.
        for _ in 0..2 {
            let until = Timestamp::now() + TERM;
            if lease.bucket.create(KEY, lease.content(until)?)? {
                *lease.until.lock() = until;
                lease.check()?;
                return Ok(lease);
            }
            match lease.found()? {
                Some(other) if other.until > Timestamp::now() => return Err(lease.taken(&other)),
                _ => lease.bucket.delete(&[KEY.to_owned()])?,
            }
        }
        Err(ServiceError::new(Fault::Unavailable, format!("another process has begun to write to {}", lease.bucket.location())))
    }

    /// Renews it when it is time to.
    pub(super) fn keep(&self) -> Result<()> {
        let mut until = self.until.lock();
        if Timestamp::now() + (TERM - RENEW_AFTER) < *until {
            return Ok(());
        }
        self.check()?;
        let later = Timestamp::now() + TERM;
        self.bucket.put(KEY, self.content(later)?)?;
        *until = later;
        Ok(())
    }

    /// Whether it still holds.
    ///
    /// # Errors
    /// [`Fault::Unavailable`] when it does not.
    pub(super) fn check(&self) -> Result<()> {
        match self.found()? {
            Some(found) if found.holder == self.holder => Ok(()),
            Some(other) => Err(self.taken(&other)),
            None => Err(ServiceError::new(Fault::Unavailable, format!("the lease of {} was taken away", self.bucket.location()))),
        }
    }

    fn content(&self, until: Timestamp) -> Result<Vec<u8>> {
        let content = Content { holder: self.holder.clone(), until };
        serde_json::to_vec(&content).map_err(|error| ServiceError::internal(error.to_string()))
    }

    /// What stands there; something that cannot be read is as good as nothing.
    fn found(&self) -> Result<Option<Content>> {
        Ok(self.bucket.get(KEY)?.and_then(|content| serde_json::from_slice(&content).ok()))
    }

    fn taken(&self, other: &Content) -> ServiceError {
        let message = format!("another process writes to {}; its lease ends at {}", self.bucket.location(), other.until);
        ServiceError::new(Fault::Unavailable, message)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // What cannot be given back ends by itself.
        if self.check().is_ok() {
            let _ = self.bucket.delete(&[KEY.to_owned()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::DirectoryBucket;

    #[test]
    fn one_has_it_at_a_time_and_one_that_ended_is_taken_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let bucket: Arc<dyn Bucket> = Arc::new(DirectoryBucket::new(dir.path()));
        let first = Lease::take(&bucket).expect("nobody has it");
        let refused = Lease::take(&bucket).expect_err("the first has it");
        assert_eq!(refused.fault, Fault::Unavailable, "{refused}");
        first.keep().expect("it holds");
        drop(first);
        let second = Lease::take(&bucket).expect("it was given back");
        // As if its holder had been asleep.
        let ended = Content { holder: second.holder.clone(), until: Timestamp::now() - Duration::from_secs(1) };
        bucket.put(KEY, serde_json::to_vec(&ended).expect("it is JSON")).expect("it is stored");
        let third = Lease::take(&bucket).expect("it ended");
        assert!(second.check().is_err());
        *second.until.lock() = Timestamp::now();
        assert!(second.keep().is_err());
        drop(second);
        third.check().expect("what the second gives back is not his");
        bucket.put(KEY, b"?".to_vec()).expect("it is stored");
        assert!(third.check().is_err());
    }
}
