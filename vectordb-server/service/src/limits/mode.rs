//! The limits of a collection.

use std::collections::BTreeMap;

use serde::Deserialize;
use vectordb_core::Value;

use crate::error::{Fault, Result, ServiceError};

/// The limits of a collection, by the names of the wire.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StrictMode {
    pub(super) enabled: Option<bool>,
    pub(super) max_query_limit: Option<u64>,
    pub(super) max_timeout: Option<u64>,
    pub(super) unindexed_filtering_retrieve: Option<bool>,
    pub(super) unindexed_filtering_update: Option<bool>,
    pub(super) search_max_hnsw_ef: Option<u64>,
    pub(super) search_allow_exact: Option<bool>,
    pub(super) search_max_oversampling: Option<f64>,
    pub(super) upsert_max_batchsize: Option<u64>,
    pub(super) search_max_batchsize: Option<u64>,
    pub(super) max_collection_vector_size_bytes: Option<u64>,
    pub(super) max_collection_payload_size_bytes: Option<u64>,
    pub(super) read_rate_limit: Option<u64>,
    pub(super) write_rate_limit: Option<u64>,
    pub(super) max_points_count: Option<u64>,
    pub(super) filter_max_conditions: Option<u64>,
    pub(super) condition_max_size: Option<u64>,
    pub(super) multivector_config: BTreeMap<String, MaxVectors>,
    pub(super) sparse_config: BTreeMap<String, MaxLength>,
    pub(super) max_payload_index_count: Option<u64>,
    pub(super) max_resident_memory_percent: Option<u64>,
}

/// Most vectors of a multivector.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct MaxVectors {
    pub(super) max_vectors: Option<u64>,
}

/// Most entries of a sparse vector.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct MaxLength {
    pub(super) max_length: Option<u64>,
}

impl StrictMode {
    /// The limits of a configuration; none where they are not switched on.
    ///
    /// # Errors
    /// [`Fault::Format`] for a limit of another type, [`Fault::Validation`] for one that nothing could keep.
    pub(crate) fn of(config: Option<&Value>) -> Result<Option<Self>> {
        let Some(config) = config else { return Ok(None) };
        let form = |error: serde_json::Error| ServiceError::new(Fault::Format, format!("strict_mode_config: {error}"));
        let mode = Self::deserialize(config).map_err(form)?;
        mode.validate()?;
        Ok(Some(mode).filter(|mode| mode.enabled == Some(true)))
    }

    fn validate(&self) -> Result<()> {
        let counts = [
            ("max_query_limit", self.max_query_limit),
            ("max_timeout", self.max_timeout),
            ("upsert_max_batchsize", self.upsert_max_batchsize),
            ("search_max_batchsize", self.search_max_batchsize),
            ("max_collection_vector_size_bytes", self.max_collection_vector_size_bytes),
            ("max_collection_payload_size_bytes", self.max_collection_payload_size_bytes),
            ("read_rate_limit", self.read_rate_limit),
            ("write_rate_limit", self.write_rate_limit),
            ("max_points_count", self.max_points_count),
            ("max_resident_memory_percent", self.max_resident_memory_percent),
        ];
        let refuse = |name: &str, reason: String| Err(ServiceError::validation(format!("strict_mode_config.{name}"), reason));
        if let Some((name, _)) = counts.into_iter().find(|(_, limit)| *limit == Some(0)) {
            return refuse(name, "value 0 invalid, must be 1 or larger".to_owned());
        }
        if let Some(percent) = self.max_resident_memory_percent.filter(|&percent| percent > 100) {
            return refuse("max_resident_memory_percent", format!("value {percent} invalid, must be from 1 to 100"));
        }
        match self.search_max_oversampling.filter(|limit| !limit.is_finite() || *limit < 0.0) {
            Some(limit) => refuse("search_max_oversampling", format!("value {limit} invalid, must be 0 or larger")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_that_are_not_switched_on_are_none() {
        assert_eq!(StrictMode::of(None).expect("nothing is said"), None);
        for off in [json!({}), json!({"max_query_limit": 3}), json!({"enabled": false, "max_query_limit": 3}), json!({"enabled": null})] {
            assert_eq!(StrictMode::of(Some(&off)).expect("good limits"), None, "{off}");
        }
        let on = StrictMode::of(Some(&json!({"enabled": true, "max_query_limit": 3}))).expect("good limits");
        assert_eq!(on.expect("they are on").max_query_limit, Some(3));
    }

    #[test]
    fn limits_that_nothing_could_keep_are_refused() {
        let fault = |json: Value| StrictMode::of(Some(&json)).expect_err("a bad limit");
        let zero = fault(json!({"max_points_count": 0}));
        assert_eq!(zero.fault, Fault::Validation);
        assert_eq!(zero.message, "[strict_mode_config.max_points_count: value 0 invalid, must be 1 or larger]");
        assert_eq!(fault(json!({"max_resident_memory_percent": 101})).fault, Fault::Validation);
        assert_eq!(fault(json!({"search_max_oversampling": -1.0})).fault, Fault::Validation);
        assert_eq!(fault(json!({"max_timeout": "long"})).fault, Fault::Format);
    }
}
