//! Conditions: how many, how large, and whether an index finds what they ask for.

use std::collections::BTreeMap;

use uuid::Uuid;
use vectordb_core::{Condition, FieldSchema, FieldTest, Filter, MatchSet, MatchValue, PayloadPath};

use super::{StrictMode, refused};
use crate::error::Result;

/// Payload indexes by field.
pub(crate) type Schema = BTreeMap<String, FieldSchema>;

/// Visits each condition with the path that its own paths start at; what only holds others is visited as well.
fn each<'f>(
    conditions: impl IntoIterator<Item = &'f Condition>,
    scope: Option<&PayloadPath>,
    visit: &mut dyn FnMut(&'f Condition, Option<&PayloadPath>) -> Result<()>,
) -> Result<()> {
    for condition in conditions {
        visit(condition, scope)?;
        match condition {
            Condition::Nested { key, filter } => {
                let element = joined(scope, &key.each());
                each(clauses(filter), Some(&element), visit)?;
            }
            Condition::Filter(filter) => each(clauses(filter), scope, visit)?,
            _ => {}
        }
    }
    Ok(())
}

fn clauses(filter: &Filter) -> impl Iterator<Item = &Condition> {
    let counted = filter.min_should.iter().flat_map(|min| &min.conditions);
    filter.must.iter().chain(&filter.should).chain(&filter.must_not).chain(counted)
}

fn joined(scope: Option<&PayloadPath>, path: &PayloadPath) -> PayloadPath {
    scope.map_or_else(|| path.clone(), |scope| scope.join(path))
}

impl StrictMode {
    /// Holds a filter against the limits; `indexed` says that every field needs an index.
    ///
    /// # Errors
    /// [`Fault::BadRequest`](crate::Fault::BadRequest) naming the field or the limit.
    pub(super) fn check_filter(&self, filter: &Filter, indexed: bool, schema: &Schema) -> Result<()> {
        self.check_conditions(clauses(filter), indexed, schema)
    }

    /// Holds conditions against the limits, as [`check_filter`](Self::check_filter) does.
    pub(super) fn check_conditions<'f>(
        &self,
        conditions: impl IntoIterator<Item = &'f Condition>,
        indexed: bool,
        schema: &Schema,
    ) -> Result<()> {
        let mut count = 0_u64;
        each(conditions, None, &mut |condition, scope| {
            // What only holds other conditions is none itself.
            count += u64::from(!matches!(condition, Condition::Filter(_)));
            if let Some(limit) = self.condition_max_size.filter(|&limit| size(condition) > limit) {
                let what = format!("Condition size limit reached ({} > {limit})", size(condition));
                return Err(refused(what, "Use fewer values in the condition"));
            }
            if indexed { check_index(condition, scope, schema) } else { Ok(()) }
        })?;
        match self.filter_max_conditions.filter(|&limit| count > limit) {
            Some(limit) => {
                Err(refused(format!("Filter condition limit reached ({count} > {limit})"), "Use fewer conditions in the filter"))
            }
            None => Ok(()),
        }
    }
}

/// How many values a condition lists.
fn size(condition: &Condition) -> u64 {
    let count = match condition {
        Condition::HasId(ids) => ids.len(),
        Condition::Field { test: FieldTest::Any(set) | FieldTest::Except(set), .. } => match set {
            MatchSet::Keywords(words) => words.len(),
            MatchSet::Integers(numbers) => numbers.len(),
        },
        Condition::Field { test: FieldTest::GeoPolygon { exterior, interiors }, .. } => {
            exterior.len() + interiors.iter().map(Vec::len).sum::<usize>()
        }
        _ => 0,
    };
    count as u64
}

/// Refuses a condition on a field that has no index for it.
fn check_index(condition: &Condition, scope: Option<&PayloadPath>, schema: &Schema) -> Result<()> {
    let (key, kinds): (_, &[&str]) = match condition {
        Condition::Field { key, test } => (key, kinds(test)),
        Condition::IsEmpty(key) | Condition::IsNull(key) => (key, &[]),
        _ => return Ok(()),
    };
    let field = joined(scope, key).to_string();
    let found = schema.get(&field);
    if found.is_some_and(|index| kinds.is_empty() || kinds.contains(&index.kind())) {
        return Ok(());
    }
    let types = if kinds.is_empty() { String::new() } else { format!(" of one of the following types: [{}]", kinds.join(", ")) };
    Err(refused(format!("Index required but not found for \"{field}\"{types}"), "Create an index for this key or use a different filter"))
}

/// The kinds of indexes that find what a test asks for; none are all.
fn kinds(test: &FieldTest) -> &'static [&'static str] {
    let is_uuid = |text: &String| Uuid::try_parse(text).is_ok();
    match test {
        FieldTest::Value(MatchValue::Keyword(text)) if is_uuid(text) => &["keyword", "uuid"],
        FieldTest::Any(MatchSet::Keywords(words)) | FieldTest::Except(MatchSet::Keywords(words)) if words.iter().all(is_uuid) => {
            &["keyword", "uuid"]
        }
        FieldTest::Value(MatchValue::Keyword(_)) | FieldTest::Any(MatchSet::Keywords(_)) | FieldTest::Except(MatchSet::Keywords(_)) => {
            &["keyword"]
        }
        FieldTest::Value(MatchValue::Integer(_)) | FieldTest::Any(MatchSet::Integers(_)) | FieldTest::Except(MatchSet::Integers(_)) => {
            &["integer"]
        }
        FieldTest::Value(MatchValue::Bool(_)) => &["bool"],
        FieldTest::Text(_) | FieldTest::TextAny(_) | FieldTest::Phrase(_) => &["text"],
        FieldTest::Prefix(_) => &["keyword"],
        FieldTest::Substring(_) => &["keyword", "text"],
        FieldTest::Range(_) => &["float", "integer"],
        FieldTest::DateTimeRange(_) => &["datetime"],
        FieldTest::GeoBoundingBox { .. } | FieldTest::GeoRadius { .. } | FieldTest::GeoPolygon { .. } => &["geo"],
        // An array's length is found by any index, and so is what comes to be later.
        _ => &[],
    }
}
