//! Answers questions over the segments of one collection at one lsn.
//!
//! Every read is a function of a [`Reading`]; nothing here changes anything. Each segment is asked by itself, the answers are
//! merged, and only the points that are returned in the end have their payloads and vectors fetched.
//!
//! Files: `nearest` (searches), `stages` (queries of every kind, over points or over answers of queries), `examples` (what
//! vectors are asked for), `text` (rankings of texts), `rarity` (weights of dimensions), `corpus` (what they are made of), `fusion`, `formula`, `explain` (what searches did), `diverse`, `sample`, `matrix`, `groups`, `facet`, `scroll` (walks in the order of ids or of a
//! field), `hydrate` (what a record returns).

mod corpus;
mod diverse;
mod examples;
mod explain;
mod facet;
mod formula;
mod fusion;
mod groups;
mod hydrate;
mod matrix;
mod nearest;
mod rarity;
mod sample;
mod scroll;
mod stages;
mod text;

use crate::error::Result;
use crate::model::PointId;
use crate::model::config::CollectionConfig;
use crate::model::filter::{Condition, Filter};
use crate::model::payload::Value;
use crate::model::point::{Lsn, PayloadSelector, Record, VectorSelector};
use crate::model::query::Budget;
use crate::segment::{CompiledFilter, Matcher, Segment};

pub(crate) use corpus::corpus_counts;
pub(crate) use explain::{Account, explain};
pub(crate) use facet::facet;
pub use fusion::fuse;
pub(crate) use groups::groups;
pub(crate) use matrix::distance_matrix;
pub(crate) use nearest::{search, search_batch};
pub(crate) use scroll::scroll;
pub(crate) use stages::query;

/// The state of a collection that a read looks at.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    /// Newest first.
    pub(crate) segments: Vec<&'a dyn Segment>,
    pub(crate) config: &'a CollectionConfig,
    pub(crate) at: Lsn,
    /// What a point that is no longer there satisfies.
    pub(crate) expired: Option<Condition>,
    /// Where searches tell what they did, when someone wants to know.
    pub(crate) account: Option<&'a Account>,
    /// Calls the background, when there is one.
    pub(crate) wake: Option<Wake<'a>>,
}

/// Calls the background.
#[derive(Clone, Copy)]
pub(crate) struct Wake<'a>(pub(crate) &'a (dyn Fn() + Send + Sync));

impl std::fmt::Debug for Wake<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wake")
    }
}

impl<'a> Reading<'a> {
    /// The segment and the row of a live point.
    fn find(&self, id: &PointId) -> Option<(&'a dyn Segment, u32)> {
        let (segment, row) = self.segments.iter().find_map(|&segment| Some((segment, segment.find(id, self.at)?)))?;
        match &self.expired {
            None => Some((segment, row)),
            Some(_) => {
                let living = self.compile(None).ok()??;
                living.matches_row(segment, row).ok()?.then_some((segment, row))
            }
        }
    }

    fn compile(&self, filter: Option<&Filter>) -> Result<Option<CompiledFilter>> {
        let living = self.expired.as_ref().map(|expired| Filter::must_not([expired.clone()]));
        let filter = filter.filter(|filter| !filter.is_empty());
        let merged = living.map_or_else(|| filter.cloned(), |living| Filter::merged(Some(&living), filter));
        merged.map(|filter| CompiledFilter::of(filter, &self.config.payload_schema)).transpose()
    }
}

/// A point that is part of an answer.
#[derive(Debug, Clone)]
struct Found<'a> {
    segment: &'a dyn Segment,
    row: u32,
    id: PointId,
    /// The user's number, once a query is through.
    score: f32,
    /// What it was ordered by.
    order_value: Option<Value>,
}

impl<'a> Found<'a> {
    fn new(segment: &'a dyn Segment, row: u32, score: f32) -> Self {
        Self { segment, row, id: segment.id(row), score, order_value: None }
    }
}

/// The records of those ids that exist, in the order asked for, each once.
///
/// # Errors
/// Unknown vector names, bad payload paths, unreadable payloads.
pub(crate) fn retrieve(reading: &Reading<'_>, ids: &[PointId], payload: &PayloadSelector, vectors: &VectorSelector) -> Result<Vec<Record>> {
    hydrate::check_selectors(reading.config, payload, vectors)?;
    let mut seen = rustc_hash::FxHashSet::default();
    let mut records = Vec::with_capacity(ids.len().min(1024));
    for id in ids {
        if seen.insert(id)
            && let Some((segment, row)) = reading.find(id)
        {
            records.push(hydrate::record(segment, row, payload, vectors)?);
        }
    }
    Ok(records)
}

/// How many points satisfy a filter; an inexact count takes the indexes' word where they cannot be sure.
///
/// # Errors
/// Those of the filter, unreadable payloads, and the budget's.
pub(crate) fn count(reading: &Reading<'_>, filter: Option<&Filter>, exact: bool, budget: &Budget) -> Result<u64> {
    let filter = reading.compile(filter)?;
    let mut total = 0;
    for &segment in &reading.segments {
        budget.check()?;
        let matcher = Matcher::new(segment, filter.as_ref(), reading.at);
        total += if exact { matcher.count()? } else { matcher.estimate()? };
    }
    Ok(total)
}
