//! What the benchmarks share: vectors that are like real ones, exact answers, the figures of the process, and the
//! harness that lets disks and processes fail.

pub mod exact;
pub mod faults;
pub mod process;
pub mod synthetic;
