//! Points, their ids, and what a read gives back.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use super::payload::Payload;
use super::vector::{Vector, Vectors};
use crate::error::{Error, Result};

/// Longest string id, in bytes.
pub const MAX_STRING_ID_BYTES: usize = 256;

/// The identity of a point: a number, a UUID, or a short string.
///
/// Ids are ordered: numbers first (ascending), then UUIDs, then strings. A string that is a UUID in any of its
/// usual spellings is that UUID, so `PointId::from("…")` never makes two ids of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PointId {
    /// An unsigned 64-bit number.
    Num(u64),
    /// A UUID.
    Uuid(Uuid),
    /// A string of 1 to [`MAX_STRING_ID_BYTES`] bytes that is not a UUID.
    Str(Box<str>),
}

impl PointId {
    /// Reads a text id: a UUID in simple, hyphenated or URN form, or any other string.
    ///
    /// # Errors
    /// [`Error::InvalidName`] when the string is empty or longer than [`MAX_STRING_ID_BYTES`].
    pub fn parse(text: &str) -> Result<Self> {
        let id = Self::from(text);
        id.validate()?;
        Ok(id)
    }

    /// Checks the length of a string id; numbers and UUIDs are always valid.
    ///
    /// # Errors
    /// [`Error::InvalidName`] when the string is empty or too long.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Str(text) if text.is_empty() || text.len() > MAX_STRING_ID_BYTES => Err(Error::InvalidName {
                what: "point id",
                value: text.chars().take(40).collect(),
                reason: "a string id has 1 to 256 bytes",
            }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Num(num) => write!(f, "{num}"),
            Self::Uuid(uuid) => write!(f, "{uuid}"),
            Self::Str(text) => f.write_str(text),
        }
    }
}

impl From<u64> for PointId {
    fn from(num: u64) -> Self {
        Self::Num(num)
    }
}

impl From<Uuid> for PointId {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl From<&str> for PointId {
    fn from(text: &str) -> Self {
        Uuid::try_parse(text).map_or_else(|_| Self::Str(text.into()), Self::Uuid)
    }
}

impl From<String> for PointId {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// In readable formats an id is a JSON number or string; in binary formats a tagged value.
impl Serialize for PointId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return match self {
                Self::Num(num) => serializer.serialize_u64(*num),
                Self::Uuid(uuid) => serializer.collect_str(uuid),
                Self::Str(text) => serializer.serialize_str(text),
            };
        }
        match self {
            Self::Num(num) => BinaryId::Num(*num),
            Self::Uuid(uuid) => BinaryId::Uuid(uuid.as_u128()),
            Self::Str(text) => BinaryId::Str(text.clone()),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize, Deserialize)]
enum BinaryId {
    Num(u64),
    Uuid(u128),
    Str(Box<str>),
}

impl<'de> Deserialize<'de> for PointId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return deserializer.deserialize_any(ReadableId);
        }
        Ok(match BinaryId::deserialize(deserializer)? {
            BinaryId::Num(num) => Self::Num(num),
            BinaryId::Uuid(bits) => Self::Uuid(Uuid::from_u128(bits)),
            BinaryId::Str(text) => Self::Str(text),
        })
    }
}

struct ReadableId;

impl de::Visitor<'_> for ReadableId {
    type Value = PointId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a point id: an unsigned integer, a UUID or a string of at most 256 bytes")
    }

    fn visit_u64<E: de::Error>(self, num: u64) -> Result<PointId, E> {
        Ok(PointId::Num(num))
    }

    fn visit_i64<E: de::Error>(self, num: i64) -> Result<PointId, E> {
        u64::try_from(num).map(PointId::Num).map_err(|_| E::custom(format!("point id {num} is negative")))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PointId, E> {
        PointId::parse(text).map_err(E::custom)
    }
}

/// Position of an update in a collection's history; grows by one with each logged batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The state before the first update.
    pub const ZERO: Self = Self(0);

    /// The update after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A point to be stored: an id, any of the collection's vectors, and a payload.
///
/// ```
/// use vectordb_core::Point;
/// let point = Point::new(7, vec![0.1, 0.2]).with("lang", "en");
/// assert_eq!(point.payload["lang"], "en");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The point's id.
    pub id: PointId,
    /// Its vectors by name; the unnamed vector has the name `""`.
    pub vectors: Vectors,
    /// Its payload.
    #[serde(with = "super::payload::as_json_text")]
    pub payload: Payload,
}

impl Point {
    /// A point with the unnamed vector and no payload.
    pub fn new(id: impl Into<PointId>, vector: impl Into<Vector>) -> Self {
        Self { id: id.into(), vectors: Vectors::unnamed(vector), payload: Payload::new() }
    }

    /// A point with no vector and no payload.
    pub fn bare(id: impl Into<PointId>) -> Self {
        Self { id: id.into(), vectors: Vectors::default(), payload: Payload::new() }
    }

    /// Adds or replaces a named vector.
    #[must_use]
    pub fn vector(mut self, name: impl Into<String>, vector: impl Into<Vector>) -> Self {
        self.vectors.insert(name, vector);
        self
    }

    /// Sets one payload key.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.payload.insert(key.into(), value.into());
        self
    }

    /// Replaces the payload by any value that serializes to a JSON object.
    ///
    /// # Errors
    /// [`Error::InvalidPayload`] when the value is not an object or cannot be serialized.
    pub fn payload<T: Serialize>(mut self, payload: &T) -> Result<Self> {
        match serde_json::to_value(payload) {
            Ok(serde_json::Value::Object(map)) => self.payload = map,
            Ok(_) => return Err(Error::InvalidPayload { reason: "a payload must be a JSON object".into() }),
            Err(error) => return Err(Error::InvalidPayload { reason: error.to_string() }),
        }
        Ok(self)
    }
}

/// A point as it is stored, with what the read asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The point's id.
    pub id: PointId,
    /// Lsn of the point's last update.
    pub version: Lsn,
    /// The payload, when it was asked for.
    pub payload: Option<Payload>,
    /// The vectors, when they were asked for.
    pub vectors: Option<Vectors>,
    /// The value a scroll was ordered by, when it was.
    pub order_value: Option<serde_json::Value>,
}

/// A search hit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoredPoint {
    /// The point's id.
    pub id: PointId,
    /// Lsn of the point's last update.
    pub version: Lsn,
    /// The user's number: similarity for Cosine and Dot (larger is closer), distance for Euclid and Manhattan (smaller is closer).
    pub score: f32,
    /// The payload, when it was asked for.
    pub payload: Option<Payload>,
    /// The vectors, when they were asked for.
    pub vectors: Option<Vectors>,
    /// The value a query was ordered by, when it was.
    pub order_value: Option<serde_json::Value>,
}

impl ScoredPoint {
    /// Reads the payload into a type of the caller's.
    ///
    /// # Errors
    /// [`Error::InvalidPayload`] when the payload was not fetched or does not have the type's shape.
    pub fn payload<T: de::DeserializeOwned>(&self) -> Result<T> {
        let Some(payload) = &self.payload else {
            return Err(Error::InvalidPayload { reason: "the search did not fetch payloads".into() });
        };
        serde_json::from_value(serde_json::Value::Object(payload.clone()))
            .map_err(|error| Error::InvalidPayload { reason: error.to_string() })
    }
}

/// Total order of hits: better score first (`larger is closer`), then id, so that equal scores come in a fixed order.
pub(crate) fn by_score_then_id(a: (f32, &PointId), b: (f32, &PointId)) -> Ordering {
    b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1))
}

/// Which parts of a payload a read returns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PayloadSelector {
    /// Nothing.
    None,
    /// Everything.
    #[default]
    All,
    /// Only these paths.
    Include(Vec<String>),
    /// Everything but these paths.
    Exclude(Vec<String>),
}

impl From<bool> for PayloadSelector {
    fn from(all: bool) -> Self {
        if all { Self::All } else { Self::None }
    }
}

/// Which vectors a read returns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum VectorSelector {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// These names (`""` is the unnamed vector).
    Names(Vec<String>),
}

impl VectorSelector {
    /// Whether a vector of this name is returned.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Names(names) => names.iter().any(|each| each == name),
        }
    }
}

impl From<bool> for VectorSelector {
    fn from(all: bool) -> Self {
        if all { Self::All } else { Self::None }
    }
}
