//! Vectors that a model makes of a text, and JSON that may ask for one.

use super::bm25::Bm25;
use crate::error::{Error, Result};
use crate::model::payload::Value;
use crate::model::text::{Bm25Config, Document};
use crate::model::vector::{SparseVector, Vector, Vectors};

/// The model there is.
const BM25: &str = "qdrant/bm25";

impl Document {
    /// The vector of the text as one to be stored.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], and [`Error::InvalidConfig`] for options the model does not have.
    pub fn stored_vector(&self) -> Result<SparseVector> {
        Ok(self.encoder()?.document(&self.text))
    }

    /// The vector of the text as one to be asked for.
    ///
    /// # Errors
    /// As [`Document::stored_vector`].
    pub fn query_vector(&self) -> Result<SparseVector> {
        Ok(self.encoder()?.query(&self.text))
    }

    fn encoder(&self) -> Result<Bm25> {
        if !self.model.eq_ignore_ascii_case(BM25) {
            return Err(Error::UnknownModel { model: self.model.clone() });
        }
        let config: Bm25Config = serde_json::from_value(Value::Object(self.options.clone()))
            .map_err(|error| Error::config("options", format!("of the model `{}`: {error}", self.model)))?;
        Bm25::new(&config)
    }
}

impl Vector {
    /// Reads the JSON form of a vector to be stored: what [`Vector::from_json`] reads, or a text that a model makes the vector of.
    ///
    /// ```
    /// use vectordb_core::Vector;
    /// let json = serde_json::json!({"text": "red foxes", "model": "qdrant/bm25", "options": {"avg_len": 20}});
    /// assert_eq!(Vector::stored_from_json(&json)?.as_sparse().map(|vector| vector.indices().len()), Some(2));
    /// # Ok::<(), vectordb_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Vector::from_json`], [`Document::from_json`] and [`Document::stored_vector`].
    pub fn stored_from_json(json: &Value) -> Result<Self> {
        if Document::is_meant(json) { Ok(Document::from_json(json)?.stored_vector()?.into()) } else { Self::from_json(json) }
    }

    /// Reads the JSON form of a vector to be asked for; as [`Vector::stored_from_json`], but texts have the weights of queries.
    ///
    /// # Errors
    /// As [`Vector::stored_from_json`].
    pub fn query_from_json(json: &Value) -> Result<Self> {
        if Document::is_meant(json) { Ok(Document::from_json(json)?.query_vector()?.into()) } else { Self::from_json(json) }
    }
}

impl Vectors {
    /// Reads the JSON form of a point's vectors: one vector without a name, or an object of names with vectors.
    ///
    /// ```
    /// use vectordb_core::Vectors;
    /// let json = serde_json::json!({"image": [0.1, 0.2], "words": {"text": "red foxes", "model": "qdrant/bm25"}});
    /// assert_eq!(Vectors::from_json(&json)?.len(), 2);
    /// # Ok::<(), vectordb_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Vector::stored_from_json`].
    pub fn from_json(json: &Value) -> Result<Self> {
        // Vectors may have any names, but none is a string, and one called `indices` beside one called `values` is taken for both.
        let text = |name: &str| json.get(name).is_some_and(Value::is_string);
        let sparse = json.get("indices").zip(json.get("values")).is_some();
        match json {
            Value::Object(named) if !(text("model") || sparse) => {
                named.iter().map(|(name, json)| Ok((name.as_str(), Vector::stored_from_json(json)?))).collect()
            }
            _ => Ok(Self::unnamed(Vector::stored_from_json(json)?)),
        }
    }
}
