//! Turns of other threads while rows are read from Python.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// Rows between looks at the clock.
const ROWS: usize = 64;
/// Longer than a thread waits for the interpreter's lock before it asks for it, which is 5 ms unless a program changed that.
///
/// Who lets go of the lock wakes those who wait, and mostly has it back before they run; only one who asked is sure to get it. A lock
/// that is let go of more often than this wakes them too soon to ask, and nobody else ever has it.
const TURN: Duration = Duration::from_millis(6);

/// Gives other threads a turn now and then, in a loop over rows.
#[derive(Debug)]
pub(crate) struct Turns {
    row: usize,
    since: Instant,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { row: 0, since: Instant::now() }
    }

    /// Counts a row, and lets go of the interpreter's lock if it is time.
    pub(crate) fn row(&mut self, py: Python<'_>) {
        self.row += 1;
        if self.row.is_multiple_of(ROWS) && self.since.elapsed() > TURN {
            py.detach(|| ());
            self.since = Instant::now();
        }
    }
}
