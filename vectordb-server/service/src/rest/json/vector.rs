//! Vectors of points, read straight from the text: uploads consist of them, and a tree of JSON values would take many times
//! their memory.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use vectordb_core::{MultiVector, UNNAMED, Value, Vector, Vectors};

use super::numbers::{misread, numbers};
use crate::error::Result;

/// One vector as it may look.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Dense(Vec<f32>),
    Multi(Vec<Vec<f32>>),
    /// A sparse vector or a document.
    Object(Value),
    /// A string, which is no vector but may be the member of a document.
    Text(String),
}

impl Part {
    pub(crate) fn into_vector(self) -> Result<Vector> {
        match self {
            Self::Dense(values) => Ok(Vector::Dense(values)),
            Self::Multi(rows) => Ok(Vector::Multi(MultiVector::new(rows)?)),
            Self::Object(json) => Ok(Vector::stored_from_json(&json)?),
            Self::Text(_) => Err(super::bad_form("expected a vector, not a string")),
        }
    }
}

/// The vectors of a point: one without a name, or some by name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum VectorForm {
    Unnamed(Part),
    Named(Vec<(String, Part)>),
}

impl VectorForm {
    pub(crate) fn into_vectors(self) -> Result<Vectors> {
        match self {
            Self::Unnamed(part) => Ok(Vectors::unnamed(part.into_vector()?)),
            Self::Named(parts) if is_document(&parts) => {
                let members = parts.into_iter().map(|(name, part)| {
                    let value = match part {
                        Part::Text(text) => Value::String(text),
                        Part::Object(value) => value,
                        Part::Dense(values) => serde_json::json!(values),
                        Part::Multi(rows) => serde_json::json!(rows),
                    };
                    (name, value)
                });
                Ok(Vectors::unnamed(Vector::stored_from_json(&Value::Object(members.collect()))?))
            }
            Self::Named(parts) => parts.into_iter().map(|(name, part)| Ok((name, part.into_vector()?))).collect(),
        }
    }
}

/// A text with the model that turns it into a vector, instead of vectors by name.
fn is_document(parts: &[(String, Part)]) -> bool {
    let text = |wanted: &str| parts.iter().any(|(name, part)| name == wanted && matches!(part, Part::Text(_)));
    text("text") && text("model")
}

/// The vectors of many points: one for each, or lists of them by name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum VectorColumns {
    Unnamed(Vec<Part>),
    Named(Vec<(String, Vec<Part>)>),
}

impl VectorColumns {
    /// The vectors of each of `count` points.
    pub(crate) fn into_rows(self, count: usize) -> Result<Vec<Vectors>> {
        let columns = match self {
            Self::Unnamed(column) => vec![(UNNAMED.to_owned(), column)],
            Self::Named(columns) => columns,
        };
        let mut rows = vec![Vectors::default(); count];
        for (name, column) in columns {
            if column.len() != count {
                return Err(super::bad_form(format!("number of ids and vectors must be equal ({count} != {})", column.len())));
            }
            for (row, part) in rows.iter_mut().zip(column) {
                row.insert(name.clone(), part.into_vector()?);
            }
        }
        Ok(rows)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        part(<&RawValue>::deserialize(deserializer)?)
    }
}

/// A vector, of which nothing is read yet.
fn part<E: serde::de::Error>(raw: &RawValue) -> Result<Part, E> {
    if let Some(values) = numbers(raw) {
        return Ok(Part::Dense(values));
    }
    serde_json::Deserializer::from_str(raw.get()).deserialize_any(PartVisitor).map_err(|error| misread(&error))
}

struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dense, a sparse or a multivector")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Part, E> {
        Ok(Part::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Part, A::Error> {
        Value::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Part::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Part, A::Error> {
        match elements(seq)? {
            Elements::Numbers(values) => Ok(Part::Dense(values)),
            Elements::Parts(parts) => parts
                .into_iter()
                .map(|part| if let Part::Dense(row) = part { Ok(row) } else { Err(A::Error::custom("expected rows of numbers")) })
                .collect::<Result<_, _>>()
                .map(Part::Multi),
        }
    }
}

/// The elements of a list: all numbers, or none.
enum Elements {
    Numbers(Vec<f32>),
    Parts(Vec<Part>),
}

fn elements<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Elements, A::Error> {
    match seq.next_element::<Element>()? {
        None => Ok(Elements::Numbers(Vec::new())),
        Some(Element::Number(first)) => {
            let mut values = vec![first];
            while let Some(value) = seq.next_element::<f32>()? {
                values.push(value);
            }
            Ok(Elements::Numbers(values))
        }
        Some(Element::Part(first)) => {
            let mut parts = vec![first];
            while let Some(part) = seq.next_element()? {
                parts.push(part);
            }
            Ok(Elements::Parts(parts))
        }
    }
}

/// The first element of a list, which tells what list it is.
enum Element {
    Number(f32),
    Part(Part),
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementVisitor;
        impl<'de> Visitor<'de> for ElementVisitor {
            type Value = Element;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a vector")
            }
            #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32; infinite ones are refused with their point")]
            fn visit_f64<E>(self, value: f64) -> Result<Element, E> {
                Ok(Element::Number(value as f32))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Element, E> {
                Ok(Element::Number(value as f32))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Element, E> {
                Ok(Element::Number(value as f32))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Element, E> {
                PartVisitor.visit_str(text).map(Element::Part)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Element, A::Error> {
                PartVisitor.visit_map(map).map(Element::Part)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Element, A::Error> {
                PartVisitor.visit_seq(seq).map(Element::Part)
            }
        }
        deserializer.deserialize_any(ElementVisitor)
    }
}

impl<'de> Deserialize<'de> for VectorForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FormVisitor;
        impl<'de> Visitor<'de> for FormVisitor {
            type Value = VectorForm;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vector, or vectors by name")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<VectorForm, A::Error> {
                members(map).map(VectorForm::Named)
            }
        }
        let raw = <&RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('[') {
            return part(raw).map(VectorForm::Unnamed);
        }
        serde_json::Deserializer::from_str(raw.get()).deserialize_any(FormVisitor).map_err(|error| misread(&error))
    }
}

impl<'de> Deserialize<'de> for VectorColumns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ColumnsVisitor;
        impl<'de> Visitor<'de> for ColumnsVisitor {
            type Value = VectorColumns;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of vectors, or lists of them by name")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<VectorColumns, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(VectorColumns::Unnamed(parts))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<VectorColumns, A::Error> {
                members(map).map(VectorColumns::Named)
            }
        }
        deserializer.deserialize_any(ColumnsVisitor)
    }
}

/// The members of an object in order.
fn members<'de, A: MapAccess<'de>, T: Deserialize<'de>>(mut map: A) -> Result<Vec<(String, T)>, A::Error> {
    let mut members = Vec::new();
    while let Some(member) = map.next_entry()? {
        members.push(member);
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(json: &str) -> Result<Vectors, String> {
        let form: VectorForm = serde_json::from_str(json).map_err(|error| error.to_string())?;
        form.into_vectors().map_err(|error| error.to_string())
    }

    #[test]
    fn vectors_of_every_form_are_read() {
        let dense = form("[1, 0.5, -2e0]").expect("a dense vector");
        assert_eq!(dense.get(UNNAMED).and_then(Vector::as_dense), Some(&[1.0, 0.5, -2.0][..]));
        let named = form(r#"{"a": [1, 2], "s": {"indices": [3, 1], "values": [0.5, 1]}, "m": [[1, 2], [3, 4]]}"#);
        let named = named.expect("vectors by name");
        assert_eq!(named.len(), 3);
        assert_eq!(named.get("s").and_then(Vector::as_sparse).map(|sparse| sparse.indices().to_vec()), Some(vec![1, 3]));
        assert_eq!(named.get("m").and_then(Vector::as_multi).map(|multi| multi.rows().len()), Some(2));
        let odd = form(r#"{"indices": [1, 2], "values": [0.5, 1]}"#).expect("two dense vectors with unlucky names");
        assert!(odd.get("indices").is_some());
        assert_eq!(form("{}").map(|vectors| vectors.len()), Ok(0));
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        for bad in ["7", "\"text\"", "[1, \"a\"]", "[[1, [2]]]", "[1, [2]]", "[[1], 2]", "[true]", r#"{"a": "text"}"#, r#"{"a": null}"#] {
            assert!(form(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn columns_become_rows() {
        let columns: VectorColumns = serde_json::from_str(r#"{"a": [[1], [2]], "b": [[3], [4]]}"#).expect("columns");
        let rows = columns.into_rows(2).expect("two rows");
        assert_eq!(rows[1].get("b").and_then(Vector::as_dense), Some(&[4.0][..]));
        let columns: VectorColumns = serde_json::from_str("[[1], [2]]").expect("a column");
        assert!(columns.into_rows(3).is_err());
        assert!(serde_json::from_str::<VectorColumns>(r#"{"a": null}"#).is_err());
    }
}
