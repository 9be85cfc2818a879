//! What the benchmarks share: vectors that are like real ones, exact answers, and the figures of the process.

pub mod exact;
pub mod process;
pub mod synthetic;
