//! What the examples share: the sample data and the exact answers to compare with.
//!
//! Nothing here uses the engine, so its answers can be held against it.

pub mod data;
pub mod exact;
pub mod npy;
