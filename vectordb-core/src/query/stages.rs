//! Queries of every kind, and queries over the answers of queries.

use rustc_hash::FxHashSet;

use super::examples::Examples;
use super::nearest::{Ask, best, check_numbers};
use super::text::{self, TextAsk};
use super::{Found, Reading, diverse, formula, fusion, hydrate, sample, scroll};
use crate::error::{Error, Result};
use crate::model::PointId;
use crate::model::filter::{Condition, Filter};
use crate::model::point::ScoredPoint;
use crate::model::query::{Budget, SearchParams};
use crate::model::ranking::{MAX_PREFETCH_DEPTH, Mmr, Prefetch, Query, QueryRequest};
use crate::model::text::TextQuery;
use crate::vectors::Probe;

/// Diversity when none is given.
const DIVERSITY: f32 = 0.5;

/// The best points of a query of any kind.
///
/// # Errors
/// As [`search`](super::search), and [`Error::InvalidQuery`] for fusions and formulas without prefetches, formulas that give no
/// number, and orders by a field without an index.
pub(crate) fn query(reading: &Reading<'_>, request: &QueryRequest) -> Result<Vec<ScoredPoint>> {
    hydrate::check_selectors(reading.config, &request.with_payload, &request.with_vectors)?;
    let found = Stage::of(request).run(reading, 0)?;
    found.into_iter().map(|hit| hydrate::scored(hit, &request.with_payload, &request.with_vectors)).collect()
}

/// One query of a tree of queries.
pub(super) struct Stage<'r> {
    prefetch: &'r [Prefetch],
    query: Option<&'r Query>,
    using: &'r str,
    filter: Option<Filter>,
    params: &'r SearchParams,
    threshold: Option<f32>,
    pub(super) limit: usize,
    pub(super) offset: usize,
    /// Instead of the limits of prefetches.
    pub(super) prefetched: Option<usize>,
    budget: &'r Budget,
}

impl<'r> Stage<'r> {
    pub(super) fn of(request: &'r QueryRequest) -> Self {
        Self {
            prefetch: &request.prefetch,
            query: request.query.as_ref(),
            using: &request.using,
            filter: request.filter.clone(),
            params: &request.params,
            threshold: request.score_threshold,
            limit: request.limit,
            offset: request.offset,
            prefetched: None,
            budget: &request.budget,
        }
    }

    fn inner(&self, outer: Option<&Filter>, prefetch: &'r Prefetch) -> Self {
        Self {
            prefetch: &prefetch.prefetch,
            query: prefetch.query.as_ref(),
            using: &prefetch.using,
            filter: Filter::merged(outer, prefetch.filter.as_ref()),
            params: &prefetch.params,
            threshold: prefetch.score_threshold,
            limit: self.prefetched.unwrap_or(prefetch.limit),
            offset: 0,
            prefetched: self.prefetched,
            budget: self.budget,
        }
    }

    /// The same query for points that satisfy one more condition.
    pub(super) fn narrowed(&self, condition: Condition, limit: usize) -> Self {
        let filter = Filter::merged(self.filter.as_ref(), Some(&Filter::must([condition])));
        Self { filter, limit, ..*self }
    }

    /// The answer, with the user's scores.
    pub(super) fn run<'a>(&self, reading: &Reading<'a>, depth: usize) -> Result<Vec<Found<'a>>> {
        if depth > MAX_PREFETCH_DEPTH {
            return Err(Error::query(format!("prefetches nested deeper than {MAX_PREFETCH_DEPTH} levels")));
        }
        check_numbers(self.threshold, self.offset, self.limit)?;
        self.budget.check()?;
        if self.prefetch.is_empty() {
            return self.source(reading);
        }
        match self.query {
            None => return Err(Error::query("prefetches need a query that ranks their points")),
            Some(Query::Rrf(_) | Query::Dbsf) if !self.using.is_empty() => {
                return Err(Error::query("a fusion looks at no vector: `using` has no place in it"));
            }
            Some(_) => {}
        }
        // What this query would not answer takes no places among what it ranks.
        let mentioned = self.query.map(Query::mentioned).filter(|ids| !ids.is_empty());
        let answers = mentioned.map(|ids| Filter::must_not([Condition::HasId(ids)]));
        let outer = Filter::merged(self.filter.as_ref(), answers.as_ref());
        let run = |prefetch| self.inner(outer.as_ref(), prefetch).run(reading, depth + 1);
        let lists: Vec<Vec<Found<'a>>> = self.prefetch.iter().map(run).collect::<Result<_>>()?;
        let ranked = match self.query {
            Some(Query::Rrf(rrf)) => fusion::by_rank(lists, rrf)?,
            Some(Query::Dbsf) => fusion::by_distribution(lists),
            Some(Query::Formula(formula)) => formula::rescore(reading, formula, lists)?,
            _ => return self.again(reading, lists),
        };
        let worst = self.threshold.unwrap_or(f32::NEG_INFINITY);
        Ok(ranked.into_iter().take(self.offset + self.limit).filter(|hit| hit.score >= worst).skip(self.offset).collect())
    }

    /// Ranks the points of all lists anew, by exact scores.
    fn again<'a>(&self, reading: &Reading<'a>, lists: Vec<Vec<Found<'a>>>) -> Result<Vec<Found<'a>>> {
        let ids: FxHashSet<_> = lists.into_iter().flatten().map(|hit| hit.id).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let exact = SearchParams { exact: true, indexed_only: false, ..self.params.clone() };
        let narrowed = self.narrowed(Condition::HasId(ids.into_iter().collect()), self.limit);
        Stage { params: &exact, prefetch: &[], ..narrowed }.source(reading)
    }

    /// The answer of a query over points of the collection.
    fn source<'a>(&self, reading: &Reading<'a>) -> Result<Vec<Found<'a>>> {
        let wanted = self.offset + self.limit;
        let filter = self.filter.as_ref();
        let found = match self.query {
            None => scroll::first_ids(reading, filter, wanted, self.budget)?,
            Some(Query::Text(text)) => text::rank(reading, &self.text_ask(text, wanted))?,
            Some(Query::OrderBy(order)) => scroll::first_values(reading, filter, order, wanted, self.budget)?,
            Some(Query::Given(given)) => self.known(reading, given, wanted)?,
            Some(Query::Sample { seed }) => return sample::sample(reading, filter, self.limit, *seed, self.budget),
            Some(Query::Rrf(_) | Query::Dbsf) => return Err(Error::query("a fusion needs prefetches")),
            Some(Query::Formula(_)) => return Err(Error::query("a formula needs prefetches")),
            Some(query) => self.ranked(reading, query, wanted)?,
        };
        Ok(found.into_iter().skip(self.offset).collect())
    }

    /// The points of a given list that are here and satisfy the filter.
    fn known<'a>(&self, reading: &Reading<'a>, given: &[(PointId, f32)], wanted: usize) -> Result<Vec<Found<'a>>> {
        let filter = reading.compile(self.filter.as_ref())?;
        let mut found = Vec::new();
        for (id, score) in given {
            if found.len() == wanted {
                break;
            }
            let Some((segment, row)) = reading.find(id) else { continue };
            if filter.as_ref().map_or(Ok(true), |filter| filter.matches_row(segment, row))? {
                found.push(Found::new(segment, row, *score));
            }
        }
        Ok(found)
    }

    fn text_ask<'q>(&'q self, text: &'q TextQuery, limit: usize) -> TextAsk<'q> {
        TextAsk {
            text,
            using: self.using,
            limit,
            threshold: self.threshold,
            filter: self.filter.as_ref(),
            params: self.params,
            budget: self.budget,
        }
    }

    /// Ranks by vectors.
    fn ranked<'a>(&self, reading: &Reading<'a>, query: &Query, wanted: usize) -> Result<Vec<Found<'a>>> {
        let mut examples = Examples::new(reading, self.using)?;
        let probe = match query {
            Query::Nearest { target, mmr } => {
                let probe = Probe::one(examples.vector(target)?);
                if let Some(mmr) = mmr {
                    return self.diverse(reading, probe, &examples, mmr, wanted);
                }
                probe
            }
            Query::Recommend { positive, negative, strategy } => examples.recommend(positive, negative, *strategy)?,
            Query::Discover { target, context } => examples.discover(Some(target), context)?,
            Query::Context(context) => examples.discover(None, context)?,
            Query::RelevanceFeedback { target, feedback, strategy } => examples.feedback(target, feedback, *strategy)?,
            Query::Text(_)
            | Query::OrderBy(_)
            | Query::Rrf(_)
            | Query::Dbsf
            | Query::Formula(_)
            | Query::Sample { .. }
            | Query::Given(_) => {
                return Ok(Vec::new());
            }
        };
        self.nearest(reading, probe, &examples, wanted)
    }

    fn nearest<'a>(&self, reading: &Reading<'a>, probe: Probe<'_>, examples: &Examples<'_, '_>, k: usize) -> Result<Vec<Found<'a>>> {
        let probe = examples.weighted(probe, self.params)?;
        let filter = reading.compile(self.filter.as_ref())?;
        let ask = Ask {
            using: self.using,
            probe: &probe,
            k,
            params: self.params,
            threshold: self.threshold,
            exclude: &examples.mentioned,
            filter: filter.as_ref(),
            budget: self.budget,
        };
        best(reading, &ask)
    }

    fn diverse<'a>(
        &self,
        reading: &Reading<'a>,
        probe: Probe<'_>,
        examples: &Examples<'_, '_>,
        mmr: &Mmr,
        wanted: usize,
    ) -> Result<Vec<Found<'a>>> {
        let candidates = mmr.candidates_limit.unwrap_or(self.limit);
        check_numbers(None, 0, candidates)?;
        let hits = self.nearest(reading, probe.clone(), examples, candidates)?;
        diverse::choose(self.using, &probe, hits, mmr.diversity.unwrap_or(DIVERSITY), wanted)
    }
}
