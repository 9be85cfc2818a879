//! Bodies of writes.

use serde::Deserialize;
use vectordb_core::{Filter, Payload, PayloadPath, Point, PointId, Target, Update, UpsertMode, Value};

use super::bad_form;
use super::vector::{VectorColumns, VectorForm};
use crate::error::{Result, ServiceError};

/// A body that becomes an update, and names shards.
pub(crate) trait Updates {
    /// The update.
    ///
    /// # Errors
    /// Filters, vectors and paths of a wrong form.
    fn into_update(self) -> Result<Update>;

    /// The selector of shards.
    fn shard_key(&self) -> Option<&Value>;
}

#[derive(Debug, Deserialize)]
struct PointBody {
    id: PointId,
    vector: VectorForm,
    #[serde(default)]
    payload: Option<Payload>,
}

#[derive(Debug, Deserialize)]
struct Columns {
    ids: Vec<PointId>,
    vectors: VectorColumns,
    #[serde(default)]
    payloads: Option<Vec<Option<Payload>>>,
}

/// Points to insert or replace, by row or by column.
#[derive(Debug, Deserialize)]
pub(crate) struct UpsertBody {
    #[serde(default)]
    points: Option<Vec<PointBody>>,
    #[serde(default)]
    batch: Option<Columns>,
    #[serde(default)]
    shard_key: Option<Value>,
    #[serde(default)]
    update_filter: Option<Value>,
    #[serde(default)]
    update_mode: Option<UpsertMode>,
}

impl Updates for UpsertBody {
    fn into_update(self) -> Result<Update> {
        let points: Vec<Point> = match (self.points, self.batch) {
            (Some(points), None) => points
                .into_iter()
                .map(|point| {
                    let vectors = point.vector.into_vectors().map_err(|error| of_point(&point.id, error))?;
                    Ok(Point { id: point.id, vectors, payload: point.payload.unwrap_or_default() })
                })
                .collect::<Result<_>>()?,
            (None, Some(Columns { ids, vectors, payloads })) => {
                let payloads = payloads.unwrap_or_else(|| vec![None; ids.len()]);
                if payloads.len() != ids.len() {
                    return Err(bad_form(format!("number of ids and payloads must be equal ({} != {})", ids.len(), payloads.len())));
                }
                let vectors = vectors.into_rows(ids.len())?;
                let rows = ids.into_iter().zip(vectors).zip(payloads);
                rows.map(|((id, vectors), payload)| Point { id, vectors, payload: payload.unwrap_or_default() }).collect()
            }
            _ => return Err(bad_form("expected either `points` or `batch`")),
        };
        let condition = self.update_filter.as_ref().map(Filter::from_json).transpose()?;
        Ok(Update::Upsert { points, mode: self.update_mode.unwrap_or_default(), condition })
    }

    fn shard_key(&self) -> Option<&Value> {
        self.shard_key.as_ref()
    }
}

fn of_point(id: &PointId, error: ServiceError) -> ServiceError {
    ServiceError { message: format!("point {id}: {}", error.message), ..error }
}

/// Points by ids or by a filter.
#[derive(Debug, Deserialize)]
pub(crate) struct SelectorBody {
    #[serde(default)]
    points: Option<Vec<PointId>>,
    #[serde(default)]
    filter: Option<Value>,
    #[serde(default)]
    shard_key: Option<Value>,
}

impl SelectorBody {
    pub(crate) fn shard_key(&self) -> Option<&Value> {
        self.shard_key.as_ref()
    }

    pub(crate) fn into_target(self) -> Result<Target> {
        match (self.points, self.filter) {
            (Some(points), _) => Ok(Target::Ids(points)),
            (None, Some(filter)) => Ok(Target::Filter(Filter::from_json(&filter)?)),
            (None, None) => Err(bad_form("expected either `points` or `filter`")),
        }
    }
}

/// Vectors to replace.
#[derive(Debug, Deserialize)]
pub(crate) struct UpdateVectorsBody {
    points: Vec<PointVectors>,
    #[serde(default)]
    shard_key: Option<Value>,
    #[serde(default)]
    update_filter: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct PointVectors {
    id: PointId,
    vector: VectorForm,
}

impl Updates for UpdateVectorsBody {
    fn into_update(self) -> Result<Update> {
        let vectors = |point: PointVectors| {
            let vectors = point.vector.into_vectors().map_err(|error| of_point(&point.id, error))?;
            Ok((point.id, vectors))
        };
        Ok(Update::UpdateVectors {
            points: self.points.into_iter().map(vectors).collect::<Result<_>>()?,
            condition: self.update_filter.as_ref().map(Filter::from_json).transpose()?,
        })
    }

    fn shard_key(&self) -> Option<&Value> {
        self.shard_key.as_ref()
    }
}

/// Vectors to remove.
#[derive(Debug, Deserialize)]
pub(crate) struct DeleteVectorsBody {
    vector: Vec<String>,
    #[serde(flatten)]
    selector: SelectorBody,
}

impl Updates for DeleteVectorsBody {
    fn into_update(self) -> Result<Update> {
        Ok(Update::DeleteVectors { target: self.selector.into_target()?, names: self.vector })
    }

    fn shard_key(&self) -> Option<&Value> {
        self.selector.shard_key()
    }
}

/// A payload to merge or to put in place of another.
#[derive(Debug, Deserialize)]
pub(crate) struct PayloadBody {
    payload: Payload,
    #[serde(default)]
    key: Option<String>,
    #[serde(flatten)]
    selector: SelectorBody,
}

impl PayloadBody {
    pub(crate) fn shard_key(&self) -> Option<&Value> {
        self.selector.shard_key()
    }

    pub(crate) fn into_update(self, overwrite: bool) -> Result<Update> {
        let key = self.key.as_deref().map(PayloadPath::parse).transpose()?;
        let (target, payload) = (self.selector.into_target()?, self.payload);
        Ok(if overwrite { Update::OverwritePayload { target, payload, key } } else { Update::SetPayload { target, payload, key } })
    }
}

/// Values to remove from payloads.
#[derive(Debug, Deserialize)]
pub(crate) struct DeletePayloadBody {
    keys: Vec<String>,
    #[serde(flatten)]
    selector: SelectorBody,
}

impl Updates for DeletePayloadBody {
    fn into_update(self) -> Result<Update> {
        let keys = self.keys.iter().map(|key| PayloadPath::parse(key)).collect::<Result<_, _>>()?;
        Ok(Update::DeletePayload { target: self.selector.into_target()?, keys })
    }

    fn shard_key(&self) -> Option<&Value> {
        self.selector.shard_key()
    }
}

/// One operation of a batch.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BatchOperation {
    Upsert(UpsertBody),
    Delete(SelectorBody),
    SetPayload(PayloadBody),
    OverwritePayload(PayloadBody),
    DeletePayload(DeletePayloadBody),
    ClearPayload(SelectorBody),
    UpdateVectors(UpdateVectorsBody),
    DeleteVectors(DeleteVectorsBody),
}

impl Updates for BatchOperation {
    fn into_update(self) -> Result<Update> {
        match self {
            Self::Upsert(body) => body.into_update(),
            Self::Delete(body) => Ok(Update::Delete(body.into_target()?)),
            Self::SetPayload(body) => body.into_update(false),
            Self::OverwritePayload(body) => body.into_update(true),
            Self::DeletePayload(body) => body.into_update(),
            Self::ClearPayload(body) => Ok(Update::ClearPayload(body.into_target()?)),
            Self::UpdateVectors(body) => body.into_update(),
            Self::DeleteVectors(body) => body.into_update(),
        }
    }

    fn shard_key(&self) -> Option<&Value> {
        match self {
            Self::Upsert(body) => body.shard_key(),
            Self::Delete(body) | Self::ClearPayload(body) => body.shard_key(),
            Self::SetPayload(body) | Self::OverwritePayload(body) => body.shard_key(),
            Self::DeletePayload(body) => body.shard_key(),
            Self::UpdateVectors(body) => body.shard_key(),
            Self::DeleteVectors(body) => body.shard_key(),
        }
    }
}
