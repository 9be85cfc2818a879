//! Points in answers.

use serde::ser::{Serialize, SerializeMap, Serializer};
use vectordb_core::{PointGroup, Record, ScoredPoint, UNNAMED, Vector, Vectors};

/// A record as the wire has it.
pub(crate) struct RecordOut<'a>(pub(crate) &'a Record);

impl Serialize for RecordOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &record.id)?;
        if let Some(payload) = &record.payload {
            map.serialize_entry("payload", payload)?;
        }
        if let Some(vectors) = &record.vectors {
            map.serialize_entry("vector", &VectorsOut(vectors))?;
        }
        if let Some(value) = &record.order_value {
            map.serialize_entry("order_value", value)?;
        }
        map.end()
    }
}

/// A hit as the wire has it.
pub(crate) struct ScoredOut<'a>(pub(crate) &'a ScoredPoint);

impl Serialize for ScoredOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hit = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &hit.id)?;
        map.serialize_entry("version", &hit.version.0)?;
        map.serialize_entry("score", &hit.score)?;
        if let Some(payload) = &hit.payload {
            map.serialize_entry("payload", payload)?;
        }
        if let Some(vectors) = &hit.vectors {
            map.serialize_entry("vector", &VectorsOut(vectors))?;
        }
        if let Some(value) = &hit.order_value {
            map.serialize_entry("order_value", value)?;
        }
        map.end()
    }
}

/// A group as the wire has it.
pub(crate) struct GroupOut<'a>(pub(crate) &'a PointGroup);

impl Serialize for GroupOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let group = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("hits", &group.hits.iter().map(ScoredOut).collect::<Vec<_>>())?;
        map.serialize_entry("id", &group.id)?;
        if let Some(lookup) = &group.lookup {
            map.serialize_entry("lookup", &RecordOut(lookup))?;
        }
        map.end()
    }
}

/// The unnamed vector by itself, or vectors by name.
struct VectorsOut<'a>(&'a Vectors);

impl Serialize for VectorsOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.get(UNNAMED) {
            Some(vector) if self.0.len() == 1 => VectorOut(vector).serialize(serializer),
            _ => serializer.collect_map(self.0.iter().map(|(name, vector)| (name, VectorOut(vector)))),
        }
    }
}

struct VectorOut<'a>(&'a Vector);

impl Serialize for VectorOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Vector::Dense(values) => values.serialize(serializer),
            Vector::Multi(rows) => serializer.collect_seq(rows.rows()),
            Vector::Sparse(sparse) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("indices", sparse.indices())?;
                map.serialize_entry("values", sparse.values())?;
                map.end()
            }
            other => other.to_json().serialize(serializer),
        }
    }
}
