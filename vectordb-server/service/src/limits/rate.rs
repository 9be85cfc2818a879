//! How much may be done in a minute: a bucket that is full at first and fills evenly (Turner 1986).

use std::time::Instant;

use super::refused;
use crate::error::{Fault, Result, ServiceError};

/// What is left of the minute.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Reads or writes, as messages call them.
    what: &'static str,
    /// What it holds when it is full.
    limit: u64,
    left: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(what: &'static str, now: Instant) -> Self {
        Self { what, limit: 0, left: 0.0, at: now }
    }

    /// Takes what something costs; another limit than before begins with a full bucket.
    ///
    /// # Errors
    /// [`Fault::RateLimited`], and [`Fault::BadRequest`] for what costs more than a full bucket holds.
    pub(super) fn take(&mut self, limit: u64, cost: u64, now: Instant) -> Result<()> {
        let what = self.what;
        if limit != self.limit {
            *self = Self { what, limit, left: limit as f64, at: now };
        }
        let per_second = limit as f64 / 60.0;
        self.left = (self.left + now.saturating_duration_since(self.at).as_secs_f64() * per_second).min(limit as f64);
        self.at = now;
        if cost > limit {
            let what = format!("{what} rate limit exceeded: Operation requires {cost} tokens but the limit is {limit} in a minute");
            return Err(refused(what, "Split it into smaller ones"));
        }
        if cost as f64 <= self.left {
            self.left -= cost as f64;
            return Ok(());
        }
        let retry_after_secs = (((cost as f64 - self.left) / per_second).ceil() as u64).max(1);
        let message = match cost {
            1 => format!("{what} rate limit exceeded, retry later"),
            _ => {
                let left = self.left.floor();
                format!("{what} rate limit exceeded: Operation requires {cost} tokens but only {left} are available, retry later")
            }
        };
        Err(ServiceError::new(Fault::RateLimited { retry_after_secs }, message))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let start = Instant::now();
        let mut bucket = Bucket::new("Read", start);
        let after = |secs: u64| start + Duration::from_secs(secs);
        assert!(bucket.take(6, 5, start).is_ok() && bucket.take(6, 1, start).is_ok());
        let refused = bucket.take(6, 1, start).expect_err("it is empty");
        assert_eq!(
            (refused.fault, refused.message.as_str()),
            (Fault::RateLimited { retry_after_secs: 10 }, "Read rate limit exceeded, retry later")
        );
        assert!(bucket.take(6, 1, after(9)).is_err(), "one comes every ten seconds");
        assert!(bucket.take(6, 1, after(10)).is_ok() && bucket.take(6, 1, after(10)).is_err());
        let refused = bucket.take(6, 3, after(20)).expect_err("one is there");
        assert_eq!(refused.fault, Fault::RateLimited { retry_after_secs: 20 });
        assert!(refused.message.contains("requires 3 tokens but only 1 are"), "{refused}");
        assert!(bucket.take(6, 6, after(3600)).is_ok() && bucket.take(6, 1, after(3600)).is_err(), "it holds no more than its limit");
        assert_eq!(bucket.take(6, 7, after(7200)).expect_err("never").fault, Fault::BadRequest);
        assert!(bucket.take(7, 7, after(7200)).is_ok(), "another limit begins anew");
    }
}
