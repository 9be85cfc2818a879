//! Whether one row satisfies a filter. Every faster way must agree with this one.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashSet;
use uuid::Uuid;

use super::sip::sip24;
use crate::error::{Error, Result};
use crate::model::PointId;
use crate::model::config::FieldSchema;
use crate::model::filter::{Condition, FieldTest, Filter, MAX_FILTER_CONDITIONS, MAX_FILTER_DEPTH, MatchSet, MatchValue, Range};
use crate::model::payload::{DateTime, Payload, PayloadPath, Value};
use crate::payload::tokenizer::Tokenizer;
use crate::payload::{geo, path};

/// A row as filters see it. The payload is asked for last, since it may have to be read first.
pub(crate) trait RowView {
    fn id(&self) -> &PointId;
    fn payload(&self) -> &Payload;
    fn has_vector(&self, name: &str) -> bool;
}

/// A filter made ready: sets hashed, texts cut into words, conditions that need no payload in front.
#[derive(Debug)]
pub(crate) struct Checker {
    root: Clauses,
}

#[derive(Debug, Default)]
struct Clauses {
    must: Vec<Node>,
    should: Vec<Node>,
    must_not: Vec<Node>,
    min_should: Option<(Vec<Node>, usize)>,
}

#[derive(Debug)]
enum Node {
    HasId(FxHashSet<PointId>),
    HasVector(String),
    Slice { total: u64, index: u64 },
    Field { key: PayloadPath, test: Test },
    IsEmpty(PayloadPath),
    IsNull(PayloadPath),
    Nested { key: PayloadPath, clauses: Clauses },
    Filter(Clauses),
}

/// A test of a field's values, made ready.
#[derive(Debug)]
enum Test {
    Plain(FieldTest),
    Keywords {
        set: FxHashSet<String>,
        except: bool,
    },
    Integers {
        set: FxHashSet<i64>,
        except: bool,
    },
    /// UUIDs by value; texts that are none, by spelling.
    Uuids {
        set: FxHashSet<u128>,
        texts: FxHashSet<String>,
    },
    Words {
        tokenizer: Arc<Tokenizer>,
        words: Vec<String>,
        mode: WordMode,
    },
    Substrings(Vec<String>),
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WordMode {
    All,
    Any,
    Phrase,
}

impl Checker {
    /// # Errors
    /// [`Error::LimitExceeded`] for filters too deep or too large, [`Error::InvalidFilter`] for impossible slices.
    pub(crate) fn new(filter: &Filter, schema: &BTreeMap<String, FieldSchema>) -> Result<Self> {
        let mut compiler = Compiler { schema, conditions: 0 };
        Ok(Self { root: compiler.clauses(filter, None, 0)? })
    }

    pub(crate) fn matches(&self, row: &dyn RowView) -> bool {
        self.root.hold(row, None)
    }
}

struct Compiler<'a> {
    schema: &'a BTreeMap<String, FieldSchema>,
    conditions: usize,
}

impl Compiler<'_> {
    /// `scope` is the path of the array element that nested paths start at.
    fn clauses(&mut self, filter: &Filter, scope: Option<&PayloadPath>, depth: usize) -> Result<Clauses> {
        if depth >= MAX_FILTER_DEPTH {
            return Err(Error::LimitExceeded { what: "filter depth", actual: depth as u64 + 1, limit: MAX_FILTER_DEPTH as u64 });
        }
        let mut list = |conditions: &[Condition]| -> Result<Vec<Node>> {
            self.conditions += conditions.len();
            if self.conditions > MAX_FILTER_CONDITIONS {
                let limit = MAX_FILTER_CONDITIONS as u64;
                return Err(Error::LimitExceeded { what: "conditions of a filter", actual: self.conditions as u64, limit });
            }
            let mut nodes = conditions.iter().map(|condition| self.node(condition, scope, depth)).collect::<Result<Vec<_>>>()?;
            nodes.sort_by_key(Node::cost);
            Ok(nodes)
        };
        Ok(Clauses {
            must: list(&filter.must)?,
            should: list(&filter.should)?,
            must_not: list(&filter.must_not)?,
            min_should: filter.min_should.as_ref().map(|min| Ok::<_, Error>((list(&min.conditions)?, min.min_count))).transpose()?,
        })
    }

    fn node(&mut self, condition: &Condition, scope: Option<&PayloadPath>, depth: usize) -> Result<Node> {
        Ok(match condition {
            Condition::Field { key, test } => {
                let full = scope.map_or_else(|| key.clone(), |scope| scope.join(key));
                Node::Field { key: key.clone(), test: self.test(test, &full)? }
            }
            Condition::IsEmpty(key) => Node::IsEmpty(key.clone()),
            Condition::IsNull(key) => Node::IsNull(key.clone()),
            Condition::HasId(ids) => Node::HasId(ids.iter().cloned().collect()),
            Condition::HasVector(name) => Node::HasVector(name.clone()),
            Condition::Nested { key, filter } => {
                let key = key.each();
                let full = scope.map_or_else(|| key.clone(), |scope| scope.join(&key));
                Node::Nested { clauses: self.clauses(filter, Some(&full), depth + 1)?, key }
            }
            Condition::Filter(filter) => Node::Filter(self.clauses(filter, scope, depth + 1)?),
            Condition::Slice { total, index } if index < total => Node::Slice { total: *total, index: *index },
            Condition::Slice { total, index } => {
                return Err(Error::filter("slice", format!("there is no part {index} of {total}")));
            }
        })
    }

    fn test(&self, test: &FieldTest, key: &PayloadPath) -> Result<Test> {
        let schema = self.schema.get(&key.to_string());
        let is_uuid = matches!(schema, Some(FieldSchema::Uuid(_)));
        Ok(match test {
            FieldTest::Value(MatchValue::Keyword(text)) if is_uuid => uuids(std::slice::from_ref(text)),
            FieldTest::Any(MatchSet::Keywords(set)) if is_uuid => uuids(set),
            FieldTest::Any(MatchSet::Keywords(set)) => Test::Keywords { set: set.iter().cloned().collect(), except: false },
            FieldTest::Any(MatchSet::Integers(set)) => Test::Integers { set: set.iter().copied().collect(), except: false },
            FieldTest::Except(MatchSet::Keywords(set)) => Test::Keywords { set: set.iter().cloned().collect(), except: true },
            FieldTest::Except(MatchSet::Integers(set)) => Test::Integers { set: set.iter().copied().collect(), except: true },
            FieldTest::Text(text) => words(schema, text, WordMode::All)?,
            FieldTest::TextAny(text) => words(schema, text, WordMode::Any)?,
            FieldTest::Phrase(text) => words(schema, text, WordMode::Phrase)?,
            test => Test::Plain(test.clone()),
        })
    }
}

fn uuids(texts: &[String]) -> Test {
    let (mut set, mut others) = (FxHashSet::default(), FxHashSet::default());
    for text in texts {
        match Uuid::try_parse(text) {
            Ok(uuid) => drop(set.insert(uuid.as_u128())),
            Err(_) => drop(others.insert(text.clone())),
        }
    }
    Test::Uuids { set, texts: others }
}

/// With a text index a text is a set of words; without one it is looked for as it stands.
fn words(schema: Option<&FieldSchema>, text: &str, mode: WordMode) -> Result<Test> {
    if let Some(FieldSchema::Text(params)) = schema {
        let tokenizer = Tokenizer::new(params)?;
        let words = tokenizer.query_words(text);
        return Ok(if words.is_empty() { Test::Nothing } else { Test::Words { tokenizer: Arc::new(tokenizer), words, mode } });
    }
    Ok(match mode {
        WordMode::All | WordMode::Phrase => Test::Substrings(vec![text.to_owned()]),
        WordMode::Any => Test::Substrings(text.split_whitespace().map(str::to_owned).collect()),
    })
}

impl Node {
    /// Conditions are tried in this order: those that need no payload first.
    fn cost(&self) -> u8 {
        match self {
            Self::HasId(_) | Self::HasVector(_) | Self::Slice { .. } => 0,
            Self::Field { .. } | Self::IsEmpty(_) | Self::IsNull(_) => 1,
            Self::Nested { .. } | Self::Filter(_) => 2,
        }
    }

    fn holds(&self, row: &dyn RowView, element: Option<&Value>) -> bool {
        match self {
            Self::HasId(ids) => ids.contains(row.id()),
            Self::HasVector(name) => row.has_vector(name),
            Self::Slice { total, index } => slice_of(row.id(), *total) == *index,
            Self::Field { key, test } => {
                let mut found = false;
                let mut words = Vec::new();
                visit(row, element, key, &mut |value| found = found || test.holds(value, &mut words));
                found || test.holds_words(&words)
            }
            Self::IsEmpty(key) => {
                let mut empty = true;
                visit(row, element, key, &mut |value| path::each(value, &mut |value| empty &= value.is_null()));
                empty
            }
            Self::IsNull(key) => {
                let mut null = false;
                visit(row, element, key, &mut |value| path::each(value, &mut |value| null |= value.is_null()));
                null
            }
            Self::Nested { key, clauses } => {
                let mut found = false;
                visit(row, element, key, &mut |value| found = found || clauses.hold(row, Some(value)));
                found
            }
            Self::Filter(clauses) => clauses.hold(row, element),
        }
    }
}

/// Values of a path that starts at the payload, or at an element of an array in it.
fn visit(row: &dyn RowView, element: Option<&Value>, key: &PayloadPath, found: &mut dyn FnMut(&Value)) {
    match element {
        None => path::visit(row.payload(), key, &mut |value| found(value)),
        Some(element) => path::descend(element, key.steps(), &mut |value| found(value)),
    }
}

impl Clauses {
    fn hold(&self, row: &dyn RowView, element: Option<&Value>) -> bool {
        let holds = |node: &Node| node.holds(row, element);
        let enough = |(nodes, least): &(Vec<Node>, usize)| nodes.iter().filter(|node| holds(node)).take(*least).count() >= *least;
        self.must.iter().all(holds)
            && !self.must_not.iter().any(holds)
            && (self.should.is_empty() || self.should.iter().any(holds))
            && self.min_should.as_ref().is_none_or(enough)
    }
}

impl Test {
    /// Whether a value, or an element of an array, satisfies the test. Words are only gathered, since those of all values
    /// count together.
    fn holds(&self, value: &Value, words: &mut Vec<String>) -> bool {
        if let Self::Plain(FieldTest::ValuesCount(range)) = self {
            return counts(value, range);
        }
        let mut found = false;
        path::each(value, &mut |value| found = found || self.holds_one(value, words));
        found
    }

    fn holds_one(&self, value: &Value, words: &mut Vec<String>) -> bool {
        match (self, value) {
            (Self::Plain(test), value) => plain(test, value),
            (_, Value::Null) | (Self::Nothing, _) => false,
            (Self::Keywords { set, except }, Value::String(text)) => set.contains(text) != *except,
            (Self::Integers { set, except }, Value::Number(number)) => {
                number.as_i64().is_some_and(|number| set.contains(&number)) != *except
            }
            // A value of another kind is in no list.
            (Self::Keywords { except, .. } | Self::Integers { except, .. }, _) => *except,
            (Self::Uuids { set, texts }, Value::String(text)) => match Uuid::try_parse(text) {
                Ok(uuid) => set.contains(&uuid.as_u128()),
                Err(_) => texts.contains(text),
            },
            (Self::Substrings(parts), Value::String(text)) => parts.iter().any(|part| text.contains(part)),
            (Self::Words { tokenizer, words: phrase, mode: WordMode::Phrase }, Value::String(text)) => {
                let words = tokenizer.document_words(text);
                words.windows(phrase.len()).any(|window| window == phrase)
            }
            (Self::Words { tokenizer, .. }, Value::String(text)) => {
                tokenizer.document(text, &mut |word| words.push(word.to_owned()));
                false
            }
            _ => false,
        }
    }

    fn holds_words(&self, found: &[String]) -> bool {
        match self {
            Self::Words { words, mode: WordMode::All, .. } => words.iter().all(|word| found.contains(word)),
            Self::Words { words, mode: WordMode::Any, .. } => words.iter().any(|word| found.contains(word)),
            _ => false,
        }
    }
}

fn plain(test: &FieldTest, value: &Value) -> bool {
    match (test, value) {
        (FieldTest::Value(MatchValue::Keyword(wanted)), Value::String(text)) => text == wanted,
        (FieldTest::Value(MatchValue::Integer(wanted)), Value::Number(number)) => number.as_i64() == Some(*wanted),
        (FieldTest::Value(MatchValue::Bool(wanted)), Value::Bool(flag)) => flag == wanted,
        (FieldTest::Prefix(prefix), Value::String(text)) => text.starts_with(prefix.as_str()),
        (FieldTest::Substring(part), Value::String(text)) => text.contains(part.as_str()),
        (FieldTest::Range(range), Value::Number(number)) => number.as_f64().is_some_and(|number| range.contains(&number)),
        (FieldTest::DateTimeRange(range), Value::String(text)) => DateTime::parse(text).is_some_and(|moment| range.contains(&moment)),
        (FieldTest::GeoBoundingBox { .. } | FieldTest::GeoRadius { .. } | FieldTest::GeoPolygon { .. }, value) => {
            geo::place(value).is_some_and(|place| geo::matches(test, place))
        }
        _ => false,
    }
}

fn counts(value: &Value, range: &Range<u64>) -> bool {
    range.contains(&match value {
        Value::Array(items) => items.len() as u64,
        Value::Null => 0,
        _ => 1,
    })
}

/// The part of `total` that an id falls into.
fn slice_of(id: &PointId, total: u64) -> u64 {
    let hash = match id {
        PointId::Num(number) => sip24(&number.to_le_bytes()),
        PointId::Uuid(uuid) => sip24(uuid.as_bytes()),
        PointId::Str(text) => sip24(text.as_bytes()),
    };
    hash % total
}

/// A point by itself, outside of any collection.
struct FreeRow<'a> {
    id: &'a PointId,
    payload: &'a Payload,
    vectors: &'a [&'a str],
}

impl RowView for FreeRow<'_> {
    fn id(&self) -> &PointId {
        self.id
    }

    fn payload(&self) -> &Payload {
        self.payload
    }

    fn has_vector(&self, name: &str) -> bool {
        self.vectors.contains(&name)
    }
}

impl Filter {
    /// Whether a point satisfies the filter. `vectors` names the vectors it has; `schema` tells which fields have a text or a
    /// UUID index, since matching follows them.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] for filters too deep or too large, [`Error::InvalidFilter`].
    pub fn matches(&self, id: &PointId, payload: &Payload, vectors: &[&str], schema: &BTreeMap<String, FieldSchema>) -> Result<bool> {
        Ok(Checker::new(self, schema)?.matches(&FreeRow { id, payload, vectors }))
    }
}
