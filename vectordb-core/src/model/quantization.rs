//! Compression of vectors for traversal, in the wire's words.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

use super::config::Memory;

/// What codes a vector field is searched by. Without any, the engine chooses by the data: 4 bits, or 8 where a sample shows
/// that 4 lose neighbours.
///
/// Codes only guide a search; unless `rescore` is switched off, the best candidates are scored again by the vectors themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuantizationConfig {
    /// 8 bits a dimension.
    Scalar(ScalarQuantization),
    /// As many bits as the compression asks for.
    Product(ProductQuantization),
    /// 1 or 2 bits a dimension.
    Binary(BinaryQuantization),
    /// 1 to 4 bits a dimension.
    Turbo(TurboQuantization),
    /// No codes: every distance is computed from the vectors.
    Off,
}

/// 8-bit codes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScalarQuantization {
    /// The only type there is: `int8`.
    #[serde(rename = "type")]
    pub kind: ScalarType,
    /// From 0.5 to 1. Accepted for compatibility: every vector has its own range here, so none needs to be cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f32>,
    /// Older form of `memory`: true is [`Memory::Pinned`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub always_ram: Option<bool>,
    /// Where the codes live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

/// Element type of scalar codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScalarType {
    /// One byte.
    #[default]
    Int8,
}

/// Codes of a given compression against 32-bit numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProductQuantization {
    /// How many times smaller than 32-bit numbers.
    pub compression: Compression,
    /// Older form of `memory`: true is [`Memory::Pinned`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub always_ram: Option<bool>,
    /// Where the codes live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

/// How many times smaller codes are than 32-bit numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// 8 bits a dimension.
    X4,
    /// 4 bits.
    X8,
    /// 2 bits.
    X16,
    /// 1 bit.
    X32,
    /// Half a bit on the wire; here one, as with `X32`.
    X64,
}

/// Codes of one or two bits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BinaryQuantization {
    /// Bits of a dimension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<BinaryEncoding>,
    /// Accepted for compatibility: queries always have 8 bits a dimension, which costs nothing here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_encoding: Option<QueryEncoding>,
    /// Older form of `memory`: true is [`Memory::Pinned`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub always_ram: Option<bool>,
    /// Where the codes live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

/// Bits of a dimension of a binary code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinaryEncoding {
    /// One.
    #[default]
    OneBit,
    /// One and a half on the wire; here two, which finds more in a third more memory.
    OneAndHalfBits,
    /// Two.
    TwoBits,
}

/// How a query meets binary codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueryEncoding {
    /// The engine's choice.
    Default,
    /// As bits.
    Binary,
    /// As numbers of 4 bits.
    Scalar4Bits,
    /// As numbers of 8 bits.
    Scalar8Bits,
}

/// Rotated codes of few bits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TurboQuantization {
    /// Bits of a dimension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<TurboBits>,
    /// Older form of `memory`: true is [`Memory::Pinned`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub always_ram: Option<bool>,
    /// Where the codes live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

/// Bits of a dimension of a rotated code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TurboBits {
    /// One.
    Bits1,
    /// One and a half on the wire; here two.
    #[serde(rename = "bits1_5")]
    Bits1Half,
    /// Two.
    Bits2,
    /// Four.
    #[default]
    Bits4,
}

impl QuantizationConfig {
    /// Where the codes live; `None` leaves it to the engine.
    pub fn memory(&self) -> Option<Memory> {
        let (memory, always_ram) = match self {
            Self::Scalar(scalar) => (scalar.memory, scalar.always_ram),
            Self::Product(product) => (product.memory, product.always_ram),
            Self::Binary(binary) => (binary.memory, binary.always_ram),
            Self::Turbo(turbo) => (turbo.memory, turbo.always_ram),
            Self::Off => (None, None),
        };
        memory.or((always_ram == Some(true)).then_some(Memory::Pinned))
    }

    pub(super) fn validate(&self, field: &str) -> Result<()> {
        match self {
            Self::Scalar(ScalarQuantization { quantile: Some(quantile), .. }) if !(0.5..=1.0).contains(quantile) => {
                Err(Error::config(format!("{field}.scalar.quantile"), format!("value {quantile} invalid, must be from 0.5 to 1.0")))
            }
            _ => Ok(()),
        }
    }
}

/// How one search uses the codes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct QuantizationParams {
    /// Compute every distance from the vectors.
    pub ignore: bool,
    /// Score the best candidates again by the vectors; `None` is yes.
    pub rescore: Option<bool>,
    /// Candidates scored again, in multiples of the limit, at least 1; `None` is what the codes need.
    pub oversampling: Option<f64>,
}
