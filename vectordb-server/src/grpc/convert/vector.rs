//! Vectors, in both generations of messages: a flat list with hints, and one of several kinds.

#![expect(deprecated, reason = "older clients send the older fields")]

use std::collections::HashMap;

use vectordb_core::{Document, Error, MultiVector, SearchTarget, SparseVector, UNNAMED, Vector, Vectors};
use vectordb_service::{Result, ServiceError};

use super::{count, needed, point, refused};
use crate::wire;
use crate::wire::vector::Vector as Kind;

/// The vectors of a point.
pub(crate) fn vectors(vectors: wire::Vectors) -> Result<Vectors> {
    use wire::vectors::VectorsOptions;
    match vectors.vectors_options {
        None => Ok(Vectors::default()),
        Some(VectorsOptions::Vector(vector)) => Ok(Vectors::unnamed(stored(vector)?)),
        Some(VectorsOptions::Vectors(named)) => named.vectors.into_iter().map(|(name, vector)| Ok((name, stored(vector)?))).collect(),
    }
}

/// A vector that a point is to have.
fn stored(vector: wire::Vector) -> Result<Vector> {
    match example(vector)? {
        SearchTarget::Vector(vector) => Ok(vector),
        SearchTarget::Document(document) => Ok(document.stored_vector()?.into()),
        other => Err(ServiceError::internal(format!("{other:?} is no vector"))),
    }
}

/// A vector to search for.
pub(crate) fn example(vector: wire::Vector) -> Result<SearchTarget> {
    Ok(match vector.vector {
        Some(Kind::Dense(dense)) => SearchTarget::Vector(Vector::Dense(dense.data)),
        Some(Kind::Sparse(vector)) => sparse(vector)?.into(),
        Some(Kind::MultiDense(rows)) => multi(rows)?.into(),
        Some(Kind::Document(text)) => SearchTarget::Document(document(text)?),
        Some(Kind::Image(image)) => return Err(no_model(image.model)),
        Some(Kind::Object(object)) => return Err(no_model(object.model)),
        None => flat(vector)?.into(),
    })
}

/// A vector of the older generation.
fn flat(vector: wire::Vector) -> Result<Vector> {
    match (vector.indices, vector.vectors_count) {
        (Some(indices), _) => Ok(SparseVector::new(indices.data, vector.data)?.into()),
        (None, Some(rows)) => {
            let rows = count(rows.into());
            if rows == 0 || !vector.data.len().is_multiple_of(rows) {
                return Err(refused(format!("{} numbers", vector.data.len()), format!("are not {rows} vectors of one length")));
            }
            Ok(MultiVector::flat(vector.data.len() / rows, vector.data)?.into())
        }
        (None, None) => Ok(Vector::Dense(vector.data)),
    }
}

/// What a query is near to.
pub(crate) fn target(input: wire::VectorInput) -> Result<SearchTarget> {
    use wire::vector_input::Variant;
    Ok(match needed(input.variant, "vector")? {
        Variant::Id(id) => SearchTarget::Id(point::point_id(id)?),
        Variant::Dense(dense) => SearchTarget::Vector(Vector::Dense(dense.data)),
        Variant::Sparse(vector) => sparse(vector)?.into(),
        Variant::MultiDense(rows) => multi(rows)?.into(),
        Variant::Document(text) => SearchTarget::Document(document(text)?),
        Variant::Image(image) => return Err(no_model(image.model)),
        Variant::Object(object) => return Err(no_model(object.model)),
    })
}

fn sparse(vector: wire::SparseVector) -> Result<Vector> {
    Ok(SparseVector::new(vector.indices, vector.values)?.into())
}

fn multi(rows: wire::MultiDenseVector) -> Result<Vector> {
    Ok(MultiVector::new(rows.vectors.into_iter().map(|row| row.data).collect())?.into())
}

fn document(document: wire::Document) -> Result<Document> {
    Ok(Document { text: document.text, model: document.model, options: point::payload(document.options)? })
}

fn no_model(model: String) -> ServiceError {
    Error::UnknownModel { model }.into()
}

/// One vector without a name by itself, or vectors by name.
pub(crate) fn vectors_out(vectors: Vectors) -> wire::VectorsOutput {
    use wire::vectors_output::VectorsOptions;
    let options = match vectors.get(UNNAMED) {
        Some(vector) if vectors.len() == 1 => VectorsOptions::Vector(vector_out(vector)),
        _ => {
            let named: HashMap<_, _> = vectors.iter().map(|(name, vector)| (name.to_owned(), vector_out(vector))).collect();
            VectorsOptions::Vectors(wire::NamedVectorsOutput { vectors: named })
        }
    };
    wire::VectorsOutput { vectors_options: Some(options) }
}

fn vector_out(vector: &Vector) -> wire::VectorOutput {
    use wire::vector_output::Vector as Kind;
    let dense = |data: &[f32]| wire::DenseVector { data: data.to_vec() };
    let kind = match vector {
        Vector::Dense(values) => Some(Kind::Dense(dense(values))),
        Vector::Sparse(sparse) => {
            Some(Kind::Sparse(wire::SparseVector { values: sparse.values().to_vec(), indices: sparse.indices().to_vec() }))
        }
        Vector::Multi(multi) => Some(Kind::MultiDense(wire::MultiDenseVector { vectors: multi.rows().map(dense).collect() })),
        _ => None,
    };
    wire::VectorOutput { vector: kind, ..wire::VectorOutput::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(data: &[f32], indices: Option<&[u32]>, vectors_count: Option<u32>) -> Result<Vector> {
        let indices = indices.map(|indices| wire::SparseIndices { data: indices.to_vec() });
        stored(wire::Vector { data: data.to_vec(), indices, vectors_count, vector: None })
    }

    #[test]
    fn both_generations_mean_the_same() {
        let new = |kind| stored(wire::Vector { vector: Some(kind), ..wire::Vector::default() }).expect("a vector");
        let dense = |data: &[f32]| wire::DenseVector { data: data.to_vec() };
        assert_eq!(old(&[1.0, 2.0], None, None).expect("dense"), new(Kind::Dense(dense(&[1.0, 2.0]))));
        let sparse = wire::SparseVector { values: vec![0.5, 2.0], indices: vec![7, 3] };
        assert_eq!(old(&[0.5, 2.0], Some(&[7, 3]), None).expect("sparse"), new(Kind::Sparse(sparse)));
        let multi = wire::MultiDenseVector { vectors: vec![dense(&[1.0, 2.0]), dense(&[3.0, 4.0])] };
        assert_eq!(old(&[1.0, 2.0, 3.0, 4.0], None, Some(2)).expect("multi"), new(Kind::MultiDense(multi)));
        assert!(old(&[1.0, 2.0, 3.0], None, Some(2)).is_err());
        assert!(old(&[1.0], Some(&[1, 2]), None).is_err());
    }
}
