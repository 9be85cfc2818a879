//! What the benchmarks share: vectors that are like real ones, exact answers, the figures of the process, the corpus
//! of filters and queries, sets of vectors in files, and the harness that lets disks and processes fail.

pub mod corpus;
pub mod exact;
pub mod faults;
pub mod process;
pub mod sets;
pub mod synthetic;
