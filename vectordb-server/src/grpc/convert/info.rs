//! What collections say about themselves.

#![expect(deprecated, reason = "older clients read the older fields")]

use std::collections::HashMap;

use vectordb_core::{
    BinaryEncoding, CollectionConfig, Compression, Datatype, DateTime, Distance, HnswConfig, HnswConfigDiff, Memory, Modifier,
    MultiVectorComparator, MultiVectorConfig, OptimizersConfig, QuantizationConfig, QueryEncoding, ShardingMethod, SparseVectorParams,
    Status, TurboBits, UNNAMED, Value, VectorParams,
};
use vectordb_service::CollectionState;

use super::point;
use crate::wire;

mod index;
mod strict;

/// The state of a collection.
pub(crate) fn info(state: CollectionState) -> wire::CollectionInfo {
    let status = match state.status {
        Status::Green => wire::CollectionStatus::Green,
        Status::Yellow => wire::CollectionStatus::Yellow,
        Status::Red => wire::CollectionStatus::Red,
    };
    let schema = |info: vectordb_core::FieldInfo| wire::PayloadSchemaInfo {
        data_type: index::kind(&info.schema).into(),
        params: index::params(&info.schema),
        points: Some(info.points),
    };
    wire::CollectionInfo {
        status: status.into(),
        optimizer_status: Some(wire::OptimizerStatus { ok: state.error.is_none(), error: state.error.unwrap_or_default() }),
        segments_count: state.segments as u64,
        config: Some(config(state.config)),
        payload_schema: state.payload_schema.into_iter().map(|(field, info)| (field, schema(info))).collect(),
        points_count: Some(state.points),
        indexed_vectors_count: Some(state.indexed_vectors),
        warnings: Vec::new(),
        update_queue: Some(wire::UpdateQueueInfo { length: state.pending as u64, deferred_points: None }),
        created_at: DateTime::parse(&state.created_at).and_then(timestamp),
    }
}

/// A moment of the wire.
fn timestamp(DateTime(micros): DateTime) -> Option<prost_types::Timestamp> {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).ok()?;
    Some(prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos })
}

fn config(config: CollectionConfig) -> wire::CollectionConfig {
    wire::CollectionConfig {
        params: Some(params(&config)),
        hnsw_config: Some(hnsw(&config.hnsw_config)),
        optimizer_config: Some(optimizers(&config.optimizers_config)),
        wal_config: Some(wire::WalConfigDiff {
            wal_capacity_mb: Some(config.wal_config.wal_capacity_mb as u64),
            wal_segments_ahead: Some(config.wal_config.wal_segments_ahead as u64),
            wal_retain_closed: Some(config.wal_config.wal_retain_closed as u64),
        }),
        quantization_config: config.quantization_config.as_ref().and_then(quantization),
        strict_mode_config: config.strict_mode_config.as_ref().map(strict::strict_mode),
        metadata: point::payload_out(config.metadata),
    }
}

fn params(config: &CollectionConfig) -> wire::CollectionParams {
    use wire::vectors_config::Config;
    let vectors = match config.vectors.get(UNNAMED) {
        Some(params) if config.vectors.len() == 1 => Config::Params(vector(params)),
        _ => {
            let map: HashMap<_, _> = config.vectors.iter().map(|(name, params)| (name.clone(), vector(params))).collect();
            Config::ParamsMap(wire::VectorParamsMap { map })
        }
    };
    let sparse: HashMap<_, _> = config.sparse_vectors.iter().map(|(name, params)| (name.clone(), sparse(params))).collect();
    let method = config.sharding_method.map(|method| match method {
        ShardingMethod::Auto => wire::ShardingMethod::Auto,
        ShardingMethod::Custom => wire::ShardingMethod::Custom,
    });
    wire::CollectionParams {
        shard_number: config.shard_number,
        on_disk_payload: config.on_disk_payload,
        vectors_config: Some(wire::VectorsConfig { config: Some(vectors) }),
        replication_factor: Some(config.replication_factor),
        write_consistency_factor: Some(config.write_consistency_factor),
        read_fan_out_factor: config.read_fan_out_factor,
        sharding_method: method.map(i32::from),
        sparse_vectors_config: (!sparse.is_empty()).then_some(wire::SparseVectorConfig { map: sparse }),
        read_fan_out_delay_ms: config.read_fan_out_delay_ms,
        payload: config.payload_memory.map(|memory| wire::PayloadStorageParams { memory: Some(placement(memory)) }),
        id_tracker: None,
    }
}

fn placement(memory: Memory) -> i32 {
    let memory = match memory {
        Memory::Cold => wire::Memory::Cold,
        Memory::Cached => wire::Memory::Cached,
        Memory::Pinned => wire::Memory::Pinned,
    };
    memory.into()
}

fn datatype(datatype: Datatype) -> i32 {
    let datatype = match datatype {
        Datatype::Float32 => wire::Datatype::Float32,
        Datatype::Float16 => wire::Datatype::Float16,
        Datatype::Uint8 => wire::Datatype::Uint8,
    };
    datatype.into()
}

fn vector(params: &VectorParams) -> wire::VectorParams {
    let distance = match params.distance {
        Distance::Cosine => wire::Distance::Cosine,
        Distance::Euclid => wire::Distance::Euclid,
        Distance::Dot => wire::Distance::Dot,
        Distance::Manhattan => wire::Distance::Manhattan,
    };
    let multi = params.multivector_config.map(|MultiVectorConfig { comparator: MultiVectorComparator::MaxSim }| wire::MultiVectorConfig {
        comparator: wire::MultiVectorComparator::MaxSim.into(),
    });
    wire::VectorParams {
        size: params.size as u64,
        distance: distance.into(),
        hnsw_config: params.hnsw_config.as_ref().map(hnsw_diff),
        quantization_config: params.quantization_config.as_ref().and_then(quantization),
        on_disk: params.on_disk,
        datatype: Some(datatype(params.datatype)),
        multivector_config: multi,
        memory: params.memory.map(placement),
    }
}

fn sparse(params: &SparseVectorParams) -> wire::SparseVectorParams {
    let index = params.index.as_ref().map(|index| wire::SparseIndexConfig {
        full_scan_threshold: index.full_scan_threshold.map(|threshold| threshold as u64),
        on_disk: index.on_disk,
        datatype: index.datatype.map(datatype),
        memory: index.memory.map(placement),
    });
    let modifier = params.modifier.map(|modifier| match modifier {
        Modifier::None => wire::Modifier::None,
        Modifier::Idf => wire::Modifier::Idf,
    });
    wire::SparseVectorParams { index, modifier: modifier.map(i32::from) }
}

fn hnsw(config: &HnswConfig) -> wire::HnswConfigDiff {
    wire::HnswConfigDiff {
        m: Some(config.m as u64),
        ef_construct: Some(config.ef_construct as u64),
        full_scan_threshold: Some(config.full_scan_threshold as u64),
        max_indexing_threads: Some(config.max_indexing_threads as u64),
        on_disk: config.on_disk,
        payload_m: config.payload_m.map(|m| m as u64),
        inline_storage: config.inline_storage,
        memory: config.memory.map(placement),
    }
}

fn hnsw_diff(diff: &HnswConfigDiff) -> wire::HnswConfigDiff {
    let number = |number: Option<usize>| number.map(|number| number as u64);
    wire::HnswConfigDiff {
        m: number(diff.m),
        ef_construct: number(diff.ef_construct),
        full_scan_threshold: number(diff.full_scan_threshold),
        max_indexing_threads: number(diff.max_indexing_threads),
        on_disk: diff.on_disk,
        payload_m: number(diff.payload_m),
        inline_storage: diff.inline_storage,
        memory: diff.memory.map(placement),
    }
}

fn optimizers(config: &OptimizersConfig) -> wire::OptimizersConfigDiff {
    use wire::max_optimization_threads::{Setting, Variant};
    let number = |number: Option<usize>| number.map(|number| number as u64);
    let threads = config.max_optimization_threads.as_ref().map(|threads| match threads.as_u64() {
        Some(threads) => Variant::Value(threads),
        None => Variant::Setting(Setting::Auto.into()),
    });
    wire::OptimizersConfigDiff {
        deleted_threshold: Some(config.deleted_threshold),
        vacuum_min_vector_number: Some(config.vacuum_min_vector_number as u64),
        default_segment_number: Some(config.default_segment_number as u64),
        max_segment_size: number(config.max_segment_size),
        memmap_threshold: number(config.memmap_threshold),
        indexing_threshold: number(config.indexing_threshold),
        flush_interval_sec: Some(config.flush_interval_sec),
        deprecated_max_optimization_threads: config.max_optimization_threads.as_ref().and_then(Value::as_u64),
        max_optimization_threads: threads.map(|threads| wire::MaxOptimizationThreads { variant: Some(threads) }),
        prevent_unoptimized: config.prevent_unoptimized,
    }
}

/// None where there are no codes at all, which the wire has no word for.
fn quantization(config: &QuantizationConfig) -> Option<wire::QuantizationConfig> {
    use wire::quantization_config::Quantization;
    let quantization = match config {
        QuantizationConfig::Scalar(scalar) => Quantization::Scalar(wire::ScalarQuantization {
            r#type: wire::QuantizationType::Int8.into(),
            quantile: scalar.quantile,
            always_ram: scalar.always_ram,
            memory: scalar.memory.map(placement),
        }),
        QuantizationConfig::Product(product) => {
            let compression = match product.compression {
                Compression::X4 => wire::CompressionRatio::X4,
                Compression::X8 => wire::CompressionRatio::X8,
                Compression::X16 => wire::CompressionRatio::X16,
                Compression::X32 => wire::CompressionRatio::X32,
                Compression::X64 => wire::CompressionRatio::X64,
            };
            let memory = product.memory.map(placement);
            Quantization::Product(wire::ProductQuantization { compression: compression.into(), always_ram: product.always_ram, memory })
        }
        QuantizationConfig::Binary(binary) => Quantization::Binary(wire::BinaryQuantization {
            always_ram: binary.always_ram,
            encoding: binary.encoding.map(encoding),
            query_encoding: binary.query_encoding.map(query_encoding),
            memory: binary.memory.map(placement),
        }),
        QuantizationConfig::Turbo(turbo) => {
            let bits = turbo.bits.map(|bits| match bits {
                TurboBits::Bits1 => wire::TurboQuantBitSize::Bits1,
                TurboBits::Bits1Half => wire::TurboQuantBitSize::Bits15,
                TurboBits::Bits2 => wire::TurboQuantBitSize::Bits2,
                TurboBits::Bits4 => wire::TurboQuantBitSize::Bits4,
            });
            let memory = turbo.memory.map(placement);
            Quantization::Turboquant(wire::TurboQuantization { always_ram: turbo.always_ram, bits: bits.map(i32::from), memory })
        }
        QuantizationConfig::Off => return None,
    };
    Some(wire::QuantizationConfig { quantization: Some(quantization) })
}

fn encoding(encoding: BinaryEncoding) -> i32 {
    let encoding = match encoding {
        BinaryEncoding::OneBit => wire::BinaryQuantizationEncoding::OneBit,
        BinaryEncoding::OneAndHalfBits => wire::BinaryQuantizationEncoding::OneAndHalfBits,
        BinaryEncoding::TwoBits => wire::BinaryQuantizationEncoding::TwoBits,
    };
    encoding.into()
}

fn query_encoding(encoding: QueryEncoding) -> wire::BinaryQuantizationQueryEncoding {
    use wire::binary_quantization_query_encoding::{Setting, Variant};
    let setting = match encoding {
        QueryEncoding::Default => Setting::Default,
        QueryEncoding::Binary => Setting::Binary,
        QueryEncoding::Scalar4Bits => Setting::Scalar4Bits,
        QueryEncoding::Scalar8Bits => Setting::Scalar8Bits,
    };
    wire::BinaryQuantizationQueryEncoding { variant: Some(Variant::Setting(setting.into())) }
}
