//! What collections are made of: messages in the form of the REST bodies, whose reading, defaults and checks are then shared.

#![expect(deprecated, reason = "older clients send the older fields")]

use std::collections::HashMap;

use serde_json::{Map, json};
use vectordb_core::Value;
use vectordb_service::Result;

use super::{needed, one_of, point};
use crate::wire;

/// The body that makes a collection.
pub(crate) fn collection(new: wire::CreateCollection) -> Result<Value> {
    Ok(json!({
        "vectors": new.vectors_config.map(vectors).transpose()?,
        "sparse_vectors": new.sparse_vectors_config.map(sparse_vectors).transpose()?,
        "shard_number": new.shard_number,
        "sharding_method": new.sharding_method.map(|method| named::<wire::ShardingMethod>("sharding_method", method)).transpose()?,
        "replication_factor": new.replication_factor,
        "write_consistency_factor": new.write_consistency_factor,
        "on_disk_payload": new.on_disk_payload,
        "payload": new.payload.map(|payload| Ok::<_, vectordb_service::ServiceError>(json!({"memory": memory(payload.memory)?}))).transpose()?,
        "hnsw_config": new.hnsw_config.map(hnsw).transpose()?,
        "wal_config": new.wal_config.map(wal),
        "optimizers_config": new.optimizers_config.map(optimizers),
        "quantization_config": new.quantization_config.map(quantization).transpose()?,
        "strict_mode_config": new.strict_mode_config.map(strict_mode),
        "metadata": metadata(new.metadata)?,
    }))
}

/// The body that changes a collection.
pub(crate) fn collection_diff(diff: wire::UpdateCollection) -> Result<Value> {
    let params = diff.params.map(|params| {
        json!({
            "replication_factor": params.replication_factor,
            "write_consistency_factor": params.write_consistency_factor,
            "read_fan_out_factor": params.read_fan_out_factor,
            "read_fan_out_delay_ms": params.read_fan_out_delay_ms,
            "on_disk_payload": params.on_disk_payload,
        })
    });
    Ok(json!({
        "vectors": diff.vectors_config.map(vector_diffs).transpose()?,
        "sparse_vectors": diff.sparse_vectors_config.map(sparse_vectors).transpose()?,
        "hnsw_config": diff.hnsw_config.map(hnsw).transpose()?,
        "optimizers_config": diff.optimizers_config.map(optimizers),
        "quantization_config": diff.quantization_config.map(quantization_diff).transpose()?,
        "strict_mode_config": diff.strict_mode_config.map(strict_mode),
        "params": params,
        "metadata": metadata(diff.metadata)?,
    }))
}

fn metadata(fields: HashMap<String, wire::Value>) -> Result<Option<Value>> {
    if fields.is_empty() { Ok(None) } else { Ok(Some(Value::Object(point::payload(fields)?))) }
}

/// A value of an enumeration whose names are those of JSON in other letters.
fn named<T: TryFrom<i32> + Into<Named>>(field: &str, number: i32) -> Result<String> {
    Ok(one_of::<T>(field, number)?.into().0)
}

/// The name of a value of an enumeration, as JSON has it.
struct Named(String);

macro_rules! names_in_small_letters {
    ($($kind:ident),*) => {
        $(impl From<wire::$kind> for Named {
            fn from(kind: wire::$kind) -> Self {
                Self(kind.as_str_name().to_lowercase())
            }
        })*
    };
}

names_in_small_letters!(
    ShardingMethod,
    Memory,
    Datatype,
    Modifier,
    CompressionRatio,
    TurboQuantBitSize,
    TokenizerType,
    QuantizationType,
    TextScoringType
);

fn memory(memory: Option<i32>) -> Result<Option<String>> {
    let known = memory.filter(|&memory| memory != wire::Memory::Unknown as i32);
    known.map(|memory| named::<wire::Memory>("memory", memory)).transpose()
}

fn datatype(datatype: Option<i32>) -> Result<Option<String>> {
    let known = datatype.filter(|&datatype| datatype != wire::Datatype::Default as i32);
    known.map(|datatype| named::<wire::Datatype>("datatype", datatype)).transpose()
}

fn distance(distance: i32) -> Result<Option<&'static str>> {
    let distance: wire::Distance = one_of("distance", distance)?;
    Ok(Some(distance.as_str_name()).filter(|_| distance != wire::Distance::UnknownDistance))
}

fn comparator(multi: Option<wire::MultiVectorConfig>) -> Result<Option<Value>> {
    let one = |multi: wire::MultiVectorConfig| match one_of("comparator", multi.comparator)? {
        wire::MultiVectorComparator::MaxSim => Ok(json!({"comparator": "max_sim"})),
    };
    multi.map(one).transpose()
}

fn vectors(config: wire::VectorsConfig) -> Result<Value> {
    use wire::vectors_config::Config;
    match needed(config.config, "vectors_config")? {
        Config::Params(params) => vector(params),
        Config::ParamsMap(named) => by_name(named.map, vector),
    }
}

fn by_name<T>(map: HashMap<String, T>, read: impl Fn(T) -> Result<Value>) -> Result<Value> {
    map.into_iter().map(|(name, one)| Ok((name, read(one)?))).collect::<Result<Map<_, _>>>().map(Value::Object)
}

fn vector(params: wire::VectorParams) -> Result<Value> {
    Ok(json!({
        "size": params.size,
        "distance": distance(params.distance)?,
        "hnsw_config": params.hnsw_config.map(hnsw).transpose()?,
        "quantization_config": params.quantization_config.map(quantization).transpose()?,
        "on_disk": params.on_disk,
        "memory": memory(params.memory)?,
        "datatype": datatype(params.datatype)?,
        "multivector_config": comparator(params.multivector_config)?,
    }))
}

/// A vector that is added to a collection, as the body of its own path.
pub(crate) fn new_vector(config: wire::create_vector_name_request::VectorConfig) -> Result<Value> {
    use wire::create_vector_name_request::VectorConfig;
    Ok(match config {
        VectorConfig::DenseConfig(dense) => json!({"dense": {
            "size": dense.size,
            "distance": distance(dense.distance)?,
            "datatype": datatype(dense.datatype)?,
            "multivector_config": comparator(dense.multivector_config)?,
        }}),
        VectorConfig::SparseConfig(sparse) => {
            let datatype = datatype(sparse.datatype)?;
            let index = datatype.map(|datatype| json!({"datatype": datatype}));
            json!({"sparse": {"modifier": modifier(sparse.modifier)?, "index": index}})
        }
    })
}

fn modifier(modifier: Option<i32>) -> Result<Option<String>> {
    modifier.map(|modifier| named::<wire::Modifier>("modifier", modifier)).transpose()
}

fn vector_diffs(diff: wire::VectorsConfigDiff) -> Result<Value> {
    use wire::vectors_config_diff::Config;
    match needed(diff.config, "vectors_config")? {
        Config::Params(params) => Ok(json!({"": vector_diff(params)?})),
        Config::ParamsMap(named) => by_name(named.map, vector_diff),
    }
}

fn vector_diff(params: wire::VectorParamsDiff) -> Result<Value> {
    Ok(json!({
        "hnsw_config": params.hnsw_config.map(hnsw).transpose()?,
        "quantization_config": params.quantization_config.map(quantization_diff).transpose()?,
        "on_disk": params.on_disk,
        "memory": memory(params.memory)?,
    }))
}

fn sparse_vectors(config: wire::SparseVectorConfig) -> Result<Value> {
    let index = |index: wire::SparseIndexConfig| -> Result<Value> {
        Ok(json!({
            "full_scan_threshold": index.full_scan_threshold,
            "on_disk": index.on_disk,
            "memory": memory(index.memory)?,
            "datatype": datatype(index.datatype)?,
        }))
    };
    by_name(config.map, |params| Ok(json!({"index": params.index.map(index).transpose()?, "modifier": modifier(params.modifier)?})))
}

fn hnsw(diff: wire::HnswConfigDiff) -> Result<Value> {
    Ok(json!({
        "m": diff.m,
        "ef_construct": diff.ef_construct,
        "full_scan_threshold": diff.full_scan_threshold,
        "max_indexing_threads": diff.max_indexing_threads,
        "on_disk": diff.on_disk,
        "payload_m": diff.payload_m,
        "inline_storage": diff.inline_storage,
        "memory": memory(diff.memory)?,
    }))
}

fn wal(diff: wire::WalConfigDiff) -> Value {
    json!({
        "wal_capacity_mb": diff.wal_capacity_mb,
        "wal_segments_ahead": diff.wal_segments_ahead,
        "wal_retain_closed": diff.wal_retain_closed,
    })
}

fn optimizers(diff: wire::OptimizersConfigDiff) -> Value {
    use wire::max_optimization_threads::Variant;
    let threads = match diff.max_optimization_threads.and_then(|threads| threads.variant) {
        Some(Variant::Value(threads)) => Some(json!(threads)),
        Some(Variant::Setting(_)) => Some(json!("auto")),
        None => diff.deprecated_max_optimization_threads.map(Value::from),
    };
    json!({
        "deleted_threshold": diff.deleted_threshold,
        "vacuum_min_vector_number": diff.vacuum_min_vector_number,
        "default_segment_number": diff.default_segment_number,
        "max_segment_size": diff.max_segment_size,
        "memmap_threshold": diff.memmap_threshold,
        "indexing_threshold": diff.indexing_threshold,
        "flush_interval_sec": diff.flush_interval_sec,
        "max_optimization_threads": threads,
        "prevent_unoptimized": diff.prevent_unoptimized,
    })
}

fn quantization(config: wire::QuantizationConfig) -> Result<Value> {
    use wire::quantization_config::Quantization;
    match needed(config.quantization, "quantization_config")? {
        Quantization::Scalar(one) => scalar(one),
        Quantization::Product(one) => product(one),
        Quantization::Binary(one) => binary(one),
        Quantization::Turboquant(one) => turbo(one),
    }
}

fn quantization_diff(config: wire::QuantizationConfigDiff) -> Result<Value> {
    use wire::quantization_config_diff::Quantization;
    match needed(config.quantization, "quantization_config")? {
        Quantization::Scalar(one) => scalar(one),
        Quantization::Product(one) => product(one),
        Quantization::Binary(one) => binary(one),
        Quantization::Turboquant(one) => turbo(one),
        Quantization::Disabled(_) => Ok(json!("Disabled")),
    }
}

fn scalar(one: wire::ScalarQuantization) -> Result<Value> {
    let known = Some(one.r#type).filter(|&kind| kind != wire::QuantizationType::UnknownQuantization as i32);
    let kind = known.map(|kind| named::<wire::QuantizationType>("type", kind)).transpose()?;
    Ok(json!({"scalar": {
        "type": kind,
        "quantile": one.quantile,
        "always_ram": one.always_ram,
        "memory": memory(one.memory)?,
    }}))
}

fn product(one: wire::ProductQuantization) -> Result<Value> {
    let compression = named::<wire::CompressionRatio>("compression", one.compression)?;
    Ok(json!({"product": {"compression": compression, "always_ram": one.always_ram, "memory": memory(one.memory)?}}))
}

fn binary(one: wire::BinaryQuantization) -> Result<Value> {
    use wire::binary_quantization_query_encoding::{Setting, Variant};
    let encoding = one.encoding.map(|encoding| one_of("encoding", encoding)).transpose()?;
    let encoding = encoding.map(|encoding| match encoding {
        wire::BinaryQuantizationEncoding::OneBit => "one_bit",
        wire::BinaryQuantizationEncoding::OneAndHalfBits => "one_and_half_bits",
        wire::BinaryQuantizationEncoding::TwoBits => "two_bits",
    });
    let setting = one.query_encoding.and_then(|encoding| encoding.variant).map(|Variant::Setting(setting)| setting);
    let setting = setting.map(|setting| one_of::<Setting>("query_encoding", setting)).transpose()?;
    Ok(json!({"binary": {
        "encoding": encoding,
        "query_encoding": setting.map(|setting| setting.as_str_name().to_lowercase()),
        "always_ram": one.always_ram,
        "memory": memory(one.memory)?,
    }}))
}

fn turbo(one: wire::TurboQuantization) -> Result<Value> {
    let bits = one.bits.map(|bits| named::<wire::TurboQuantBitSize>("bits", bits)).transpose()?;
    Ok(json!({"turbo": {"bits": bits, "always_ram": one.always_ram, "memory": memory(one.memory)?}}))
}

fn strict_mode(config: wire::StrictModeConfig) -> Value {
    let multi = config.multivector_config.map(|multi| {
        let limits = multi.multivector_config.into_iter().map(|(name, one)| (name, json!({"max_vectors": one.max_vectors})));
        limits.collect::<Map<_, _>>()
    });
    let sparse = config.sparse_config.map(|sparse| {
        let limits = sparse.sparse_config.into_iter().map(|(name, one)| (name, json!({"max_length": one.max_length})));
        limits.collect::<Map<_, _>>()
    });
    json!({
        "enabled": config.enabled,
        "max_query_limit": config.max_query_limit,
        "max_timeout": config.max_timeout,
        "unindexed_filtering_retrieve": config.unindexed_filtering_retrieve,
        "unindexed_filtering_update": config.unindexed_filtering_update,
        "search_max_hnsw_ef": config.search_max_hnsw_ef,
        "search_allow_exact": config.search_allow_exact,
        "search_max_oversampling": config.search_max_oversampling,
        "upsert_max_batchsize": config.upsert_max_batchsize,
        "search_max_batchsize": config.search_max_batchsize,
        "max_collection_vector_size_bytes": config.max_collection_vector_size_bytes,
        "max_collection_payload_size_bytes": config.max_collection_payload_size_bytes,
        "read_rate_limit": config.read_rate_limit,
        "write_rate_limit": config.write_rate_limit,
        "filter_max_conditions": config.filter_max_conditions,
        "condition_max_size": config.condition_max_size,
        "max_points_count": config.max_points_count,
        "max_payload_index_count": config.max_payload_index_count,
        "max_resident_memory_percent": config.max_resident_memory_percent,
        "multivector_config": multi,
        "sparse_config": sparse,
    })
}

/// A payload index: the name of its kind, or an object with `type`.
pub(crate) fn field_schema(kind: Option<i32>, params: Option<wire::PayloadIndexParams>) -> Result<Option<Value>> {
    if let Some(params) = params.and_then(|params| params.index_params) {
        return index_params(params).map(Some);
    }
    let kind: Option<wire::FieldType> = kind.map(|kind| one_of("field_type", kind)).transpose()?;
    Ok(kind.map(|kind| Value::from(kind.as_str_name().trim_start_matches("FieldType").to_lowercase())))
}

fn index_params(params: wire::payload_index_params::IndexParams) -> Result<Value> {
    use wire::payload_index_params::IndexParams;
    let place = |kind: &str, on_disk: Option<bool>, in_memory: Option<i32>, enable_hnsw: Option<bool>, own: Value| -> Result<Value> {
        let mut all = json!({"type": kind, "on_disk": on_disk, "memory": memory(in_memory)?, "enable_hnsw": enable_hnsw});
        if let (Value::Object(all), Value::Object(own)) = (&mut all, own) {
            all.extend(own);
        }
        Ok(all)
    };
    match params {
        IndexParams::KeywordIndexParams(p) => {
            let own = json!({"is_tenant": p.is_tenant, "prefix": p.prefix.map(|_| true)});
            place("keyword", p.on_disk, p.memory, p.enable_hnsw, own)
        }
        IndexParams::IntegerIndexParams(p) => {
            let own = json!({"lookup": p.lookup, "range": p.range, "is_principal": p.is_principal});
            place("integer", p.on_disk, p.memory, p.enable_hnsw, own)
        }
        IndexParams::FloatIndexParams(p) => place("float", p.on_disk, p.memory, p.enable_hnsw, json!({"is_principal": p.is_principal})),
        IndexParams::GeoIndexParams(p) => place("geo", p.on_disk, p.memory, p.enable_hnsw, Value::Null),
        IndexParams::BoolIndexParams(p) => place("bool", p.on_disk, p.memory, p.enable_hnsw, Value::Null),
        IndexParams::DatetimeIndexParams(p) => {
            place("datetime", p.on_disk, p.memory, p.enable_hnsw, json!({"is_principal": p.is_principal}))
        }
        IndexParams::UuidIndexParams(p) => place("uuid", p.on_disk, p.memory, p.enable_hnsw, json!({"is_tenant": p.is_tenant})),
        IndexParams::TextIndexParams(p) => place("text", p.on_disk, p.memory, p.enable_hnsw, text_params(&p)?),
    }
}

fn text_params(params: &wire::TextIndexParams) -> Result<Value> {
    use wire::stemming_algorithm::StemmingParams;
    let known = Some(params.tokenizer).filter(|&tokenizer| tokenizer != wire::TokenizerType::Unknown as i32);
    let stemmer = params.stemmer.as_ref().and_then(|stemmer| stemmer.stemming_params.as_ref()).map(|stemmer| match stemmer {
        StemmingParams::Snowball(snowball) => json!({"type": "snowball", "language": snowball.language.to_lowercase()}),
        StemmingParams::Disabled(_) => json!({"type": "none"}),
    });
    let scoring = params.scoring.map(|scoring| named::<wire::TextScoringType>("scoring", scoring.r#type)).transpose()?;
    Ok(json!({
        "tokenizer": known.map(|tokenizer| named::<wire::TokenizerType>("tokenizer", tokenizer)).transpose()?,
        "lowercase": params.lowercase,
        "min_token_len": params.min_token_len,
        "max_token_len": params.max_token_len,
        "ascii_folding": params.ascii_folding,
        "phrase_matching": params.phrase_matching,
        "stopwords": params.stopwords.as_ref().map(|set| json!({"languages": set.languages, "custom": set.custom})),
        "stemmer": stemmer,
        "scoring": scoring.map(|kind| json!({"type": kind})),
    }))
}
