//! What a record returns: payload and vectors of the few points that made it.

use super::Found;
use crate::error::Result;
use crate::model::config::CollectionConfig;
use crate::model::payload::{Payload, PayloadPath};
use crate::model::point::{PayloadSelector, Record, ScoredPoint, VectorSelector};
use crate::model::vector::Vectors;
use crate::payload::path;
use crate::segment::Segment;

/// Refuses selectors that name unknown vectors or have bad paths, before any work is done.
pub(super) fn check_selectors(config: &CollectionConfig, payload: &PayloadSelector, vectors: &VectorSelector) -> Result<()> {
    if let VectorSelector::Names(names) = vectors {
        names.iter().try_for_each(|name| config.kind_of(name).map(drop))?;
    }
    match payload {
        PayloadSelector::Include(paths) | PayloadSelector::Exclude(paths) => {
            paths.iter().try_for_each(|path| PayloadPath::parse(path).map(drop))
        }
        PayloadSelector::None | PayloadSelector::All => Ok(()),
    }
}

pub(super) fn record(segment: &dyn Segment, row: u32, payload: &PayloadSelector, vectors: &VectorSelector) -> Result<Record> {
    Ok(Record {
        id: segment.id(row),
        version: segment.version(row),
        payload: self::payload(segment, row, payload)?,
        vectors: self::vectors(segment, row, vectors),
        order_value: None,
    })
}

pub(super) fn scored(hit: Found<'_>, payload: &PayloadSelector, vectors: &VectorSelector) -> Result<ScoredPoint> {
    Ok(ScoredPoint {
        version: hit.segment.version(hit.row),
        payload: self::payload(hit.segment, hit.row, payload)?,
        vectors: self::vectors(hit.segment, hit.row, vectors),
        score: hit.score,
        id: hit.id,
        order_value: hit.order_value,
    })
}

pub(super) fn payload(segment: &dyn Segment, row: u32, selector: &PayloadSelector) -> Result<Option<Payload>> {
    Ok(match selector {
        PayloadSelector::None => None,
        PayloadSelector::All => Some(segment.payload(row)?.into_owned()),
        PayloadSelector::Include(_) | PayloadSelector::Exclude(_) => Some(path::select(&*segment.payload(row)?, selector)?),
    })
}

pub(super) fn vectors(segment: &dyn Segment, row: u32, selector: &VectorSelector) -> Option<Vectors> {
    (*selector != VectorSelector::None).then(|| segment.vectors(row, &|name| selector.contains(name)))
}
