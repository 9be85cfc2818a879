//! Vectors as the user gives them and gets them back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config::{Datatype, VectorParams};
use crate::error::{Error, Result};

/// Name of the unnamed vector.
pub const UNNAMED: &str = "";
/// Most dimensions a dense vector may have.
pub const MAX_DIMENSIONS: usize = 65_536;
/// Longest vector name, in bytes.
pub const MAX_VECTOR_NAME_BYTES: usize = 200;

/// One vector of a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Vector {
    /// `dim` numbers.
    Dense(Vec<f32>),
}

impl Vector {
    /// The numbers of a dense vector.
    pub fn as_dense(&self) -> &[f32] {
        match self {
            Self::Dense(values) => values,
        }
    }

    /// Checks dimensions and values against the collection's parameters.
    ///
    /// # Errors
    /// [`Error::DimensionMismatch`] and [`Error::InvalidVector`], both naming the point.
    pub fn validate(&self, name: &str, params: &VectorParams, point: Option<&super::PointId>) -> Result<()> {
        let values = self.as_dense();
        let point = || point.map(ToString::to_string);
        if values.len() != params.size {
            return Err(Error::DimensionMismatch { point: point(), vector: name.into(), expected: params.size, actual: values.len() });
        }
        // One pass over the common case; the second, slower one finds the culprit.
        let fits = |value: f32| value.is_finite() && params.datatype.holds(value);
        if values.iter().all(|&value| fits(value)) {
            return Ok(());
        }
        let (dimension, value) = values.iter().copied().enumerate().find(|&(_, value)| !fits(value)).unwrap_or((0, f32::NAN));
        let reason = match params.datatype {
            _ if !value.is_finite() => "values must be finite",
            Datatype::Uint8 => "a uint8 vector holds values from 0 to 255",
            Datatype::Float16 => "a float16 vector holds values from -65504 to 65504",
            Datatype::Float32 => "values must be finite",
        };
        Err(Error::InvalidVector { point: point(), vector: name.into(), dimension, value, reason })
    }
}

impl From<Vec<f32>> for Vector {
    fn from(values: Vec<f32>) -> Self {
        Self::Dense(values)
    }
}

impl From<&[f32]> for Vector {
    fn from(values: &[f32]) -> Self {
        Self::Dense(values.to_vec())
    }
}

impl<const N: usize> From<[f32; N]> for Vector {
    fn from(values: [f32; N]) -> Self {
        Self::Dense(values.to_vec())
    }
}

/// The vectors of one point by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Vectors(BTreeMap<String, Vector>);

impl Vectors {
    /// Only the unnamed vector.
    pub fn unnamed(vector: impl Into<Vector>) -> Self {
        Self(BTreeMap::from([(UNNAMED.to_owned(), vector.into())]))
    }

    /// The vector of this name.
    pub fn get(&self, name: &str) -> Option<&Vector> {
        self.0.get(name)
    }

    /// Adds or replaces a vector.
    pub fn insert(&mut self, name: impl Into<String>, vector: impl Into<Vector>) {
        self.0.insert(name.into(), vector.into());
    }

    /// Takes a vector out.
    pub fn remove(&mut self, name: &str) -> Option<Vector> {
        self.0.remove(name)
    }

    /// Names and vectors in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Vector)> {
        self.0.iter().map(|(name, vector)| (name.as_str(), vector))
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>, V: Into<Vector>> FromIterator<(N, V)> for Vectors {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(iter: I) -> Self {
        Self(iter.into_iter().map(|(name, vector)| (name.into(), vector.into())).collect())
    }
}
