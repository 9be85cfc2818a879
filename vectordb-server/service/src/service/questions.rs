//! Reads.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use vectordb_core::{
    DistanceMatrix, FacetHit, FacetRequest, Filter, GroupsRequest, MAX_RESULTS, MAX_SAMPLED, MatrixRequest, PayloadSelector, PointGroup,
    PointId, Prefetch, Query, QueryRequest, Record, ScoredPoint, ScrollPage, ScrollRequest, SearchParams, SearchTarget, VectorSelector,
};

use super::points::check_id;
use super::strict::admit_read;
use super::{ReadOptions, Service};
use crate::access::{Access, CollectionAccess};
use crate::error::{Result, ServiceError};
use crate::limits::Read;
use crate::shards::{Consistency, Shard, ShardKey, ShardedCollection, reads};

/// A collection and those of its shards that are asked.
struct Asked {
    collection: Arc<ShardedCollection>,
    keys: Vec<ShardKey>,
    /// Where another consistency is wished for, or somebody gives up at some time: the shards, asked like that.
    with: Option<Vec<Shard>>,
}

impl Asked {
    fn shards(&self) -> Result<Vec<&Shard>> {
        match &self.with {
            Some(shards) => Ok(shards.iter().collect()),
            None => self.collection.chosen(Some(&self.keys)),
        }
    }
}

impl Service {
    fn asked(&self, name: &str, read: &Read<'_>, options: &ReadOptions, access: &Access) -> Result<Asked> {
        let collection = self.collection(name, access, CollectionAccess::Read)?;
        admit_read(&collection, options, read)?;
        let mut asked = Asked { collection, keys: options.shard_keys.clone(), with: None };
        if options.consistency != Consistency::Usual || options.deadline.is_some() {
            let shard = |shard: &Shard| Shard { data: shard.data.with(options.consistency, options.deadline), ..shard.clone() };
            asked.with = Some(asked.shards()?.into_iter().map(shard).collect());
        }
        Ok(asked)
    }

    /// Points with chosen parts, in the order asked for; ids that do not exist are left out.
    ///
    /// # Errors
    /// [`Fault::NotFound`](crate::Fault::NotFound) for the collection, and those of the selectors.
    pub fn retrieve(
        &self,
        name: &str,
        ids: &[PointId],
        payload: &PayloadSelector,
        vectors: &VectorSelector,
        options: &ReadOptions,
        access: &Access,
    ) -> Result<Vec<Record>> {
        let asked = self.asked(name, &Read::Ids, options, access)?;
        if !self.settings.allow_string_ids {
            ids.iter().try_for_each(check_id)?;
        }
        reads::retrieve(&asked.shards()?, ids, payload, vectors)
    }

    /// How many points satisfy a filter; with `exact` false, about how many.
    ///
    /// # Errors
    /// [`Fault::NotFound`](crate::Fault::NotFound) for the collection, and those of the filter.
    pub fn count(&self, name: &str, filter: Option<&Filter>, exact: bool, options: &ReadOptions, access: &Access) -> Result<u64> {
        let read = Read::Points { limit: None, filter };
        reads::count(&self.asked(name, &read, options, access)?.shards()?, filter, exact)
    }

    /// One page of a walk over all points, by id or by a payload field.
    ///
    /// # Errors
    /// As [`vectordb_core::Collection::scroll`].
    pub fn scroll(&self, name: &str, mut request: ScrollRequest, options: &ReadOptions, access: &Access) -> Result<ScrollPage> {
        if let (Some(offset), false) = (&request.offset, self.settings.allow_string_ids) {
            check_id(offset)?;
        }
        request.budget = options.budget();
        let read = Read::Points { limit: Some(request.limit), filter: request.filter.as_ref() };
        reads::scroll(&self.asked(name, &read, options, access)?.shards()?, &request)
    }

    /// The best points of a query of any kind.
    ///
    /// # Errors
    /// As [`vectordb_core::Collection::query_points`].
    pub fn query(&self, name: &str, mut request: QueryRequest, options: &ReadOptions, access: &Access) -> Result<Vec<ScoredPoint>> {
        check_query(&request)?;
        let asked = self.asked(name, &Read::Query(&request), options, access)?;
        self.look_up(&mut request, access)?;
        request.budget = options.budget();
        aim(&mut request, options);
        let started = Instant::now();
        let hits = match &options.explanations {
            None => reads::query(&asked.shards()?, &request)?,
            Some(explanations) => {
                let explained = reads::explained(&asked.shards()?, &request)?;
                explanations.add(&explained.shards);
                explained.hits
            }
        };
        self.metrics.search(&asked.collection.name, kind_of(request.query.as_ref()), started.elapsed());
        Ok(hits)
    }

    /// Hits in groups that share a value of a field.
    ///
    /// # Errors
    /// As [`vectordb_core::Collection::groups`].
    pub fn groups(&self, name: &str, mut request: GroupsRequest, options: &ReadOptions, access: &Access) -> Result<Vec<PointGroup>> {
        check_query(&request.query)?;
        // What asks for nothing, the engine refuses.
        check_range("limit", request.query.limit, 0..=MAX_RESULTS)?;
        check_range("group_size", request.group_size, 0..=MAX_RESULTS)?;
        let asked = self.asked(name, &Read::Groups(&request), options, access)?;
        self.look_up(&mut request.query, access)?;
        request.query.budget = options.budget();
        aim(&mut request.query, options);
        let lookup = request.with_lookup.take();
        let started = Instant::now();
        let mut groups = reads::groups(&asked.shards()?, &request)?;
        self.metrics.search(&asked.collection.name, "groups", started.elapsed());
        let Some(lookup) = lookup else { return Ok(groups) };
        let ids: Vec<Option<PointId>> = groups.iter().map(|group| serde_json::from_value(group.id.clone()).ok()).collect();
        let wanted: Vec<PointId> = ids.iter().flatten().cloned().collect();
        let other = self.collection(&lookup.collection, access, CollectionAccess::Read)?;
        let records = reads::retrieve(&other.chosen(None)?, &wanted, &lookup.with_payload, &lookup.with_vectors)?;
        let mut records: BTreeMap<PointId, Record> = records.into_iter().map(|record| (record.id.clone(), record)).collect();
        for (group, id) in groups.iter_mut().zip(ids) {
            group.lookup = id.and_then(|id| records.remove(&id));
        }
        Ok(groups)
    }

    /// The most frequent values of a field, with the number of points that have them.
    ///
    /// # Errors
    /// As [`vectordb_core::Collection::facet`].
    pub fn facet(&self, name: &str, mut request: FacetRequest, options: &ReadOptions, access: &Access) -> Result<Vec<FacetHit>> {
        check_range("limit", request.limit, 1..=MAX_RESULTS)?;
        request.budget = options.budget();
        reads::facet(&self.asked(name, &Read::Facet(&request), options, access)?.shards()?, &request)
    }

    /// The nearest neighbours of a sample of points among themselves.
    ///
    /// # Errors
    /// As [`vectordb_core::Collection::distance_matrix`].
    pub fn distance_matrix(
        &self,
        name: &str,
        mut request: MatrixRequest,
        options: &ReadOptions,
        access: &Access,
    ) -> Result<DistanceMatrix> {
        check_range("limit", request.limit, 1..=MAX_RESULTS)?;
        check_range("sample", request.sample, 2..=MAX_SAMPLED)?;
        request.budget = options.budget();
        reads::distance_matrix(&self.asked(name, &Read::Matrix(&request), options, access)?.shards()?, &request)
    }

    /// Turns the ids of other collections' points into their vectors.
    fn look_up(&self, request: &mut QueryRequest, access: &Access) -> Result<()> {
        let QueryRequest { query, lookup_from, prefetch, .. } = request;
        self.replace(query.as_mut(), lookup_from.take(), access)?;
        let mut left: Vec<&mut Prefetch> = prefetch.iter_mut().collect();
        while let Some(Prefetch { query, lookup_from, prefetch, .. }) = left.pop() {
            self.replace(query.as_mut(), lookup_from.take(), access)?;
            left.extend(prefetch);
        }
        Ok(())
    }

    fn replace(&self, query: Option<&mut Query>, from: Option<vectordb_core::LookupLocation>, access: &Access) -> Result<()> {
        let (Some(query), Some(from)) = (query, from) else { return Ok(()) };
        let other = self.collection(&from.collection, access, CollectionAccess::Read)?;
        let wanted = VectorSelector::Names(vec![from.vector.clone()]);
        for target in query.targets_mut() {
            let SearchTarget::Id(id) = target else { continue };
            let record = reads::retrieve(&other.chosen(None)?, std::slice::from_ref(id), &PayloadSelector::None, &wanted)?.pop();
            let record = record.ok_or_else(|| vectordb_core::Error::PointNotFound { id: id.to_string() })?;
            let vector = record.vectors.and_then(|mut vectors| vectors.remove(&from.vector));
            let missing = || ServiceError::input(format!("point {id} of `{}` has no vector `{}`", from.collection, from.vector));
            *target = SearchTarget::Vector(vector.ok_or_else(missing)?);
        }
        Ok(())
    }
}

/// Refuses a number that asks for nothing, and one that asks for too much.
fn check_range(field: &str, value: usize, range: RangeInclusive<usize>) -> Result<()> {
    let (least, most) = (range.start(), range.end());
    if value < *least {
        return Err(ServiceError::validation(field, format!("value {value} invalid, must be {least} or larger")));
    }
    if value > *most {
        return Err(ServiceError::validation(field, format!("value {value} invalid, must be {most} or smaller")));
    }
    Ok(())
}

/// Refuses what no query, or no part of one, can be asked with, also where it would make no difference.
fn check_query(request: &QueryRequest) -> Result<()> {
    check_params("params", &request.params)?;
    let mut left: Vec<&Prefetch> = request.prefetch.iter().collect();
    while let Some(prefetch) = left.pop() {
        check_params("prefetch.params", &prefetch.params)?;
        left.extend(&prefetch.prefetch);
    }
    Ok(())
}

fn check_params(place: &str, params: &SearchParams) -> Result<()> {
    match params.quantization.oversampling.filter(|factor| !factor.is_finite() || *factor < 1.0) {
        None => Ok(()),
        Some(factor) => {
            let field = format!("{place}.quantization.oversampling");
            Err(ServiceError::validation(field, format!("value {factor} invalid, must be 1 or larger")))
        }
    }
}

/// The kind of a query, as metrics call it.
fn kind_of(query: Option<&Query>) -> &'static str {
    match query {
        None => "scroll",
        Some(Query::Nearest { .. }) => "nearest",
        Some(Query::Recommend { .. }) => "recommend",
        Some(Query::Discover { .. }) => "discover",
        Some(Query::Context { .. }) => "context",
        Some(Query::Rrf(_) | Query::Dbsf) => "fusion",
        Some(Query::Formula(_)) => "formula",
        Some(Query::OrderBy(_)) => "order_by",
        Some(Query::Sample { .. }) => "sample",
        Some(Query::Text { .. }) => "text",
        Some(_) => "other",
    }
}

/// Lets searches that say nothing of their precision find the share of the true nearest points that is asked for beside them.
fn aim(request: &mut QueryRequest, options: &ReadOptions) {
    let Some(recall) = options.recall else { return };
    let aim = |params: &mut SearchParams| {
        if params.hnsw_ef.is_none() && params.recall.is_none() && !params.exact {
            params.recall = Some(recall);
        }
    };
    aim(&mut request.params);
    let mut left: Vec<&mut Prefetch> = request.prefetch.iter_mut().collect();
    while let Some(Prefetch { params, prefetch, .. }) = left.pop() {
        aim(params);
        left.extend(prefetch);
    }
}
