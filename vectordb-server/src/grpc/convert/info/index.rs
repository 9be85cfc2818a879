//! Payload indexes.

use vectordb_core::{FieldSchema, Stopwords, TextIndexParams, Tokenizer, Value};

use super::placement;
use crate::wire;
use crate::wire::payload_index_params::IndexParams;

pub(super) fn kind(schema: &FieldSchema) -> wire::PayloadSchemaType {
    match schema {
        FieldSchema::Keyword(_) => wire::PayloadSchemaType::Keyword,
        FieldSchema::Integer(_) => wire::PayloadSchemaType::Integer,
        FieldSchema::Float(_) => wire::PayloadSchemaType::Float,
        FieldSchema::Bool(_) => wire::PayloadSchemaType::Bool,
        FieldSchema::Uuid(_) => wire::PayloadSchemaType::Uuid,
        FieldSchema::Datetime(_) => wire::PayloadSchemaType::Datetime,
        FieldSchema::Geo(_) => wire::PayloadSchemaType::Geo,
        FieldSchema::Text(_) => wire::PayloadSchemaType::Text,
        _ => wire::PayloadSchemaType::UnknownType,
    }
}

pub(super) fn params(schema: &FieldSchema) -> Option<wire::PayloadIndexParams> {
    let params = match schema {
        FieldSchema::Keyword(params) => IndexParams::KeywordIndexParams(wire::KeywordIndexParams {
            is_tenant: params.is_tenant,
            on_disk: params.placement.on_disk,
            enable_hnsw: params.placement.enable_hnsw,
            prefix: (params.prefix == Some(true)).then_some(wire::KeywordPrefixParams {}),
            memory: params.placement.memory.map(placement),
            nested: None,
        }),
        FieldSchema::Uuid(params) => IndexParams::UuidIndexParams(wire::UuidIndexParams {
            is_tenant: params.is_tenant,
            on_disk: params.placement.on_disk,
            enable_hnsw: params.placement.enable_hnsw,
            memory: params.placement.memory.map(placement),
            nested: None,
        }),
        FieldSchema::Integer(params) => IndexParams::IntegerIndexParams(wire::IntegerIndexParams {
            lookup: params.lookup,
            range: params.range,
            is_principal: params.is_principal,
            on_disk: params.placement.on_disk,
            enable_hnsw: params.placement.enable_hnsw,
            memory: params.placement.memory.map(placement),
            nested: None,
        }),
        FieldSchema::Datetime(params) => IndexParams::DatetimeIndexParams(wire::DatetimeIndexParams {
            on_disk: params.placement.on_disk,
            is_principal: params.is_principal,
            enable_hnsw: params.placement.enable_hnsw,
            memory: params.placement.memory.map(placement),
            nested: None,
        }),
        FieldSchema::Float(place) => IndexParams::FloatIndexParams(wire::FloatIndexParams {
            on_disk: place.on_disk,
            is_principal: None,
            enable_hnsw: place.enable_hnsw,
            memory: place.memory.map(placement),
            nested: None,
        }),
        FieldSchema::Bool(place) => IndexParams::BoolIndexParams(wire::BoolIndexParams {
            on_disk: place.on_disk,
            enable_hnsw: place.enable_hnsw,
            memory: place.memory.map(placement),
            nested: None,
        }),
        FieldSchema::Geo(place) => IndexParams::GeoIndexParams(wire::GeoIndexParams {
            on_disk: place.on_disk,
            enable_hnsw: place.enable_hnsw,
            memory: place.memory.map(placement),
            nested: None,
        }),
        FieldSchema::Text(params) => IndexParams::TextIndexParams(text(params)),
        _ => return None,
    };
    Some(wire::PayloadIndexParams { index_params: Some(params) })
}

fn text(params: &TextIndexParams) -> wire::TextIndexParams {
    let tokenizer = match params.tokenizer {
        Tokenizer::Word => wire::TokenizerType::Word,
        Tokenizer::Whitespace => wire::TokenizerType::Whitespace,
        Tokenizer::Prefix => wire::TokenizerType::Prefix,
        Tokenizer::Multilingual => wire::TokenizerType::Multilingual,
    };
    let stopwords = params.stopwords.clone().map(|stopwords| match stopwords {
        Stopwords::Language(language) => wire::StopwordsSet { languages: vec![language], custom: Vec::new() },
        Stopwords::Set { languages, custom } => wire::StopwordsSet { languages, custom },
    });
    wire::TextIndexParams {
        tokenizer: tokenizer.into(),
        lowercase: params.lowercase,
        min_token_len: params.min_token_len.map(|length| length as u64),
        max_token_len: params.max_token_len.map(|length| length as u64),
        on_disk: params.placement.on_disk,
        stopwords,
        phrase_matching: params.phrase_matching,
        stemmer: params.stemmer.as_ref().and_then(stemmer),
        ascii_folding: params.ascii_folding,
        enable_hnsw: params.placement.enable_hnsw,
        memory: params.placement.memory.map(placement),
        scoring: params.ranks().then_some(wire::TextScoringParams { r#type: wire::TextScoringType::Bm25.into() }),
        nested: None,
    }
}

/// A language by itself, or an object of the kind and the language.
fn stemmer(setting: &Value) -> Option<wire::StemmingAlgorithm> {
    use wire::stemming_algorithm::StemmingParams;
    let language = setting.as_str().or_else(|| setting.get("language")?.as_str());
    let params = match language {
        Some(language) => StemmingParams::Snowball(wire::SnowballParams { language: language.to_owned() }),
        None if setting.get("type").is_some() => StemmingParams::Disabled(wire::DisabledStemmer {}),
        None => return None,
    };
    Some(wire::StemmingAlgorithm { stemming_params: Some(params) })
}
