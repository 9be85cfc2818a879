//! Mathematics that learns from vectors: today k-means, which orders the rows of sealed segments.
//!
//! Files: `kmeans`.

pub(crate) mod kmeans;
