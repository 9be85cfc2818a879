//! Vectors as the user gives them and gets them back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config::{Datatype, VectorKind, VectorParams};
use super::payload::Value;
use crate::error::{Error, Result};

/// Name of the unnamed vector.
pub const UNNAMED: &str = "";
/// Most dimensions a dense vector may have.
pub const MAX_DIMENSIONS: usize = 65_536;
const NOT_FINITE: &str = "values must be finite";
/// Longest vector name, in bytes.
pub const MAX_VECTOR_NAME_BYTES: usize = 200;

/// Most vectors of a multivector.
pub const MAX_MULTIVECTOR_ROWS: usize = 65_536;

/// One vector of a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Vector {
    /// `dim` numbers.
    Dense(Vec<f32>),
    /// Numbers at some of 2³² dimensions, zero at all others.
    Sparse(SparseVector),
    /// Several vectors of `dim` numbers, as of the words of a text.
    Multi(MultiVector),
}

impl Vector {
    /// The numbers of a dense vector.
    pub fn as_dense(&self) -> Option<&[f32]> {
        if let Self::Dense(values) = self { Some(values) } else { None }
    }

    /// The entries of a sparse vector.
    pub fn as_sparse(&self) -> Option<&SparseVector> {
        if let Self::Sparse(vector) = self { Some(vector) } else { None }
    }

    /// The vectors of a multivector.
    pub fn as_multi(&self) -> Option<&MultiVector> {
        if let Self::Multi(vector) = self { Some(vector) } else { None }
    }

    /// Reads the JSON form of the Qdrant API: `[0.1, 0.2]`, `{"indices": [3], "values": [0.5]}` or `[[0.1, 0.2], [0.3, 0.4]]`.
    ///
    /// ```
    /// use vectordb_core::{SparseVector, Vector};
    /// let json = serde_json::json!({"indices": [7, 3], "values": [0.5, 1.0]});
    /// assert_eq!(Vector::from_json(&json)?, SparseVector::new(vec![3, 7], vec![1.0, 0.5])?.into());
    /// # Ok::<(), vectordb_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidQuery`] for JSON of another form, and those of [`SparseVector::new`] and [`MultiVector::new`].
    pub fn from_json(json: &Value) -> Result<Self> {
        /// What a vector may look like.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Dense(Vec<f32>),
            Multi(Vec<Vec<f32>>),
            Sparse { indices: Vec<u32>, values: Vec<f32> },
        }
        match Form::deserialize(json).map_err(|_| Error::query("expected a dense, a sparse or a multivector"))? {
            Form::Dense(values) => Ok(Self::Dense(values)),
            Form::Multi(rows) => MultiVector::new(rows).map(Self::Multi),
            Form::Sparse { indices, values } => SparseVector::new(indices, values).map(Self::Sparse),
        }
    }

    /// The JSON form that [`Vector::from_json`] reads.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Dense(values) => serde_json::json!(values),
            Self::Sparse(vector) => serde_json::json!({"indices": vector.indices, "values": vector.values}),
            Self::Multi(vector) => vector.rows().collect(),
        }
    }

    /// What kind of vector it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Dense(_) => "a dense vector",
            Self::Sparse(_) => "a sparse vector",
            Self::Multi(_) => "a multivector",
        }
    }

    /// Bytes of its numbers.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Dense(values) => values.len() * 4,
            Self::Sparse(vector) => vector.indices.len() * 8,
            Self::Multi(vector) => vector.values.len() * 4,
        }
    }

    /// Checks kind, dimensions and values against the collection's parameters.
    ///
    /// # Errors
    /// [`Error::WrongVectorKind`], [`Error::DimensionMismatch`] and [`Error::InvalidVector`], all naming the point.
    pub(crate) fn validate(&self, name: &str, kind: VectorKind<'_>, point: Option<&super::PointId>) -> Result<()> {
        match (self, kind) {
            (Self::Dense(values), VectorKind::Dense(params)) => check_row(values, name, params, point),
            (Self::Multi(vector), VectorKind::Multi(params)) => vector.rows().try_for_each(|row| check_row(row, name, params, point)),
            (Self::Sparse(vector), VectorKind::Sparse(_)) => vector.check_finite(name, point),
            _ => Err(Error::WrongVectorKind {
                point: point.map(ToString::to_string),
                vector: name.into(),
                expected: kind.name(),
                actual: self.kind(),
            }),
        }
    }
}

/// Checks the numbers of one row.
fn check_row(values: &[f32], name: &str, params: &VectorParams, point: Option<&super::PointId>) -> Result<()> {
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
        _ if !value.is_finite() => NOT_FINITE,
        Datatype::Uint8 => "a uint8 vector holds values from 0 to 255",
        Datatype::Float16 => "a float16 vector holds values from -65504 to 65504",
        Datatype::Float32 => NOT_FINITE,
    };
    Err(Error::InvalidVector { point: point(), vector: name.into(), dimension, value, reason })
}

/// Numbers at some of 2³² dimensions, zero at all others: weights of words, say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SparseVector {
    /// Ascending, each once.
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl SparseVector {
    /// A vector of the given values at the given dimensions, in any order.
    ///
    /// ```
    /// use vectordb_core::SparseVector;
    /// let vector = SparseVector::new(vec![9, 2], vec![0.5, 1.5])?;
    /// assert_eq!(vector.indices(), [2, 9]);
    /// assert_eq!(vector.values(), [1.5, 0.5]);
    /// assert!(SparseVector::new(vec![2, 2], vec![0.5, 1.5]).is_err());
    /// # Ok::<(), vectordb_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidVector`] when there are not as many values as dimensions, or a dimension comes twice.
    pub fn new(mut indices: Vec<u32>, mut values: Vec<f32>) -> Result<Self> {
        let fail = |dimension: u32, reason| {
            let value = values.first().copied().unwrap_or(0.0);
            Err(Error::InvalidVector { point: None, vector: String::new(), dimension: dimension as usize, value, reason })
        };
        if indices.len() != values.len() {
            return fail(0, "a sparse vector has as many values as indices");
        }
        if !indices.is_sorted() {
            let mut pairs: Vec<(u32, f32)> = indices.into_iter().zip(values).collect();
            pairs.sort_unstable_by_key(|&(index, _)| index);
            (indices, values) = pairs.into_iter().unzip();
        }
        match indices.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::InvalidVector {
                point: None,
                vector: String::new(),
                dimension: pair[0] as usize,
                value: 0.0,
                reason: "an index of a sparse vector comes twice",
            }),
            None => Ok(Self { indices, values }),
        }
    }

    /// The vector of pairs that come in the order of dimensions, each once.
    pub(crate) fn ascending(pairs: impl IntoIterator<Item = (u32, f32)>) -> Self {
        let (indices, values) = pairs.into_iter().unzip();
        Self { indices, values }
    }

    /// Dimensions with a value, ascending.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The value at each of them.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The vector with other values at the same dimensions.
    pub(crate) fn mapped(&self, value: impl Fn(u32, f32) -> f32) -> Self {
        let values = self.indices.iter().zip(&self.values).map(|(&index, &old)| value(index, old)).collect();
        Self { indices: self.indices.clone(), values }
    }

    /// The sum of vectors, each with a weight.
    pub(crate) fn sum<'a>(weighted: impl Iterator<Item = (&'a Self, f32)>) -> Self {
        let mut sum: BTreeMap<u32, f32> = BTreeMap::new();
        for (vector, weight) in weighted {
            vector.indices.iter().zip(&vector.values).for_each(|(&index, &value)| *sum.entry(index).or_default() += weight * value);
        }
        let (indices, values) = sum.into_iter().unzip();
        Self { indices, values }
    }

    fn check_finite(&self, name: &str, point: Option<&super::PointId>) -> Result<()> {
        let bad = self.indices.iter().zip(&self.values).find(|(_, value)| !value.is_finite());
        bad.map_or(Ok(()), |(&dimension, &value)| {
            let point = point.map(ToString::to_string);
            Err(Error::InvalidVector { point, vector: name.into(), dimension: dimension as usize, value, reason: NOT_FINITE })
        })
    }
}

impl From<SparseVector> for Vector {
    fn from(vector: SparseVector) -> Self {
        Self::Sparse(vector)
    }
}

/// Several vectors of the same dimensions that stand for one point, compared by MaxSim (Khattab & Zaharia 2020).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultiVector {
    dim: usize,
    /// Row after row.
    values: Vec<f32>,
}

impl MultiVector {
    /// A multivector of rows that are equally long.
    ///
    /// ```
    /// use vectordb_core::MultiVector;
    /// let vector = MultiVector::new(vec![vec![1.0, 0.0], vec![0.0, 1.0]])?;
    /// assert_eq!(vector.rows().len(), 2);
    /// assert!(MultiVector::new(vec![]).is_err());
    /// # Ok::<(), vectordb_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidVector`] without any row or with an empty one, [`Error::DimensionMismatch`] for rows of different lengths,
    /// [`Error::LimitExceeded`] for more than [`MAX_MULTIVECTOR_ROWS`].
    pub fn new(rows: Vec<Vec<f32>>) -> Result<Self> {
        let dim = rows.first().map_or(0, Vec::len);
        if let Some(odd) = rows.iter().find(|row| row.len() != dim) {
            return Err(Error::DimensionMismatch { point: None, vector: String::new(), expected: dim, actual: odd.len() });
        }
        Self::flat(dim, rows.concat())
    }

    /// A multivector of rows that lie one after another.
    ///
    /// # Errors
    /// As [`MultiVector::new`].
    pub fn flat(dim: usize, values: Vec<f32>) -> Result<Self> {
        if dim == 0 || values.is_empty() {
            let reason = "a multivector has at least one vector, and none of them is empty";
            return Err(Error::InvalidVector { point: None, vector: String::new(), dimension: 0, value: 0.0, reason });
        }
        if !values.len().is_multiple_of(dim) {
            return Err(Error::DimensionMismatch { point: None, vector: String::new(), expected: dim, actual: values.len() % dim });
        }
        let count = values.len() / dim;
        if count > MAX_MULTIVECTOR_ROWS {
            return Err(Error::LimitExceeded {
                what: "vectors of a multivector",
                actual: count as u64,
                limit: MAX_MULTIVECTOR_ROWS as u64,
            });
        }
        Ok(Self { dim, values })
    }

    /// Its vectors, in order.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.dim.max(1))
    }

    /// Dimensions of each.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All numbers, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

impl From<MultiVector> for Vector {
    fn from(vector: MultiVector) -> Self {
        Self::Multi(vector)
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
