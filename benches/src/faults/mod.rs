//! What can go wrong with disks and processes, tried out.
//!
//! - [`sim_fs`]: a file system in memory that knows what has reached the disk.
//! - [`workload`]: operations of every kind on a small database, and what a reader saw after each.
//! - [`images`]: the disks a loss of power may leave behind, after any call, opened and compared.
//! - [`io_errors`]: every call fails once.
//! - [`corruption`]: damaged files.
//! - [`kills`]: real processes that are killed while they write.
//!
//! The method is that of SQLite's crash tests and of Pillai et al., *All File Systems Are Not Created Equal* (OSDI 2014).

pub mod corruption;
pub mod images;
pub mod io_errors;
pub mod kills;
pub mod sim_fs;
pub mod workload;

use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;

/// What the trials came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Disk images that were opened.
    pub images: u64,
    /// Damaged copies that were opened.
    pub corruptions: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Calls to the file system that were made to fail.
    pub io_errors: u64,
    /// Acknowledged updates that were looked for, counted once for each time.
    pub acked: u64,
    /// Trials after which an acknowledged update was missing, or the database could not be opened.
    pub lost: u64,
    /// Trials after which something was there that nobody wrote, or only a part of a batch.
    pub phantom: u64,
    /// Trials in which the engine panicked.
    pub panics: u64,
    /// The first few failures, told so that they can be repeated.
    #[serde(skip)]
    pub failures: Vec<String>,
}

/// Failures kept for the report.
const MOST_FAILURES: usize = 10;

impl Report {
    /// Whether nothing was lost, invented or panicked.
    pub fn is_clean(&self) -> bool {
        self.lost + self.phantom + self.panics == 0
    }

    /// Counts a failed trial.
    pub fn failed(&mut self, verdict: &Verdict, trial: impl FnOnce() -> String) {
        let what = match verdict {
            Verdict::Good => return,
            Verdict::Lost(what) => {
                self.lost += 1;
                format!("lost: {what}")
            }
            Verdict::Phantom(what) => {
                self.phantom += 1;
                format!("phantom: {what}")
            }
            Verdict::Panic(what) => {
                self.panics += 1;
                format!("panic: {what}")
            }
        };
        if self.failures.len() < MOST_FAILURES {
            self.failures.push(format!("{}: {what}", trial()));
        }
    }
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.images += other.images;
        self.corruptions += other.corruptions;
        self.kills += other.kills;
        self.io_errors += other.io_errors;
        self.acked += other.acked;
        self.lost += other.lost;
        self.phantom += other.phantom;
        self.panics += other.panics;
        self.failures.extend(other.failures);
        self.failures.truncate(MOST_FAILURES);
    }
}

/// What one trial showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Something acknowledged is gone, or cannot be read.
    Lost(String),
    /// Something is there that should not be.
    Phantom(String),
    /// The engine panicked.
    Panic(String),
}

/// Runs a trial; a panic in it is its verdict.
pub fn guarded(trial: impl FnOnce() -> Verdict) -> Verdict {
    catch_unwind(AssertUnwindSafe(trial)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Verdict::Panic(text.unwrap_or_default())
    })
}
