//! What a query did: the way through each segment, what it cost, and what would make it cheaper.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::point::ScoredPoint;

/// The answer of a query, and how it came about.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The answer.
    pub hits: Vec<ScoredPoint>,
    /// Every search for nearest points and ranking of texts that the query made, in the order they were made: one, or one for each prefetch.
    pub searches: Vec<SearchPlan>,
    /// What would make the query cheaper: payload indexes that its filters lack.
    pub advice: Vec<String>,
    /// From the request to the answer.
    pub elapsed: Duration,
    /// The part of it that fetched payloads and vectors of the answer.
    pub fetching: Duration,
}

/// A search for nearest points, or a ranking of texts, over all segments.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SearchPlan {
    /// The vector it looked at, or the payload field.
    pub using: String,
    /// Points that were wanted.
    pub limit: usize,
    /// Whether there was a filter.
    pub filtered: bool,
    /// The recall that was asked for instead of a candidate list.
    pub recall: Option<f64>,
    /// What each segment did, newest first.
    pub segments: Vec<SegmentPlan>,
    /// Time of all segments and of merging what they found.
    pub elapsed: Duration,
}

/// What a search did in one segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SegmentPlan {
    /// Number of a sealed segment; nothing for one in memory.
    pub segment: Option<u64>,
    /// Rows of the segment, dead ones included.
    pub rows: u64,
    /// The way that gave the answer.
    pub way: Way,
    /// Size of the candidate list.
    pub ef: usize,
    /// Points that were expected to satisfy the filter, or to be alive without one.
    pub estimated: u64,
    /// How many there are; only when asked to count, since that may mean to read every payload.
    pub matching: Option<u64>,
    /// Whether payload indexes alone answered the filter.
    pub indexed: bool,
    /// What was computed.
    pub work: Work,
    /// Time in this segment.
    pub elapsed: Duration,
}

/// What a search computed, ways that were given up included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Work {
    /// Points compared by their codes.
    pub codes: u64,
    /// Points compared by their vectors.
    pub vectors: u64,
    /// Points whose links were followed on the lowest level of a graph.
    pub hops: u64,
    /// Numbers of lists that were added up or looked up.
    pub entries: u64,
    /// Points whose texts were scored one by one.
    pub texts: u64,
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.codes += other.codes;
        self.vectors += other.vectors;
        self.hops += other.hops;
        self.entries += other.entries;
        self.texts += other.texts;
    }
}

/// How a search went through a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Way {
    /// Nothing was there to be found: the segment lacks the vector, or was not to be searched.
    #[default]
    Nothing,
    /// Every matching point was compared by its vector, or by the words of its text.
    Scan,
    /// Every matching point was compared by its code, the best of them by their vectors.
    CodeScan,
    /// A walk over the graph.
    Graph,
    /// A walk over the graph with a longer list, of which the matching points were kept.
    SiftedGraph,
    /// A walk that passes over points that do not match.
    FilteredGraph,
    /// Matching points of the nearest clusters were compared.
    Clusters,
    /// Lists of a sparse vector's dimensions, or of a query's words, were added up, as far as they could matter.
    Lists,
}
