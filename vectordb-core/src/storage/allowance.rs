//! How much memory of its own a database may take, and who has taken it.
//!
//! Whoever is about to hold memory for long takes a [`Reservation`], which gives it back when it is dropped. What can do
//! without (hot copies, a job's temporary codes) asks first and may be refused; what must be held (segments that take writes,
//! payload indexes) is only counted, and writers are held back instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most bytes that are kept free of hot copies for writing and for jobs; of small limits it is the half.
const WORK_BYTES: u64 = 2 << 30;

/// What threads, libraries and the allocator take before there is any data; of small limits it is a sixth.
const PROCESS_BYTES: u64 = 4 << 20;
/// What a job takes whatever the number of its rows: buffers of files, samples, matrices; of small limits it is an eighth.
const JOB_BYTES: u64 = 4 << 20;

/// A limit and what has been taken of it.
#[derive(Debug)]
pub(crate) struct Allowance {
    limit: Option<u64>,
    /// Relaxed: a count that nothing else is published by.
    taken: AtomicU64,
}

/// Memory that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    allowance: Option<Arc<Allowance>>,
    bytes: AtomicU64,
}

impl Allowance {
    pub(crate) fn new(limit: Option<u64>) -> Arc<Self> {
        let process = limit.map_or(0, |limit| PROCESS_BYTES.min(limit / 6));
        Arc::new(Self { limit, taken: AtomicU64::new(process) })
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Bytes that are left.
    pub(crate) fn available(&self) -> u64 {
        self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.taken()))
    }

    /// Bytes of a job beside its rows.
    pub(crate) fn job_bytes(&self) -> u64 {
        if self.limit.is_some() { JOB_BYTES.min(self.part(8)) } else { 0 }
    }

    /// Bytes that the rows of a job may take.
    pub(crate) fn job_room(&self) -> u64 {
        self.available().saturating_sub(self.job_bytes())
    }

    /// A part of the limit, the largest number when there is none.
    pub(crate) fn part(&self, of: u64) -> u64 {
        self.limit.map_or(u64::MAX, |limit| limit / of)
    }

    /// Whether so much is taken that writers should wait for jobs to give some back.
    pub(crate) fn is_short(&self) -> bool {
        self.available() < self.part(8)
    }

    /// Takes memory that is needed in any case.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Reservation {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Reservation { allowance: Some(Arc::clone(self)), bytes: AtomicU64::new(bytes) }
    }

    /// Takes memory if it is there.
    pub(crate) fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        self.try_take_up_to(bytes, self.limit.unwrap_or(u64::MAX))
    }

    /// Takes memory for something that stays, if enough is left then for writing and for jobs.
    pub(crate) fn try_take_for_long(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        self.try_take_up_to(bytes, self.limit_for_long())
    }

    /// Bytes that are left for what stays.
    pub(crate) fn available_for_long(&self) -> u64 {
        self.limit_for_long().saturating_sub(self.taken())
    }

    fn limit_for_long(&self) -> u64 {
        self.limit.map_or(u64::MAX, |limit| limit - WORK_BYTES.min(limit / 2))
    }

    fn try_take_up_to(self: &Arc<Self>, bytes: u64, most: u64) -> Option<Reservation> {
        let add = |taken: u64| taken.checked_add(bytes).filter(|&sum| sum <= most);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Reservation { allowance: Some(Arc::clone(self)), bytes: AtomicU64::new(bytes) })
    }
}

impl Reservation {
    /// Of nothing, from nobody.
    pub(crate) fn none() -> Self {
        Self { allowance: None, bytes: AtomicU64::new(0) }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Changes the number of bytes held. One caller at a time.
    pub(crate) fn set(&self, bytes: u64) {
        let Some(allowance) = &self.allowance else { return };
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        if bytes >= before {
            allowance.taken.fetch_add(bytes - before, Ordering::Relaxed);
        } else {
            allowance.taken.fetch_sub(before - bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_what_must_be_held_is_counted() {
        let allowance = Allowance::new(Some(120));
        assert_eq!(allowance.taken(), 20, "the process itself");
        let held = allowance.try_take_for_long(40).expect("half is for what stays");
        assert!(allowance.try_take_for_long(1).is_none());
        let job = allowance.try_take(60).expect("the other half is for jobs");
        assert!(allowance.try_take(1).is_none());
        let must = allowance.take(30);
        assert_eq!((allowance.taken(), allowance.available()), (150, 0));
        must.set(10);
        drop(job);
        assert_eq!((allowance.taken(), allowance.available(), allowance.is_short()), (70, 50, false));
        drop((held, must));
        assert_eq!(allowance.taken(), 20);
    }

    #[test]
    fn without_a_limit_everything_fits() {
        let allowance = Allowance::new(None);
        let held = allowance.try_take(1 << 40);
        assert!(held.is_some() && allowance.try_take_for_long(1 << 40).is_some());
        assert_eq!((allowance.part(16), allowance.is_short()), (u64::MAX, false));
    }
}
