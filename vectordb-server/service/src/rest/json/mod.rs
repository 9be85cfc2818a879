//! Parts of bodies, in and out.
//!
//! Files: `numbers` (lists of them), `vector` (vectors of points, the bulk of every upload), `update` (bodies of writes), `query` (bodies of queries), `output`
//! (points in answers), `config` (collections).

mod config;
mod numbers;
mod output;
mod query;
mod update;
mod vector;

use vectordb_core::{PointId, Value};

use crate::error::{Fault, Result, ServiceError};
use crate::shards::ShardKey;

pub(super) use config::info;
pub(crate) use config::wanted_shards;
pub use config::{collection_config, config_diff, field_schema, new_vector};
pub(super) use output::{GroupOut, RecordOut, ScoredOut};
pub(super) use query::{QueryBody, check_lookup};
pub(super) use update::{
    BatchOperation, DeletePayloadBody, DeleteVectorsBody, PayloadBody, SelectorBody, UpdateVectorsBody, Updates, UpsertBody,
};

/// The shard keys of a selector: one, several, or one with another to take where it does not exist.
///
/// # Errors
/// JSON of another form.
pub(super) fn shard_keys(selector: &Value, exists: &dyn Fn(&ShardKey) -> bool) -> Result<Vec<ShardKey>> {
    let key = |json: &Value| {
        let key =
            Some(json).filter(|json| json.as_str() != Some("")).and_then(|json| serde_json::from_value::<ShardKey>(json.clone()).ok());
        key.ok_or_else(|| bad_form("expected a shard key"))
    };
    match selector {
        // None at all would be taken for all shards.
        Value::Array(keys) if keys.is_empty() => Err(bad_form("expected a shard key")),
        Value::Array(keys) => keys.iter().map(key).collect(),
        Value::Object(map) => match (map.get("target"), map.get("fallback")) {
            (Some(target), Some(fallback)) => {
                // Both must be keys, whichever it will be.
                let (target, fallback) = (key(target)?, key(fallback)?);
                Ok(vec![if exists(&target) { target } else { fallback }])
            }
            _ => Err(bad_form("expected a shard key, or `target` and `fallback`")),
        },
        one => Ok(vec![key(one)?]),
    }
}

/// The id of a path: a number or a UUID.
///
/// # Errors
/// [`Fault::Format`].
pub(super) fn point_id(text: &str) -> Result<PointId> {
    match text.parse::<u64>() {
        Ok(number) => Ok(number.into()),
        Err(_) => PointId::parse(text).map_err(ServiceError::from),
    }
}

/// JSON of another form than it should have.
pub(super) fn bad_form(message: impl Into<String>) -> ServiceError {
    ServiceError::new(Fault::Format, message)
}
