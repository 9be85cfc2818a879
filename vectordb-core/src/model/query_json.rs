//! Queries as JSON, in the form of the Qdrant API.

use serde_json::Map;

use super::filter::{Condition, Filter};
use super::formula::{DecayCurve, Expression, Formula};
use super::payload::{DateTime, GeoPoint, PayloadPath, Value};
use super::point::{PayloadSelector, PointId, VectorSelector};
use super::quantization::QuantizationParams;
use super::query::{Budget, OrderBy, OrderValue, SearchParams, Target};
use super::ranking::{
    ContextPair, FacetRequest, FeedbackItem, GroupLookup, GroupsRequest, LookupLocation, MAX_PREFETCH_DEPTH, MatrixRequest, Mmr,
    NaiveFeedback, Prefetch, Query, QueryRequest, RecommendStrategy, Rrf,
};
use super::text::{Bm25Params, Document, TextQuery, TextQueryScoring};
use super::vector::Vector;
use crate::error::{Error, Result};

/// Share of matches up to which `acorn` counts when it says nothing else.
const ACORN_SHARE: f64 = 0.4;
/// Deepest nesting of a formula.
const MAX_FORMULA_DEPTH: usize = 64;

impl QueryRequest {
    /// Reads the JSON form: `{"query": [0.1, 0.2], "limit": 3, "prefetch": [...]}`.
    ///
    /// ```
    /// use vectordb_core::QueryRequest;
    /// let json = serde_json::json!({"prefetch": [{"query": 7}, {"query": [0.1, 0.9]}], "query": {"fusion": "rrf"}, "limit": 3});
    /// assert_eq!(QueryRequest::from_json(&json)?.prefetch.len(), 2);
    /// # Ok::<(), vectordb_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidQuery`] with the path of the offending part, and those of filters.
    pub fn from_json(json: &Value) -> Result<Self> {
        let place = Place { path: String::new() };
        let map = place.object(json)?;
        let stage = place.prefetch(json, 0)?;
        Ok(Self {
            prefetch: stage.prefetch,
            query: stage.query,
            using: stage.using,
            filter: stage.filter,
            params: stage.params,
            score_threshold: stage.score_threshold,
            limit: stage.limit,
            lookup_from: stage.lookup_from,
            offset: place.member(map, "offset", Place::count)?.unwrap_or(0),
            with_payload: place.member(map, "with_payload", Place::payload_selector)?.unwrap_or(PayloadSelector::None),
            with_vectors: place.member(map, "with_vector", Place::vector_selector)?.unwrap_or_default(),
            ..Self::new(None)
        })
    }
}

impl GroupsRequest {
    /// Reads the JSON form: that of a query, with `group_by` and `group_size`; `limit` is the number of groups.
    ///
    /// # Errors
    /// As [`QueryRequest::from_json`].
    pub fn from_json(json: &Value) -> Result<Self> {
        let place = Place { path: String::new() };
        let map = place.object(json)?;
        Ok(Self {
            query: QueryRequest::from_json(json)?,
            group_by: place.needed(map, "group_by", Place::path)?,
            group_size: place.member(map, "group_size", Place::count)?.unwrap_or(3),
            with_lookup: place.member(map, "with_lookup", Place::group_lookup)?,
        })
    }
}

impl FacetRequest {
    /// Reads the JSON form: `{"key": "lang", "filter": {...}, "limit": 10, "exact": true}`.
    ///
    /// # Errors
    /// As [`QueryRequest::from_json`].
    pub fn from_json(json: &Value) -> Result<Self> {
        let place = Place { path: String::new() };
        let map = place.object(json)?;
        Ok(Self {
            key: place.needed(map, "key", Place::path)?,
            filter: place.member(map, "filter", |_, json| Filter::from_json(json))?,
            limit: place.member(map, "limit", Place::count)?.unwrap_or(10),
            exact: place.member(map, "exact", Place::flag)?.unwrap_or(false),
            budget: Budget::default(),
        })
    }
}

impl MatrixRequest {
    /// Reads the JSON form: `{"sample": 10, "limit": 3, "using": "image", "filter": {...}}`.
    ///
    /// # Errors
    /// As [`QueryRequest::from_json`].
    pub fn from_json(json: &Value) -> Result<Self> {
        let place = Place { path: String::new() };
        let map = place.object(json)?;
        Ok(Self {
            filter: place.member(map, "filter", |_, json| Filter::from_json(json))?,
            sample: place.member(map, "sample", Place::count)?.unwrap_or(10),
            limit: place.member(map, "limit", Place::count)?.unwrap_or(3),
            using: place.member(map, "using", Place::text)?.unwrap_or_default(),
            seed: None,
            budget: Budget::default(),
        })
    }
}

/// Where in the JSON we are, for messages.
#[derive(Clone)]
struct Place {
    path: String,
}

impl Place {
    fn at(&self, step: &str) -> Self {
        let dot = if self.path.is_empty() || step.starts_with('[') { "" } else { "." };
        Self { path: format!("{}{dot}{step}", self.path) }
    }

    fn fail<T>(&self, reason: impl std::fmt::Display) -> Result<T> {
        let position = if self.path.is_empty() { "the top" } else { &self.path };
        Err(Error::query(format!("{position}: {reason}")))
    }

    fn object<'a>(&self, json: &'a Value) -> Result<&'a Map<String, Value>> {
        json.as_object().map_or_else(|| self.fail("expected an object"), Ok)
    }

    /// A member that may be missing or null.
    fn member<T>(&self, map: &Map<String, Value>, name: &str, read: impl Fn(&Self, &Value) -> Result<T>) -> Result<Option<T>> {
        map.get(name).filter(|value| !value.is_null()).map(|value| read(&self.at(name), value)).transpose()
    }

    fn needed<T>(&self, map: &Map<String, Value>, name: &str, read: impl Fn(&Self, &Value) -> Result<T>) -> Result<T> {
        self.member(map, name, read)?.map_or_else(|| self.fail(format!("`{name}` is missing")), Ok)
    }

    /// A list, or one element without brackets.
    fn list<T>(&self, json: &Value, read: impl Fn(&Self, &Value) -> Result<T>) -> Result<Vec<T>> {
        match json {
            Value::Array(items) => items.iter().enumerate().map(|(n, item)| read(&self.at(&format!("[{n}]")), item)).collect(),
            one => Ok(vec![read(self, one)?]),
        }
    }

    fn count(&self, json: &Value) -> Result<usize> {
        json.as_u64().and_then(|count| usize::try_from(count).ok()).map_or_else(|| self.fail("expected a whole number"), Ok)
    }

    fn flag(&self, json: &Value) -> Result<bool> {
        json.as_bool().map_or_else(|| self.fail("expected true or false"), Ok)
    }

    fn number(&self, json: &Value) -> Result<f64> {
        json.as_f64().map_or_else(|| self.fail("expected a number"), Ok)
    }

    #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32; too large ones become infinite and are refused")]
    fn single(&self, json: &Value) -> Result<f32> {
        let number = self.number(json)? as f32;
        if number.is_finite() { Ok(number) } else { self.fail("the number does not fit into 32 bits") }
    }

    fn text(&self, json: &Value) -> Result<String> {
        json.as_str().map_or_else(|| self.fail("expected a string"), |text| Ok(text.to_owned()))
    }

    fn path(&self, json: &Value) -> Result<PayloadPath> {
        PayloadPath::parse(&self.text(json)?)
    }

    fn payload_selector(&self, json: &Value) -> Result<PayloadSelector> {
        let paths = |place: &Self, json: &Value| place.list(json, Self::text);
        match json {
            Value::Bool(all) => Ok(PayloadSelector::from(*all)),
            Value::Array(_) => Ok(PayloadSelector::Include(paths(self, json)?)),
            _ => {
                let map = self.object(json)?;
                match (self.member(map, "include", paths)?, self.member(map, "exclude", paths)?) {
                    (Some(include), None) => Ok(PayloadSelector::Include(include)),
                    (None, Some(exclude)) => Ok(PayloadSelector::Exclude(exclude)),
                    _ => self.fail("expected `include` or `exclude`"),
                }
            }
        }
    }

    fn vector_selector(&self, json: &Value) -> Result<VectorSelector> {
        match json {
            Value::Bool(all) => Ok(VectorSelector::from(*all)),
            _ => Ok(VectorSelector::Names(self.list(json, Self::text)?)),
        }
    }

    fn prefetch(&self, json: &Value, depth: usize) -> Result<Prefetch> {
        if depth > MAX_PREFETCH_DEPTH {
            return self.fail(format!("prefetches nested deeper than {MAX_PREFETCH_DEPTH} levels"));
        }
        let map = self.object(json)?;
        let inner = |place: &Self, json: &Value| place.list(json, |place, json| place.prefetch(json, depth + 1));
        Ok(Prefetch {
            prefetch: self.member(map, "prefetch", inner)?.unwrap_or_default(),
            query: self.member(map, "query", Self::query)?,
            using: self.member(map, "using", Self::text)?.unwrap_or_default(),
            filter: self.member(map, "filter", |_, json| Filter::from_json(json))?,
            params: self.member(map, "params", Self::params)?.unwrap_or_default(),
            score_threshold: self.member(map, "score_threshold", Self::single)?,
            limit: self.member(map, "limit", Self::count)?.unwrap_or(10),
            lookup_from: self.member(map, "lookup_from", Self::location)?,
        })
    }

    fn location(&self, json: &Value) -> Result<LookupLocation> {
        let map = self.object(json)?;
        Ok(LookupLocation {
            collection: self.needed(map, "collection", Self::text)?,
            vector: self.member(map, "vector", Self::text)?.unwrap_or_default(),
        })
    }

    fn group_lookup(&self, json: &Value) -> Result<GroupLookup> {
        if let Value::String(collection) = json {
            let collection = collection.clone();
            return Ok(GroupLookup { collection, with_payload: PayloadSelector::All, with_vectors: VectorSelector::None });
        }
        let map = self.object(json)?;
        Ok(GroupLookup {
            collection: self.needed(map, "collection", Self::text)?,
            with_payload: self.member(map, "with_payload", Self::payload_selector)?.unwrap_or(PayloadSelector::All),
            with_vectors: self.member(map, "with_vectors", Self::vector_selector)?.unwrap_or_default(),
        })
    }

    /// The largest share of matches for which a walk over matching points alone is wanted.
    fn acorn(&self, json: &Value) -> Result<Option<f64>> {
        let map = self.object(json)?;
        let most = self.member(map, "max_selectivity", Self::number)?.unwrap_or(ACORN_SHARE);
        Ok(self.member(map, "enable", Self::flag)?.unwrap_or(false).then_some(most))
    }

    fn params(&self, json: &Value) -> Result<SearchParams> {
        let map = self.object(json)?;
        let quantization = |place: &Self, json: &Value| {
            let map = place.object(json)?;
            Ok(QuantizationParams {
                ignore: place.member(map, "ignore", Self::flag)?.unwrap_or(false),
                rescore: place.member(map, "rescore", Self::flag)?,
                oversampling: place.member(map, "oversampling", Self::number)?,
            })
        };
        Ok(SearchParams {
            hnsw_ef: self.member(map, "hnsw_ef", Self::count)?,
            recall: self.member(map, "recall", Self::number)?,
            exact: self.member(map, "exact", Self::flag)?.unwrap_or(false),
            indexed_only: self.member(map, "indexed_only", Self::flag)?.unwrap_or(false),
            quantization: self.member(map, "quantization", quantization)?.unwrap_or_default(),
            idf_corpus: self.member(map, "idf", Self::corpus)?.flatten(),
            acorn: self.member(map, "acorn", Self::acorn)?.flatten(),
            strategy: None,
            corpus: None,
        })
    }

    fn corpus(&self, json: &Value) -> Result<Option<Filter>> {
        match json {
            Value::String(scope) if scope == "global" => Ok(None),
            Value::Object(map) => self.member(map, "corpus", |_, json| Filter::from_json(json)),
            _ => self.fail("expected \"global\" or a corpus"),
        }
    }

    fn target(&self, json: &Value) -> Result<Target> {
        match json {
            Value::Array(items) if items.first().is_none_or(Value::is_number) => {
                Ok(Target::Vector(Vector::Dense(self.list(json, Self::single)?)))
            }
            Value::Object(_) if Document::is_meant(json) => match Document::from_json(json) {
                Ok(document) => Ok(Target::Document(document)),
                Err(error @ Error::UnknownModel { .. }) => Err(error),
                Err(error) => self.fail(error),
            },
            Value::Array(_) | Value::Object(_) => match Vector::from_json(json) {
                Ok(vector) => Ok(Target::Vector(vector)),
                Err(error) => self.fail(error),
            },
            Value::Number(_) | Value::String(_) => {
                serde_json::from_value::<PointId>(json.clone()).map(Target::Id).or_else(|error| self.fail(error))
            }
            _ => self.fail("expected a vector or the id of a point"),
        }
    }

    fn query(&self, json: &Value) -> Result<Query> {
        let map = match json {
            Value::Object(map) if !(Document::is_meant(json) || map.contains_key("indices")) => map,
            _ => return Ok(Query::Nearest { target: self.target(json)?, mmr: None }),
        };
        let inside = |name: &str| Some((self.at(name), map.get(name).filter(|value| !value.is_null())?));
        if let Some((place, target)) = inside("nearest") {
            let target = place.target(target)?;
            return Ok(Query::Nearest { target, mmr: self.member(map, "mmr", Self::mmr)? });
        }
        if let Some((place, json)) = inside("recommend") {
            return place.recommend(json);
        }
        if let Some((place, json)) = inside("discover") {
            let map = place.object(json)?;
            let target = place.needed(map, "target", Self::target)?;
            return Ok(Query::Discover { target, context: place.member(map, "context", Self::pairs)?.unwrap_or_default() });
        }
        if let Some((place, json)) = inside("context") {
            return Ok(Query::Context(place.pairs(json)?));
        }
        if let Some((place, json)) = inside("relevance_feedback") {
            return place.feedback(json);
        }
        if let Some((place, json)) = inside("text") {
            return Ok(Query::Text(place.words(json)?));
        }
        if let Some((place, json)) = inside("order_by") {
            return Ok(Query::OrderBy(place.order(json)?));
        }
        if let Some((place, json)) = inside("fusion") {
            return match json.as_str() {
                Some("rrf") => Ok(Query::Rrf(Rrf::default())),
                Some("dbsf") => Ok(Query::Dbsf),
                _ => place.fail("expected `rrf` or `dbsf`"),
            };
        }
        if let Some((place, json)) = inside("rrf") {
            let map = place.object(json)?;
            let k = place.member(map, "k", Self::count)?;
            let k = k.map(|k| u32::try_from(k).or_else(|_| place.fail("`k` is too large"))).transpose()?;
            return Ok(Query::Rrf(Rrf { k, weights: place.member(map, "weights", |place, json| place.list(json, Self::single))? }));
        }
        if let Some((place, json)) = inside("formula") {
            let expression = place.expression(json, 0)?;
            let defaults = self.member(map, "defaults", |place, json| Ok(place.object(json)?.clone().into_iter().collect()))?;
            return Ok(Query::Formula(Formula { expression, defaults: defaults.unwrap_or_default() }));
        }
        match inside("sample") {
            Some((_, Value::String(kind))) if kind == "random" => Ok(Query::Sample { seed: None }),
            Some((place, _)) => place.fail("expected `random`"),
            None => self.fail("unknown kind of query"),
        }
    }

    fn mmr(&self, json: &Value) -> Result<Mmr> {
        let map = self.object(json)?;
        Ok(Mmr {
            diversity: self.member(map, "diversity", Self::single)?,
            candidates_limit: self.member(map, "candidates_limit", Self::count)?,
        })
    }

    fn recommend(&self, json: &Value) -> Result<Query> {
        let map = self.object(json)?;
        let examples = |place: &Self, json: &Value| match json {
            Value::Array(_) => place.list(json, Self::target),
            _ => place.fail("expected a list of examples"),
        };
        let strategy = match self.member(map, "strategy", Self::text)?.as_deref() {
            None | Some("average_vector") => RecommendStrategy::AverageVector,
            Some("best_score") => RecommendStrategy::BestScore,
            Some("sum_scores") => RecommendStrategy::SumScores,
            Some(other) => return self.at("strategy").fail(format!("unknown strategy `{other}`")),
        };
        Ok(Query::Recommend {
            positive: self.member(map, "positive", examples)?.unwrap_or_default(),
            negative: self.member(map, "negative", examples)?.unwrap_or_default(),
            strategy,
        })
    }

    fn pairs(&self, json: &Value) -> Result<Vec<ContextPair>> {
        self.list(json, |place, json| {
            let map = place.object(json)?;
            Ok(ContextPair {
                positive: place.needed(map, "positive", Self::target)?,
                negative: place.needed(map, "negative", Self::target)?,
            })
        })
    }

    fn feedback(&self, json: &Value) -> Result<Query> {
        let map = self.object(json)?;
        let item = |place: &Self, json: &Value| {
            let map = place.object(json)?;
            Ok(FeedbackItem { example: place.needed(map, "example", Self::target)?, score: place.needed(map, "score", Self::single)? })
        };
        let naive = |place: &Self, json: &Value| {
            let map = place.object(json)?;
            let weight = |name| place.needed(map, name, Self::single);
            Ok(NaiveFeedback { a: weight("a")?, b: weight("b")?, c: weight("c")? })
        };
        let strategy = |place: &Self, json: &Value| place.needed(place.object(json)?, "naive", naive);
        Ok(Query::RelevanceFeedback {
            target: self.needed(map, "target", Self::target)?,
            feedback: self.member(map, "feedback", |place, json| place.list(json, item))?.unwrap_or_default(),
            strategy: self.needed(map, "strategy", strategy)?,
        })
    }

    fn words(&self, json: &Value) -> Result<TextQuery> {
        if json.is_string() {
            return self.text(json).map(TextQuery::new);
        }
        let numbers = |place: &Self, json: &Value| {
            let map = place.known(json, &["k", "b"])?;
            Ok(Bm25Params { k: place.member(map, "k", Self::single)?, b: place.member(map, "b", Self::single)? })
        };
        let scoring = |place: &Self, json: &Value| place.needed(place.known(json, &["bm25"])?, "bm25", numbers).map(TextQueryScoring::Bm25);
        let map = self.known(json, &["query", "scoring"])?;
        Ok(TextQuery { query: self.needed(map, "query", Self::text)?, scoring: self.member(map, "scoring", scoring)?.unwrap_or_default() })
    }

    /// An object that has no other members than these.
    fn known<'a>(&self, json: &'a Value, names: &[&str]) -> Result<&'a Map<String, Value>> {
        let map = self.object(json)?;
        match map.keys().find(|name| !names.contains(&name.as_str())) {
            Some(odd) => self.fail(format!("unknown member `{odd}`")),
            None => Ok(map),
        }
    }

    fn order(&self, json: &Value) -> Result<OrderBy> {
        if json.is_string() {
            return Ok(OrderBy { key: self.path(json)?, descending: false, start_from: None });
        }
        let map = self.object(json)?;
        let descending = match self.member(map, "direction", Self::text)?.as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return self.at("direction").fail("expected `asc` or `desc`"),
        };
        let start = |place: &Self, json: &Value| match json {
            Value::Number(number) => match number.as_i64() {
                Some(integer) => Ok(OrderValue::Integer(integer)),
                None => place.number(json).map(OrderValue::Float),
            },
            _ => place.moment(json).map(OrderValue::DateTime),
        };
        Ok(OrderBy { key: self.needed(map, "key", Self::path)?, descending, start_from: self.member(map, "start_from", start)? })
    }

    fn moment(&self, json: &Value) -> Result<DateTime> {
        DateTime::parse(&self.text(json)?).map_or_else(|| self.fail("expected a date or a moment"), Ok)
    }

    fn expression(&self, json: &Value, depth: usize) -> Result<Expression> {
        if depth > MAX_FORMULA_DEPTH {
            return self.fail(format!("formulas nested deeper than {MAX_FORMULA_DEPTH} levels"));
        }
        let map = match json {
            Value::Number(_) => return self.number(json).map(Expression::Constant),
            Value::String(name) => return self.variable(name),
            _ => self.object(json)?,
        };
        let one = |place: &Self, json: &Value| place.expression(json, depth + 1);
        let boxed = |place: &Self, json: &Value| one(place, json).map(Box::new);
        let inside = |name: &str| Some((self.at(name), map.get(name)?));
        for (name, kind) in [
            ("sum", Expression::Sum as fn(Vec<Expression>) -> Expression),
            ("mult", Expression::Mult),
            ("max", Expression::Max),
            ("min", Expression::Min),
        ] {
            if let Some((place, json)) = inside(name) {
                let parts = place.list(json, one)?;
                let empty = parts.is_empty() && matches!(name, "max" | "min");
                return if empty { place.fail("needs at least one operand") } else { Ok(kind(parts)) };
            }
        }
        for (name, kind) in [
            ("neg", Expression::Neg as fn(Box<Expression>) -> Expression),
            ("abs", Expression::Abs),
            ("sqrt", Expression::Sqrt),
            ("exp", Expression::Exp),
            ("log10", Expression::Log10),
            ("ln", Expression::Ln),
            ("acosh", Expression::Acosh),
        ] {
            if let Some((place, json)) = inside(name) {
                return boxed(&place, json).map(kind);
            }
        }
        if let Some((place, json)) = inside("div") {
            let map = place.object(json)?;
            return Ok(Expression::Div {
                left: place.needed(map, "left", boxed)?,
                right: place.needed(map, "right", boxed)?,
                by_zero_default: place.member(map, "by_zero_default", Self::number)?,
            });
        }
        if let Some((place, json)) = inside("pow") {
            let map = place.object(json)?;
            return Ok(Expression::Pow { base: place.needed(map, "base", boxed)?, exponent: place.needed(map, "exponent", boxed)? });
        }
        self.leaf_or_decay(json, map, depth)
    }

    fn leaf_or_decay(&self, json: &Value, map: &Map<String, Value>, depth: usize) -> Result<Expression> {
        for (name, curve) in [("lin_decay", DecayCurve::Linear), ("exp_decay", DecayCurve::Exponential), ("gauss_decay", DecayCurve::Gauss)]
        {
            if let Some(decay) = self.member(map, name, |place, json| place.decay(json, curve, depth))? {
                return Ok(decay);
            }
        }
        if let Some(datetime) = self.member(map, "datetime", Self::moment)? {
            return Ok(Expression::Datetime(datetime));
        }
        if let Some(key) = self.member(map, "datetime_key", Self::path)? {
            return Ok(Expression::DatetimeKey(key));
        }
        if let Some(json) = map.get("geo_distance") {
            let place = self.at("geo_distance");
            let map = place.object(json)?;
            let origin = place.needed(map, "origin", |place, json| match (json["lon"].as_f64(), json["lat"].as_f64()) {
                (Some(lon), Some(lat)) => GeoPoint::new(lon, lat),
                _ => place.fail("expected {\"lon\": number, \"lat\": number}"),
            })?;
            return Ok(Expression::GeoDistance { origin, to: place.needed(map, "to", Self::path)? });
        }
        let filter = Filter::from_json(&serde_json::json!({ "must": [json] }))?;
        match filter.must.into_iter().next() {
            Some(condition) => Ok(Expression::Condition(Box::new(condition))),
            None => Ok(Expression::Condition(Box::new(Condition::Filter(Box::default())))),
        }
    }

    fn decay(&self, json: &Value, curve: DecayCurve, depth: usize) -> Result<Expression> {
        let map = self.object(json)?;
        let boxed = |place: &Self, json: &Value| place.expression(json, depth + 1).map(Box::new);
        let scale = self.member(map, "scale", Self::number)?.unwrap_or(1.0);
        let midpoint = self.member(map, "midpoint", Self::number)?.unwrap_or(0.5);
        if scale <= 0.0 {
            return self.at("scale").fail("must be greater than 0");
        }
        if midpoint <= 0.0 || midpoint >= 1.0 {
            return self.at("midpoint").fail("must lie between 0 and 1");
        }
        Ok(Expression::Decay { curve, x: self.needed(map, "x", boxed)?, target: self.member(map, "target", boxed)?, scale, midpoint })
    }

    fn variable(&self, name: &str) -> Result<Expression> {
        let Some(rest) = name.strip_prefix("$score") else { return PayloadPath::parse(name).map(Expression::Key) };
        if rest.is_empty() {
            return Ok(Expression::Score(0));
        }
        let number = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let digits = number.filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(at) => Ok(Expression::Score(at)),
            None => self.fail(format!("`{name}` is no score; expected `$score` or `$score[0]`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_query_is_read() {
        let pair = json!({"positive": 1, "negative": [0.0, 1.0]});
        for query in [
            json!(7),
            json!("0b8d3c0e-5a3c-4c69-8f0c-2b5a0f3f8c11"),
            json!([0.5, 0.5]),
            json!({"nearest": [0.5], "mmr": {"diversity": 0.3, "candidates_limit": 50}}),
            json!({"recommend": {"positive": [1, [0.1]], "negative": [2], "strategy": "best_score"}}),
            json!({"discover": {"target": 1, "context": pair.clone()}}),
            json!({"context": [pair.clone(), pair]}),
            json!({"relevance_feedback": {"target": 1, "feedback": [{"example": 2, "score": 0.5}], "strategy": {"naive": {"a": 1, "b": 1, "c": 1}}}}),
            json!({"order_by": "year"}),
            json!({"order_by": {"key": "at", "direction": "desc", "start_from": "2024-01-01"}}),
            json!({"fusion": "rrf"}),
            json!({"fusion": "dbsf"}),
            json!({"rrf": {"k": 60, "weights": [1, 2]}}),
            json!({"formula": {"sum": ["$score", {"mult": [2, {"key": "a", "match": {"value": 1}}]}]}, "defaults": {"$score": 1}}),
            json!({"sample": "random"}),
            json!({"indices": [1], "values": [0.5]}),
            json!({"text": "red fox"}),
            json!({"text": {"query": "red fox", "scoring": {"bm25": {"k": 1.5, "b": 0}}}}),
            json!({"text": "red fox", "model": "Qdrant/BM25", "options": {"language": "german"}}),
            json!({"nearest": {"text": "red fox", "model": "qdrant/bm25"}}),
        ] {
            let request = QueryRequest::from_json(&json!({"query": query.clone(), "prefetch": {"prefetch": [{"limit": 5}]}}));
            assert!(request.is_ok_and(|request| request.query.is_some() && request.prefetch[0].prefetch[0].limit == 5), "{query}");
        }
    }

    #[test]
    fn bad_queries_are_refused_with_their_place() {
        for (query, place) in [
            (json!({"query": {"farthest": 1}}), "query:"),
            (json!({"query": {"recommend": {"strategy": "worst"}}}), "query.recommend.strategy"),
            (json!({"query": {"formula": {"sum": [{"max": []}]}}}), "query.formula.sum[0].max"),
            (json!({"query": {"formula": "$score[x]"}}), "query.formula"),
            (json!({"query": {"formula": {"gauss_decay": {"x": 1, "midpoint": 2}}}}), "query.formula.gauss_decay.midpoint"),
            (json!({"prefetch": [{}, {"limit": -1}]}), "prefetch[1].limit"),
            (json!({"query": [1e300]}), "query[0]"),
            (json!({"query": {"text": 5}}), "query.text:"),
            (json!({"query": {"text": {"scoring": {}}}}), "query.text: `query` is missing"),
            (json!({"query": {"text": {"query": "a", "scoring": {"tfidf": {}}}}}), "query.text.scoring: unknown member `tfidf`"),
            (json!({"query": {"text": {"query": "a", "scoring": {"bm25": {"k": "x"}}}}}), "query.text.scoring.bm25.k"),
            (json!({"query": {"text": "a", "model": 3}}), "query:"),
            (json!({"query": {"nearest": {"text": 1, "model": "qdrant/bm25"}}}), "query.nearest:"),
            (json!({"query": {"image": "a", "model": "clip"}}), "`clip`"),
        ] {
            let error = QueryRequest::from_json(&query).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(place), "{query}: {error}");
        }
    }
}
