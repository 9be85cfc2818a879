//! Changes of a collection.
//!
//! [`Update`] is what a caller asks for; it may name its points by a filter or depend on one. [`Change`] is what the log
//! holds: the same with every filter resolved to ids, so that replay and replicas need not decide anything.

use serde::{Deserialize, Serialize};

use super::config::{CollectionConfig, FieldSchema, SparseVectorParams, VectorParams};
use super::filter::Filter;
use super::payload::{Payload, PayloadPath};
use super::point::{Point, PointId};
use super::vector::Vectors;

/// Which points an update is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Target {
    /// These; ids that do not exist are passed over where the update allows it.
    Ids(Vec<PointId>),
    /// Every point the filter holds for.
    Filter(Filter),
}

impl From<Filter> for Target {
    fn from(filter: Filter) -> Self {
        Self::Filter(filter)
    }
}

impl From<Vec<PointId>> for Target {
    fn from(ids: Vec<PointId>) -> Self {
        Self::Ids(ids)
    }
}

impl<T: Into<PointId>, const N: usize> From<[T; N]> for Target {
    fn from(ids: [T; N]) -> Self {
        Self::Ids(ids.into_iter().map(Into::into).collect())
    }
}

/// What an upsert does with points that exist, or do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpsertMode {
    /// Insert new points, replace existing ones.
    #[default]
    Upsert,
    /// Insert new points, leave existing ones alone.
    InsertOnly,
    /// Replace existing points, pass over new ones.
    UpdateOnly,
}

/// One operation of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Update {
    /// Insert or replace whole points. The last of several points with one id wins.
    Upsert {
        /// The points.
        points: Vec<Point>,
        /// What to do with points that exist, or do not.
        mode: UpsertMode,
        /// An existing point is replaced only when this holds for it.
        condition: Option<Filter>,
    },
    /// Remove points.
    Delete(Target),
    /// Replace single vectors of existing points; other vectors and the payload stay.
    UpdateVectors {
        /// Ids and the vectors to replace.
        points: Vec<(PointId, Vectors)>,
        /// A point is changed only when this holds for it.
        condition: Option<Filter>,
    },
    /// Remove single vectors.
    DeleteVectors {
        /// Which points.
        target: Target,
        /// Names of the vectors.
        names: Vec<String>,
    },
    /// Merge keys into the payload, or into the object at `key`; a key whose new value is null is taken away.
    SetPayload {
        /// Which points.
        target: Target,
        /// The keys to set.
        payload: Payload,
        /// Where to merge; `None` is the top.
        key: Option<PayloadPath>,
    },
    /// Replace the payload, or the value at `key`.
    OverwritePayload {
        /// Which points.
        target: Target,
        /// The new payload.
        payload: Payload,
        /// Where to put it; `None` is the top.
        key: Option<PayloadPath>,
    },
    /// Remove the values at some paths.
    DeletePayload {
        /// Which points.
        target: Target,
        /// The paths.
        keys: Vec<PayloadPath>,
    },
    /// Empty the payload.
    ClearPayload(Target),
    /// Index a payload field. Indexing it again in the same way changes nothing.
    CreateFieldIndex {
        /// The field.
        field: PayloadPath,
        /// How to index it.
        schema: FieldSchema,
    },
    /// Drop a payload index, if there is one.
    DropFieldIndex {
        /// The field.
        field: PayloadPath,
    },
    /// Add a named vector to the collection; no point has it yet.
    CreateVector {
        /// Its name.
        name: String,
        /// Its parameters.
        params: VectorParams,
    },
    /// Add a named sparse vector to the collection; no point has it yet.
    CreateSparseVector {
        /// Its name.
        name: String,
        /// Its parameters.
        params: SparseVectorParams,
    },
    /// Remove a named vector from the collection and from every point.
    DropVector {
        /// Its name.
        name: String,
    },
}

impl Update {
    /// An upsert of whole points without conditions.
    pub fn upsert(points: impl IntoIterator<Item = Point>) -> Self {
        Self::Upsert { points: points.into_iter().collect(), mode: UpsertMode::Upsert, condition: None }
    }
}

/// One logged operation: an [`Update`] whose filters are resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Change {
    Upsert(Vec<Point>),
    Delete(Vec<PointId>),
    UpdateVectors(Vec<(PointId, Vectors)>),
    DeleteVectors {
        ids: Vec<PointId>,
        names: Vec<String>,
    },
    SetPayload {
        ids: Vec<PointId>,
        #[serde(with = "super::payload::as_json_text")]
        payload: Payload,
        key: Option<PayloadPath>,
    },
    OverwritePayload {
        ids: Vec<PointId>,
        #[serde(with = "super::payload::as_json_text")]
        payload: Payload,
        key: Option<PayloadPath>,
    },
    DeletePayload {
        ids: Vec<PointId>,
        keys: Vec<PayloadPath>,
    },
    ClearPayload(Vec<PointId>),
    Configure(#[serde(with = "as_json")] Box<CollectionConfig>),
}

/// Values whose serde form needs a self-describing format, inside binary formats: as JSON text.
mod as_json {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

    pub(super) fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::to_string(value).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map_err(serde::de::Error::custom)
    }
}
