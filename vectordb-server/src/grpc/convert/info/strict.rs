//! Limits of strict mode, which are stored as the object that clients sent.

use std::collections::HashMap;

use vectordb_core::Value;

use crate::wire;

pub(super) fn strict_mode(config: &Value) -> wire::StrictModeConfig {
    let flag = |name: &str| config.get(name).and_then(Value::as_bool);
    let large = |name: &str| config.get(name).and_then(Value::as_u64);
    let number = |name: &str| large(name).and_then(|number| u32::try_from(number).ok());
    #[expect(clippy::cast_possible_truncation, reason = "the wire has 32 bits for it")]
    let single = |name: &str| config.get(name).and_then(Value::as_f64).map(|number| number as f32);
    let multi = config.get("multivector_config").map(|limits| {
        let one = |limit| wire::StrictModeMultivector { max_vectors: limit };
        wire::StrictModeMultivectorConfig { multivector_config: by_name(limits, "max_vectors", one) }
    });
    let sparse = config.get("sparse_config").map(|limits| {
        let one = |limit| wire::StrictModeSparse { max_length: limit };
        wire::StrictModeSparseConfig { sparse_config: by_name(limits, "max_length", one) }
    });
    wire::StrictModeConfig {
        enabled: flag("enabled"),
        max_query_limit: number("max_query_limit"),
        max_timeout: number("max_timeout"),
        unindexed_filtering_retrieve: flag("unindexed_filtering_retrieve"),
        unindexed_filtering_update: flag("unindexed_filtering_update"),
        search_max_hnsw_ef: number("search_max_hnsw_ef"),
        search_allow_exact: flag("search_allow_exact"),
        search_max_oversampling: single("search_max_oversampling"),
        upsert_max_batchsize: large("upsert_max_batchsize"),
        search_max_batchsize: large("search_max_batchsize"),
        max_collection_vector_size_bytes: large("max_collection_vector_size_bytes"),
        read_rate_limit: number("read_rate_limit"),
        write_rate_limit: number("write_rate_limit"),
        max_collection_payload_size_bytes: large("max_collection_payload_size_bytes"),
        filter_max_conditions: large("filter_max_conditions"),
        condition_max_size: large("condition_max_size"),
        multivector_config: multi,
        sparse_config: sparse,
        max_points_count: large("max_points_count"),
        max_payload_index_count: large("max_payload_index_count"),
        max_resident_memory_percent: number("max_resident_memory_percent"),
    }
}

fn by_name<T>(limits: &Value, name: &str, one: impl Fn(Option<u64>) -> T) -> HashMap<String, T> {
    let limits = limits.as_object().into_iter().flatten();
    limits.map(|(vector, limit)| (vector.clone(), one(limit.get(name).and_then(Value::as_u64)))).collect()
}
