//! Reads, held against the limits.

use std::time::{Duration, Instant};

use vectordb_core::{
    Condition, Expression, FacetRequest, Filter, GroupsRequest, MatrixRequest, Prefetch, Query, QueryRequest, SearchParams,
};

use super::filters::Schema;
use super::{StrictMode, refused};
use crate::error::{Result, ServiceError};

/// A read, as far as it is limited.
#[derive(Debug)]
pub(crate) enum Read<'r> {
    /// Points by their ids.
    Ids,
    /// What satisfies a filter, without an order of ranks.
    Points {
        /// Most points; none where they are only counted.
        limit: Option<usize>,
        /// Which.
        filter: Option<&'r Filter>,
    },
    /// A query.
    Query(&'r QueryRequest),
    /// A query whose answers are grouped.
    Groups(&'r GroupsRequest),
    /// Values of a field.
    Facet(&'r FacetRequest),
    /// Distances in a sample.
    Matrix(&'r MatrixRequest),
}

/// Refuses a number above a limit.
fn check(name: &str, number: u64, limit: Option<u64>) -> Result<()> {
    match limit.filter(|&limit| number > limit) {
        Some(limit) => Err(above(name, number, limit)),
        None => Ok(()),
    }
}

fn above(name: &str, number: impl std::fmt::Display, limit: impl std::fmt::Display) -> ServiceError {
    refused(format!("Limit exceeded {number} > {limit} for \"{name}\""), format!("Reduce the \"{name}\" parameter to or below {limit}"))
}

/// Refuses to wait longer than is allowed.
///
/// # Errors
/// [`Fault::BadRequest`](crate::Fault::BadRequest).
pub(crate) fn check_timeout(mode: &StrictMode, deadline: Option<Instant>) -> Result<()> {
    let left = deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()));
    // A part of the time is gone when the request comes here.
    check("timeout", left.as_secs() + u64::from(left.subsec_nanos() > 0), mode.max_timeout)
}

/// Refuses a batch of too many searches, and one that no patience gets through.
///
/// # Errors
/// [`Fault::BadRequest`](crate::Fault::BadRequest).
pub(crate) fn check_batch(mode: &StrictMode, searches: usize) -> Result<()> {
    check("search batch", searches as u64, mode.search_max_batchsize)?;
    check("read_rate_limit", searches as u64, mode.read_rate_limit)
}

impl StrictMode {
    /// Holds a read against the limits.
    ///
    /// # Errors
    /// [`Fault::BadRequest`](crate::Fault::BadRequest) naming the limit.
    pub(crate) fn check_read(&self, read: &Read<'_>, schema: &Schema) -> Result<()> {
        match read {
            Read::Ids => Ok(()),
            Read::Points { limit, filter } => {
                self.check_limit(limit.unwrap_or(0))?;
                self.check_read_filter(*filter, schema)
            }
            Read::Query(request) => self.check_query(request, schema),
            Read::Groups(request) => {
                check("group_size", request.group_size as u64, self.max_query_limit)?;
                self.check_query(&request.query, schema)
            }
            Read::Facet(request) => {
                self.check_limit(request.limit)?;
                self.check_read_filter(request.filter.as_ref(), schema)
            }
            Read::Matrix(request) => {
                self.check_limit(request.limit)?;
                check("sample", request.sample as u64, self.max_query_limit)?;
                self.check_read_filter(request.filter.as_ref(), schema)
            }
        }
    }

    fn check_limit(&self, limit: usize) -> Result<()> {
        check("limit", limit as u64, self.max_query_limit)
    }

    fn check_read_filter(&self, filter: Option<&Filter>, schema: &Schema) -> Result<()> {
        let indexed = self.unindexed_filtering_retrieve == Some(false);
        filter.map_or(Ok(()), |filter| self.check_filter(filter, indexed, schema))
    }

    fn check_query(&self, request: &QueryRequest, schema: &Schema) -> Result<()> {
        self.check_limit(request.limit)?;
        self.check_params(&request.params, schema)?;
        self.check_read_filter(request.filter.as_ref(), schema)?;
        self.check_formula(request.query.as_ref(), schema)?;
        let mut left: Vec<&Prefetch> = request.prefetch.iter().collect();
        while let Some(prefetch) = left.pop() {
            self.check_limit(prefetch.limit)?;
            self.check_params(&prefetch.params, schema)?;
            self.check_read_filter(prefetch.filter.as_ref(), schema)?;
            self.check_formula(prefetch.query.as_ref(), schema)?;
            left.extend(&prefetch.prefetch);
        }
        Ok(())
    }

    fn check_params(&self, params: &SearchParams, schema: &Schema) -> Result<()> {
        check("hnsw_ef", params.hnsw_ef.unwrap_or(0) as u64, self.search_max_hnsw_ef)?;
        if params.exact && self.search_allow_exact == Some(false) {
            return Err(refused("Exact search is disabled", "Set \"exact\" to false"));
        }
        if let (Some(factor), Some(limit)) = (params.quantization.oversampling, self.search_max_oversampling)
            && factor > limit
        {
            return Err(above("oversampling", factor, limit));
        }
        self.check_read_filter(params.idf_corpus.as_ref(), schema)
    }

    /// The conditions of a formula, which are asked of every candidate.
    fn check_formula(&self, query: Option<&Query>, schema: &Schema) -> Result<()> {
        let Some(Query::Formula(formula)) = query else { return Ok(()) };
        let mut found = Vec::new();
        conditions(&formula.expression, &mut found);
        self.check_conditions(found, self.unindexed_filtering_retrieve == Some(false), schema)
    }
}

/// Gathers the conditions of an expression.
fn conditions<'e>(expression: &'e Expression, found: &mut Vec<&'e Condition>) {
    use Expression as E;
    match expression {
        E::Condition(condition) => found.push(condition),
        E::Sum(parts) | E::Mult(parts) | E::Max(parts) | E::Min(parts) => parts.iter().for_each(|part| conditions(part, found)),
        E::Neg(part) | E::Abs(part) | E::Sqrt(part) | E::Exp(part) | E::Log10(part) | E::Ln(part) | E::Acosh(part) => {
            conditions(part, found);
        }
        E::Div { left: a, right: b, .. } | E::Pow { base: a, exponent: b } => [a, b].into_iter().for_each(|part| conditions(part, found)),
        E::Decay { x, target, .. } => {
            conditions(x, found);
            target.iter().for_each(|target| conditions(target, found));
        }
        _ => {}
    }
}
