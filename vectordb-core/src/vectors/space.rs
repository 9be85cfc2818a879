//! The space a vector field lives in: dimensions, metric and element type.

use std::borrow::Cow;

use half::f16;

use crate::distance::{Kernel, Metric};
use crate::model::config::{Datatype, Distance, VectorParams};

/// Dimensions, metric and element type of a vector field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    pub(crate) dim: usize,
    pub(crate) metric: Metric,
    pub(crate) datatype: Datatype,
    pub(crate) kernel: Kernel,
    normalise_rows: bool,
    normalise_query: bool,
}

impl Space {
    pub(crate) fn of(params: &VectorParams) -> Self {
        let metric = Metric::of(params.distance, params.datatype);
        let cosine = params.distance == Distance::Cosine;
        Self {
            dim: params.size,
            metric,
            datatype: params.datatype,
            kernel: Kernel::select(metric, params.datatype),
            normalise_rows: cosine && params.datatype != Datatype::Uint8,
            normalise_query: cosine,
        }
    }

    /// Bytes of a row.
    pub(crate) fn stride(&self) -> usize {
        self.dim * self.datatype.bytes()
    }

    /// A vector as it is stored.
    pub(crate) fn encode(&self, vector: &[f32]) -> Vec<u8> {
        let vector = if self.normalise_rows { normalised(vector) } else { Cow::Borrowed(vector) };
        match self.datatype {
            Datatype::Float32 => vector.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Datatype::Float16 => vector.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "fractions are cut off; the range is checked at the door"
            )]
            Datatype::Uint8 => vector.iter().map(|&value| value as u8).collect(),
        }
    }

    /// A stored vector as numbers.
    pub(crate) fn decode(&self, row: &[u8]) -> Vec<f32> {
        match self.datatype {
            Datatype::Float32 => row.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            Datatype::Float16 => row.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
            Datatype::Uint8 => row.iter().map(|&byte| f32::from(byte)).collect(),
        }
    }

    /// A query as the kernels want it.
    pub(crate) fn prepare<'a>(&self, query: &'a [f32]) -> Cow<'a, [f32]> {
        if self.normalise_query { normalised(query) } else { Cow::Borrowed(query) }
    }

    /// A stored row as a query; f32 rows are taken as they lie.
    pub(crate) fn row_as_query<'a>(&self, row: &'a [u8]) -> Cow<'a, [f32]> {
        let borrowed = (self.datatype == Datatype::Float32).then(|| bytemuck::try_cast_slice(row).ok()).flatten();
        match borrowed {
            Some(values) => Cow::Borrowed(values),
            None => Cow::Owned(self.decode(row)),
        }
    }
}

/// The vector with length 1; a vector of zeros, or one that has length 1 already, stays as it is.
fn normalised(vector: &[f32]) -> Cow<'_, [f32]> {
    // In f64, so that values near the ends of the f32 range neither overflow nor vanish.
    let length = vector.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
    if length < f64::MIN_POSITIVE || (length - 1.0).abs() < 1e-7 {
        return Cow::Borrowed(vector);
    }
    #[expect(clippy::cast_possible_truncation, reason = "a component of a unit vector fits")]
    Cow::Owned(vector.iter().map(|&value| (f64::from(value) / length) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_rows_are_stored_with_length_one() {
        let space = Space::of(&VectorParams::new(4, Distance::Cosine));
        assert_eq!(space.decode(&space.encode(&[3.0, 4.0, 0.0, 0.0])), [0.6, 0.8, 0.0, 0.0]);
        assert_eq!(space.decode(&space.encode(&[0.0; 4])), [0.0; 4]);
        let huge = space.decode(&space.encode(&[f32::MAX, 0.0, f32::MAX, 0.0]));
        assert!((huge[0] - 0.5f32.sqrt()).abs() < 1e-6, "{huge:?}");
    }

    #[test]
    fn small_elements_round_trip() {
        let space = Space::of(&VectorParams::new(3, Distance::Euclid).datatype(Datatype::Uint8));
        assert_eq!(space.decode(&space.encode(&[0.0, 17.9, 255.0])), [0.0, 17.0, 255.0]);
        let space = Space::of(&VectorParams::new(2, Distance::Dot).datatype(Datatype::Float16));
        assert_eq!(space.decode(&space.encode(&[0.5, -2.0])), [0.5, -2.0]);
    }
}
