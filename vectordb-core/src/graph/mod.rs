//! The HNSW graph: *Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small World
//! graphs*, Malkov & Yashunin, 2018.
//!
//! A graph knows rows and links and nothing of points or payloads; a [`Scorer`](crate::vectors::Scorer) tells how close
//! a row is. It is built once over the rows of a sealed segment and never changes.
//!
//! Files: `build` (parallel insertion), `reuse` (of an older graph's links), `select` (which neighbours to keep, algorithm 4), `links` (flat adjacency, in
//! memory and on disk), `search` (the walks), `pool` (the candidate list), `visited` (which rows a walk has seen).

mod build;
mod links;
mod pool;
mod reuse;
mod search;
mod select;
#[cfg(test)]
mod tests;
mod visited;

pub(crate) use build::{BuildControl, BuildPlan, Extent, build};
pub(crate) use links::Links;
pub(crate) use reuse::Reused;
pub(crate) use search::{Filtered, Graph, Outcome, Part, Scored};

/// The shape of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct GraphParams {
    /// Links per row on the upper levels; twice as many on the lowest.
    pub(crate) m: u32,
    /// Size of the candidate list while building.
    pub(crate) ef_construct: u32,
}

impl GraphParams {
    fn links_at(self, level: usize) -> usize {
        if level == 0 { 2 * self.m as usize } else { self.m as usize }
    }
}
