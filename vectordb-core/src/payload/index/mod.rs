//! Which rows of a segment satisfy a test of a payload field.
//!
//! An index answers some tests of its field and says nothing of others. Its answer is a set of rows that is either *exact* or
//! a superset to be checked row by row; it never leaves out a row that matches. Values an index cannot represent (a float in
//! an integer index) are remembered as *foreign* rows, so that an index never changes what a filter means.
//!
//! Rows never change and are added in ascending order. Files: `postings` (value → rows), `numbers` (values in order), `places`
//! (a grid of the earth), `words` (texts), `ranked` (texts with what ranking needs).

mod numbers;
mod places;
mod postings;
mod ranked;
mod words;

use std::collections::BTreeMap;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::model::config::FieldSchema;
use crate::model::filter::{FieldTest, MatchSet, MatchValue};
use crate::model::payload::{DateTime, Payload, PayloadPath, Value};
use crate::model::query::OrderValue;
use crate::payload::path;
use crate::storage::{codec, heap};

use numbers::Numbers;
pub(crate) use numbers::OrderKey;
use places::Places;
use postings::Postings;
pub(crate) use ranked::{Occurrences, RankedWords, Texts};
use words::Words;

/// Raised when texts are cut into other words than before, so that indexes saved until then are built anew.
const WORD_RULES: u32 = 2;

/// Rows that may satisfy something.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidates {
    pub(crate) rows: RoaringBitmap,
    /// Whether all of them do; else each must be checked.
    pub(crate) exact: bool,
}

impl Candidates {
    pub(crate) fn exact(rows: RoaringBitmap) -> Self {
        Self { rows, exact: true }
    }

    /// The rows of an index and those whose values it does not know.
    fn with_foreign(rows: RoaringBitmap, foreign: &RoaringBitmap) -> Self {
        Self { rows: rows | foreign, exact: foreign.is_empty() }
    }
}

/// The index of one field.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FieldIndex {
    /// Rows with any value that is not null.
    #[serde(with = "postings::as_bytes")]
    filled: RoaringBitmap,
    /// Rows with a null, by itself or in an array.
    #[serde(with = "postings::as_bytes")]
    null: RoaringBitmap,
    /// Rows with a value that is in `values`.
    #[serde(with = "postings::as_bytes")]
    indexed: RoaringBitmap,
    /// Rows with a value, not null, that is not in `values`.
    #[serde(with = "postings::as_bytes")]
    foreign: RoaringBitmap,
    values: Values,
}

/// The structure behind an index.
#[derive(Debug, Serialize, Deserialize)]
enum Values {
    Keyword(Postings<String>),
    Integer(Numbers<i64>),
    Float(Numbers<f64>),
    Bool(Postings<bool>),
    Uuid(Postings<u128>),
    DateTime(Numbers<i64>),
    Geo(Places),
    Text(Words),
    RankedText(RankedWords),
}

impl Values {
    fn new(schema: &FieldSchema) -> Result<Self> {
        Ok(match schema {
            FieldSchema::Keyword(_) => Self::Keyword(Postings::default()),
            FieldSchema::Integer(_) => Self::Integer(Numbers::default()),
            FieldSchema::Float(_) => Self::Float(Numbers::default()),
            FieldSchema::Bool(_) => Self::Bool(Postings::default()),
            FieldSchema::Uuid(_) => Self::Uuid(Postings::default()),
            FieldSchema::Datetime(_) => Self::DateTime(Numbers::default()),
            FieldSchema::Geo(_) => Self::Geo(Places::default()),
            FieldSchema::Text(params) if params.ranks() => Self::RankedText(RankedWords::new(params)?),
            FieldSchema::Text(params) => Self::Text(Words::new(params)?),
        })
    }

    /// Gives back what is allocated beyond the content: reading doubles lists as it goes.
    fn shrink(&mut self) {
        match self {
            Self::Integer(index) | Self::DateTime(index) => index.shrink(),
            Self::Float(index) => index.shrink(),
            Self::Geo(index) => index.shrink(),
            Self::RankedText(index) => index.shrink(),
            Self::Keyword(_) | Self::Bool(_) | Self::Uuid(_) | Self::Text(_) => {}
        }
    }

    /// Adds a value; false when it cannot be represented.
    fn add(&mut self, row: u32, value: &Value) -> bool {
        match (self, value) {
            (Self::Keyword(index), Value::String(text)) => drop(index.add(row, text.clone())),
            (Self::Integer(index), Value::Number(number)) if number.is_i64() => {
                number.as_i64().into_iter().for_each(|number| index.add(row, number));
            }
            (Self::Float(index), Value::Number(number)) => number.as_f64().into_iter().for_each(|number| index.add(row, number)),
            (Self::Bool(index), Value::Bool(flag)) => drop(index.add(row, *flag)),
            (Self::Uuid(index), Value::String(text)) => match Uuid::try_parse(text) {
                Ok(uuid) => drop(index.add(row, uuid.as_u128())),
                Err(_) => return false,
            },
            (Self::DateTime(index), Value::String(text)) => match DateTime::parse(text) {
                Some(moment) => index.add(row, moment.0),
                None => return false,
            },
            (Self::Geo(index), value) => match crate::payload::geo::place(value) {
                Some(place) => index.add(row, place),
                None => return false,
            },
            (Self::Text(index), Value::String(text)) => index.add(row, text),
            (Self::RankedText(index), Value::String(text)) => index.add(row, text),
            _ => return false,
        }
        true
    }
}

impl FieldIndex {
    fn new(schema: &FieldSchema) -> Result<Self> {
        let [filled, null, indexed, foreign] = std::array::from_fn(|_| RoaringBitmap::new());
        Ok(Self { filled, null, indexed, foreign, values: Values::new(schema)? })
    }

    fn add(&mut self, row: u32, value: &Value) {
        path::each(value, &mut |value| {
            if value.is_null() {
                self.null.insert(row);
                return;
            }
            self.filled.insert(row);
            if self.values.add(row, value) {
                self.indexed.insert(row);
            } else {
                self.foreign.insert(row);
            }
        });
    }

    /// Rows with a value that is not null; all others are empty.
    pub(crate) fn filled(&self) -> &RoaringBitmap {
        &self.filled
    }

    pub(crate) fn null(&self) -> &RoaringBitmap {
        &self.null
    }

    /// Rows that may satisfy a test; nothing when this index does not serve such tests.
    pub(crate) fn candidates(&self, test: &FieldTest) -> Option<Candidates> {
        let with_foreign = |rows| Some(Candidates::with_foreign(rows, &self.foreign));
        let exact = |rows| Some(Candidates::exact(rows));
        match (&self.values, test) {
            (Values::Keyword(index), FieldTest::Value(MatchValue::Keyword(text))) => exact(index.get(text)),
            (Values::Keyword(index), FieldTest::Any(MatchSet::Keywords(set))) => exact(index.any(set)),
            // A value of another kind is in no list of strings, so foreign rows are certain.
            (Values::Keyword(index), FieldTest::Except(MatchSet::Keywords(set))) => exact(index.except(set) | &self.foreign),
            (Values::Keyword(index), FieldTest::Prefix(prefix)) => exact(index.matching(|text| text.starts_with(prefix.as_str()))),
            (Values::Keyword(index), FieldTest::Substring(part)) => exact(index.matching(|text| text.contains(part.as_str()))),
            (Values::Integer(index), FieldTest::Value(MatchValue::Integer(number))) => exact(index.equal(*number)),
            (Values::Integer(index), FieldTest::Any(MatchSet::Integers(set))) => {
                exact(set.iter().map(|&number| index.equal(number)).fold(RoaringBitmap::new(), |all, rows| all | rows))
            }
            (Values::Integer(index), FieldTest::Except(MatchSet::Integers(set))) => {
                exact(index.matching(|number| !set.contains(&number)) | &self.foreign)
            }
            #[expect(clippy::cast_precision_loss, reason = "ranges compare numbers as floats, with or without an index")]
            (Values::Integer(index), FieldTest::Range(range)) => with_foreign(index.range(range, |number| number as f64)),
            (Values::Float(index), FieldTest::Range(range)) => with_foreign(index.range(range, |number| number)),
            (Values::Bool(index), FieldTest::Value(MatchValue::Bool(flag))) => exact(index.get(flag)),
            (Values::Uuid(index), FieldTest::Value(MatchValue::Keyword(text))) => match Uuid::try_parse(text) {
                Ok(uuid) => exact(index.get(&uuid.as_u128())),
                Err(_) => with_foreign(RoaringBitmap::new()),
            },
            (Values::Uuid(index), FieldTest::Any(MatchSet::Keywords(set))) => {
                let known: Vec<u128> = set.iter().filter_map(|text| Uuid::try_parse(text).ok()).map(|uuid| uuid.as_u128()).collect();
                with_foreign(index.any(&known))
            }
            (Values::DateTime(index), FieldTest::DateTimeRange(range)) => exact(index.range(range, DateTime)),
            (Values::Geo(index), test) => index.candidates(test),
            (Values::Text(index), test) => index.candidates(test),
            (Values::RankedText(index), test) => index.words().candidates(test),
            _ => None,
        }
    }

    /// What texts of the field are ranked by, if they can be.
    pub(crate) fn ranked(&self) -> Option<&RankedWords> {
        if let Values::RankedText(index) = &self.values { Some(index) } else { None }
    }

    /// Rows with values that only their payloads tell.
    pub(crate) fn foreign(&self) -> &RoaringBitmap {
        &self.foreign
    }

    /// Whether [`FieldIndex::each_value`] gives anything.
    pub(crate) fn holds_values(&self) -> bool {
        match &self.values {
            Values::Keyword(_) | Values::Bool(_) | Values::Uuid(_) | Values::Integer(_) => true,
            Values::Float(_) | Values::DateTime(_) | Values::Geo(_) | Values::Text(_) | Values::RankedText(_) => false,
        }
    }

    /// Gives each value with its rows; false when this index does not hold whole values.
    pub(crate) fn each_value(&self, found: &mut dyn FnMut(Value, &RoaringBitmap)) -> bool {
        match &self.values {
            Values::Keyword(index) => index.each().for_each(|(text, rows)| found(text.clone().into(), &rows)),
            Values::Bool(index) => index.each().for_each(|(flag, rows)| found((*flag).into(), &rows)),
            Values::Uuid(index) => index.each().for_each(|(uuid, rows)| found(Uuid::from_u128(*uuid).to_string().into(), &rows)),
            Values::Integer(index) => {
                let mut pairs = index.ordered(false, None, OrderKey::Integer).peekable();
                while let Some((number, row)) = pairs.next() {
                    let mut rows = RoaringBitmap::from_iter([row]);
                    while let Some((_, row)) = pairs.next_if(|(next, _)| *next == number) {
                        rows.insert(row);
                    }
                    found(number.to_json(), &rows);
                }
            }
            Values::Float(_) | Values::DateTime(_) | Values::Geo(_) | Values::Text(_) | Values::RankedText(_) => return false,
        }
        true
    }

    /// Values and rows in the order of values; rows with several values come several times.
    pub(crate) fn ordered(&self, descending: bool, from: Option<OrderValue>) -> Box<dyn Iterator<Item = (OrderKey, u32)> + '_> {
        match &self.values {
            Values::Integer(index) => index.ordered(descending, from, OrderKey::Integer),
            Values::Float(index) => index.ordered(descending, from, OrderKey::Float),
            Values::DateTime(index) => index.ordered(descending, from, OrderKey::DateTime),
            _ => Box::new(std::iter::empty()),
        }
    }

    fn memory_bytes(&self) -> usize {
        let rows: usize = [&self.filled, &self.null, &self.indexed, &self.foreign].iter().map(|rows| heap::bitmap(rows)).sum();
        rows + match &self.values {
            Values::Keyword(index) => index.memory_bytes(|text| heap::block(text.capacity())),
            Values::Integer(index) | Values::DateTime(index) => index.memory_bytes(),
            Values::Float(index) => index.memory_bytes(),
            Values::Bool(index) => index.memory_bytes(|_| 0),
            Values::Uuid(index) => index.memory_bytes(|_| 0),
            Values::Geo(index) => index.memory_bytes(),
            Values::Text(index) => index.memory_bytes(),
            Values::RankedText(index) => index.memory_bytes(),
        }
    }
}

/// All payload indexes of a segment.
#[derive(Debug)]
pub(crate) struct FieldIndexes {
    /// Text form of the schema, to tell whether saved indexes still fit.
    schema: String,
    fields: BTreeMap<PayloadPath, FieldIndex>,
}

impl FieldIndexes {
    /// Empty indexes for a schema.
    ///
    /// # Errors
    /// [`Error::InvalidPayload`] for a bad path, [`Error::InvalidConfig`] for settings that cannot be used.
    pub(crate) fn new(schema: &BTreeMap<String, FieldSchema>) -> Result<Self> {
        let field = |(key, schema): (&String, &FieldSchema)| Ok((PayloadPath::parse(key)?, FieldIndex::new(schema)?));
        Ok(Self { schema: text_of(schema)?, fields: schema.iter().map(field).collect::<Result<_>>()? })
    }

    /// Adds a row; rows come in ascending order, and one without payload need not come.
    pub(crate) fn add(&mut self, row: u32, payload: &Payload) {
        for (key, index) in &mut self.fields {
            path::visit(payload, key, &mut |value| index.add(row, value));
        }
    }

    pub(crate) fn field(&self, key: &PayloadPath) -> Option<&FieldIndex> {
        self.fields.get(key)
    }

    /// Rows with an indexed value in a field.
    pub(crate) fn points_with_values(&self, key: &PayloadPath) -> u64 {
        self.field(key).map_or(0, |index| index.indexed.len())
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        heap::tree::<PayloadPath, FieldIndex>(self.fields.len()) + self.fields.values().map(FieldIndex::memory_bytes).sum::<usize>()
    }

    /// The indexes as bytes.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] when they take more than a gigabyte.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let fields: Vec<(String, &FieldIndex)> = self.fields.iter().map(|(key, index)| (key.to_string(), index)).collect();
        codec::encode(&(&self.schema, fields))
    }

    /// Indexes out of bytes; an error when the bytes are damaged or belong to another schema.
    pub(crate) fn decode(bytes: &[u8], schema: &BTreeMap<String, FieldSchema>) -> Result<Self> {
        let (saved, fields): (String, Vec<(String, FieldIndex)>) = codec::decode(bytes, "indexes".as_ref(), 0)?;
        if saved != text_of(schema)? {
            return Err(Error::corrupt("indexes", 0, "payload indexes of another schema"));
        }
        let field = |(key, mut index): (String, FieldIndex)| {
            index.values.shrink();
            Ok((PayloadPath::parse(&key)?, index))
        };
        let fields = fields.into_iter().map(field).collect::<Result<_>>()?;
        Ok(Self { schema: saved, fields })
    }
}

fn text_of(schema: &BTreeMap<String, FieldSchema>) -> Result<String> {
    serde_json::to_string(&(WORD_RULES, schema)).map_err(|error| Error::Internal { what: error.to_string() })
}
