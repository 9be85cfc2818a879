//! Mathematics that learns from vectors: codes that stand for them while a search looks around, and k-means, which orders
//! the rows of sealed segments.
//!
//! Files: `codec` (vectors → codes), `rotation`, `codes` (codes as they lie in a file), `kmeans`.

mod codec;
mod codes;
#[cfg(feature = "linalg")]
pub(crate) mod kmeans;
mod rotation;

pub(crate) use codec::{Codec, Scratch};
pub(crate) use codes::{Clusters, Codes};
