//! Texts that are ranked, and texts that become vectors.

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::config::{Stopwords, Tokenizer};
use super::payload::Value;
use crate::error::{Error, Result};

/// `k` of BM25 when none is given.
pub(crate) const DEFAULT_K: f32 = 1.2;
/// `b` of BM25 when none is given.
pub(crate) const DEFAULT_B: f32 = 0.75;

/// Words to rank the texts of a field by; the field's text index must have `scoring`.
///
/// ```
/// use vectordb_core::{Database, FieldSchema, Point, Query, QueryRequest, TextQuery};
/// # let dir = tempfile::tempdir().unwrap();
/// let db = Database::open(dir.path())?;
/// let notes = db.collection("notes").dim(1).create()?;
/// notes.create_index("text", FieldSchema::ranked_text())?;
/// notes.upsert([
///     Point::new(1u64, [0.0]).with("text", "a red fox"),
///     Point::new(2u64, [0.0]).with("text", "a red, red rose"),
/// ])?;
/// let mut request = QueryRequest::new(Query::Text(TextQuery::new("red")));
/// request.using = "text".into();
/// assert_eq!(notes.query_points(&request)?[0].id, 2u64.into());
/// # Ok::<(), vectordb_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TextQuery {
    /// The text, cut into words as the index cuts texts. A word that comes twice counts once.
    pub query: String,
    /// By what function.
    pub scoring: TextQueryScoring,
}

impl TextQuery {
    /// A query with the default function.
    pub fn new(query: impl Into<String>) -> Self {
        Self { query: query.into(), scoring: TextQueryScoring::default() }
    }
}

/// Functions texts are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TextQueryScoring {
    /// BM25 (Robertson & Zaragoza 2009).
    Bm25(Bm25Params),
}

impl Default for TextQueryScoring {
    fn default() -> Self {
        Self::Bm25(Bm25Params::default())
    }
}

/// Parameters of BM25: a word that occurs `f` times in a text of `n` words adds
/// `idf · f · (k + 1) / (f + k · (1 − b + b · n / mean n))` to its score.
///
/// `idf` is `ln(1 + (N − d + 0.5) / (d + 0.5))` for a word in `d` of `N` texts, as in Lucene: always above 0. A text is all
/// that a point holds in the field, and only live points with at least one word count, in all segments together.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Bm25Params {
    /// How much it counts that a word comes again, from 0 on; `None` is 1.2.
    pub k: Option<f32>,
    /// How much long texts are held back, from 0 to 1; `None` is 0.75.
    pub b: Option<f32>,
}

impl Bm25Params {
    /// Both numbers.
    ///
    /// # Errors
    /// [`Error::InvalidQuery`] outside of their ranges.
    pub(crate) fn checked(&self) -> Result<(f64, f64)> {
        let (k, b) = (self.k.unwrap_or(DEFAULT_K), self.b.unwrap_or(DEFAULT_B));
        if !(k.is_finite() && k >= 0.0) {
            return Err(Error::query(format!("`k` of BM25 is {k}, not a number from 0 on")));
        }
        if !(0.0..=1.0).contains(&b) {
            return Err(Error::query(format!("`b` of BM25 is {b}, not between 0 and 1")));
        }
        Ok((k.into(), b.into()))
    }
}

/// A text that a model makes a vector of. The one model is `qdrant/bm25`, in upper or lower case; see [`Bm25`](crate::Bm25).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The text.
    pub text: String,
    /// The model's name.
    pub model: String,
    /// Settings of the model; for `qdrant/bm25` those of [`Bm25Config`].
    pub options: Map<String, Value>,
}

impl Document {
    /// A text for a model with default settings.
    pub fn new(text: impl Into<String>, model: impl Into<String>) -> Self {
        Self { text: text.into(), model: model.into(), options: Map::new() }
    }

    /// Whether JSON stands for something a model makes a vector of.
    pub(crate) fn is_meant(json: &Value) -> bool {
        json.get("model").is_some()
    }

    /// Reads the JSON form: `{"text": "words", "model": "qdrant/bm25", "options": {"language": "german"}}`.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] for what is no text, and [`Error::InvalidQuery`] for JSON of another form.
    pub fn from_json(json: &Value) -> Result<Self> {
        let map = json.as_object().ok_or_else(|| Error::query("a document is an object"))?;
        let member = |name: &str| map.get(name).filter(|value| !value.is_null());
        let model = member("model").and_then(Value::as_str).ok_or_else(|| Error::query("a document needs the name of a `model`"))?;
        if member("text").is_none() && (member("image").is_some() || member("object").is_some()) {
            return Err(Error::UnknownModel { model: model.to_owned() });
        }
        if let Some(odd) = map.keys().find(|name| !matches!(name.as_str(), "text" | "model" | "options")) {
            return Err(Error::query(format!("a document has no member `{odd}`")));
        }
        let text = member("text").and_then(Value::as_str).ok_or_else(|| Error::query("the `text` of a document is a string"))?;
        let options = match member("options") {
            None => Map::new(),
            Some(Value::Object(options)) => options.clone(),
            Some(_) => return Err(Error::query("the `options` of a document are an object")),
        };
        Ok(Self { text: text.to_owned(), model: model.to_owned(), options })
    }
}

/// Settings of the encoder [`Bm25`](crate::Bm25); what is `None` has its default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bm25Config {
    /// How much it counts that a word comes again, from 0 on; default 1.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<f32>,
    /// How much long texts are held back, from 0 to 1; default 0.75.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<f32>,
    /// Words of a usual text, above 0; default 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg_len: Option<f32>,
    /// How texts are cut into words; default at everything that is neither a letter, a digit nor an underscore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Tokenizer>,
    /// The English name of the language whose stopwords and stemmer are the defaults; default English. `none` means neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Ignore case; default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowercase: Option<bool>,
    /// Take accents off letters; default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ascii_folding: Option<bool>,
    /// Words left out, instead of those of the language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopwords: Option<Stopwords>,
    /// Reduce words to their stems: a language's English name, `{"type": "snowball", "language": …}`, or `{"type": "none"}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stemmer: Option<Value>,
    /// Fewest characters of a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_token_len: Option<usize>,
    /// Most characters of a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_token_len: Option<usize>,
}
