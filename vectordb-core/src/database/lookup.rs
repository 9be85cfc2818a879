//! Vectors and records of other collections.

use std::borrow::Cow;

use super::Database;
use crate::error::{Error, Result};
use crate::model::PointId;
use crate::model::point::{PayloadSelector, VectorSelector};
use crate::model::query::Target;
use crate::model::ranking::{GroupLookup, LookupLocation, PointGroup, Prefetch, Query, QueryRequest};

impl Database {
    /// The request with the ids of other collections' points turned into their vectors.
    ///
    /// # Errors
    /// [`Error::CollectionNotFound`], [`Error::PointNotFound`], [`Error::VectorNotFound`], and [`Error::InvalidQuery`] for a
    /// point without the vector.
    pub(super) fn looked_up<'q>(&self, request: &'q QueryRequest) -> Result<Cow<'q, QueryRequest>> {
        if request.lookup_from.is_none() && !request.prefetch.iter().any(looks_up) {
            return Ok(Cow::Borrowed(request));
        }
        let mut request = request.clone();
        self.replace(request.lookup_from.as_ref(), request.query.as_mut())?;
        let mut rest: Vec<&mut Prefetch> = request.prefetch.iter_mut().collect();
        while let Some(prefetch) = rest.pop() {
            self.replace(prefetch.lookup_from.as_ref(), prefetch.query.as_mut())?;
            rest.extend(&mut prefetch.prefetch);
        }
        Ok(Cow::Owned(request))
    }

    fn replace(&self, from: Option<&LookupLocation>, query: Option<&mut Query>) -> Result<()> {
        let (Some(from), Some(query)) = (from, query) else { return Ok(()) };
        let other = self.get(&from.collection)?;
        let wanted = VectorSelector::Names(vec![from.vector.clone()]);
        for target in query.targets_mut() {
            let Target::Id(id) = target else { continue };
            let record = other.retrieve(std::slice::from_ref(id), &PayloadSelector::None, &wanted)?.pop();
            let vectors = record.ok_or_else(|| Error::PointNotFound { id: id.to_string() })?.vectors;
            let missing = || Error::query(format!("point {id} of `{}` has no vector `{}`", from.collection, from.vector));
            let vector = vectors.and_then(|mut vectors| vectors.remove(&from.vector)).ok_or_else(missing)?;
            *target = Target::Vector(vector);
        }
        Ok(())
    }

    /// Gives groups the records whose ids are the values the groups share.
    ///
    /// # Errors
    /// [`Error::CollectionNotFound`], and those of the selectors.
    pub(super) fn joined(&self, mut groups: Vec<PointGroup>, lookup: &GroupLookup) -> Result<Vec<PointGroup>> {
        let other = self.get(&lookup.collection)?;
        for group in &mut groups {
            let Ok(id) = serde_json::from_value::<PointId>(group.id.clone()) else { continue };
            group.lookup = other.retrieve(&[id], &lookup.with_payload, &lookup.with_vectors)?.pop();
        }
        Ok(groups)
    }
}

fn looks_up(prefetch: &Prefetch) -> bool {
    prefetch.lookup_from.is_some() || prefetch.prefetch.iter().any(looks_up)
}
