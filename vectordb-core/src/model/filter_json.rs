//! Filters as JSON, in the form of the Qdrant API.

use serde_json::{Map, Number, json};

use super::filter::{Condition, FieldTest, Filter, MAX_FILTER_DEPTH, MatchSet, MatchValue, MinShould, Range};
use super::payload::{DateTime, GeoPoint, PayloadPath, Value};
use super::point::PointId;
use crate::error::{Error, Result};

impl Filter {
    /// Reads the JSON form: `{"must": [{"key": "lang", "match": {"value": "en"}}]}`. A clause is a list or one condition.
    ///
    /// ```
    /// use vectordb_core::{Filter, field};
    /// let json = serde_json::json!({"must": {"key": "year", "range": {"gte": 2020}}, "must_not": [{"is_empty": {"key": "lang"}}]});
    /// let filter = Filter::from_json(&json)?;
    /// assert_eq!(Filter::from_json(&filter.to_json())?, filter);
    /// # Ok::<(), vectordb_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidFilter`] whose position is the path of the offending part.
    pub fn from_json(json: &Value) -> Result<Self> {
        Place { path: String::new(), depth: 0 }.filter(json)
    }

    /// The JSON form, which [`Filter::from_json`] reads back.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        for (name, conditions) in [("must", &self.must), ("should", &self.should), ("must_not", &self.must_not)] {
            if !conditions.is_empty() {
                map.insert(name.into(), conditions.iter().map(condition_to_json).collect());
            }
        }
        if let Some(min) = &self.min_should {
            let conditions: Value = min.conditions.iter().map(condition_to_json).collect();
            map.insert("min_should".into(), json!({"conditions": conditions, "min_count": min.min_count}));
        }
        Value::Object(map)
    }
}

impl TryFrom<Value> for Filter {
    type Error = Error;

    fn try_from(json: Value) -> Result<Self> {
        Self::from_json(&json)
    }
}

/// Where in the JSON we are, for messages.
#[derive(Clone)]
struct Place {
    path: String,
    depth: usize,
}

impl Place {
    fn at(&self, step: &str) -> Self {
        let dot = if self.path.is_empty() || step.starts_with('[') { "" } else { "." };
        Self { path: format!("{}{dot}{step}", self.path), depth: self.depth }
    }

    fn fail<T>(&self, reason: impl Into<String>) -> Result<T> {
        let position = if self.path.is_empty() { "the top" } else { &self.path };
        Err(Error::filter(position, reason))
    }

    fn object<'a>(&self, json: &'a Value) -> Result<&'a Map<String, Value>> {
        json.as_object().map_or_else(|| self.fail("expected an object"), Ok)
    }

    fn array<'a>(&self, json: &'a Value) -> Result<&'a Vec<Value>> {
        json.as_array().map_or_else(|| self.fail("expected a list"), Ok)
    }

    fn text(&self, json: &Value) -> Result<String> {
        json.as_str().map_or_else(|| self.fail("expected a string"), |text| Ok(text.to_owned()))
    }

    fn filter(&self, json: &Value) -> Result<Filter> {
        if self.depth >= MAX_FILTER_DEPTH {
            return self.fail(format!("nested deeper than {MAX_FILTER_DEPTH} levels"));
        }
        let mut filter = Filter::default();
        for (key, value) in self.object(json)? {
            let place = self.at(key);
            match key.as_str() {
                _ if value.is_null() => {}
                "must" => filter.must = place.conditions(value)?,
                "should" => filter.should = place.conditions(value)?,
                "must_not" => filter.must_not = place.conditions(value)?,
                "min_should" => filter.min_should = Some(place.min_should(value)?),
                _ => return place.fail("unknown clause; expected must, should, must_not or min_should"),
            }
        }
        Ok(filter)
    }

    fn conditions(&self, json: &Value) -> Result<Vec<Condition>> {
        match json {
            Value::Array(items) => items.iter().enumerate().map(|(n, item)| self.at(&format!("[{n}]")).condition(item)).collect(),
            one => Ok(vec![self.condition(one)?]),
        }
    }

    fn min_should(&self, json: &Value) -> Result<MinShould> {
        let map = self.object(json)?;
        self.only(map, &["conditions", "min_count"])?;
        let conditions =
            map.get("conditions").map_or_else(|| self.fail("`conditions` is missing"), |json| self.at("conditions").conditions(json))?;
        match map.get("min_count").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok()) {
            Some(min_count) => Ok(MinShould { conditions, min_count }),
            None => self.at("min_count").fail("expected a whole number"),
        }
    }

    fn only(&self, map: &Map<String, Value>, allowed: &[&str]) -> Result<()> {
        match map.keys().find(|key| !allowed.contains(&key.as_str())) {
            Some(key) => self.at(key).fail(format!("unknown key; expected {}", allowed.join(", "))),
            None => Ok(()),
        }
    }

    fn condition(&self, json: &Value) -> Result<Condition> {
        let map = self.object(json)?;
        if map.contains_key("key") {
            return self.field(map);
        }
        let single = |name: &str| map.get(name).filter(|_| map.len() == 1).map(|json| (self.at(name), json));
        if let Some((place, json)) = single("is_empty") {
            return Ok(Condition::IsEmpty(place.key(place.object(json)?)?));
        }
        if let Some((place, json)) = single("is_null") {
            return Ok(Condition::IsNull(place.key(place.object(json)?)?));
        }
        if let Some((place, json)) = single("has_id") {
            let id = |json: &Value| serde_json::from_value::<PointId>(json.clone()).or_else(|error| place.fail(error.to_string()));
            return Ok(Condition::HasId(place.array(json)?.iter().map(id).collect::<Result<_>>()?));
        }
        if let Some((place, json)) = single("has_vector") {
            return Ok(Condition::HasVector(place.text(json)?));
        }
        if let Some((place, json)) = single("nested") {
            let map = place.object(json)?;
            place.only(map, &["key", "filter"])?;
            let Some(filter) = map.get("filter") else { return place.fail("`filter` is missing") };
            let inner = Self { depth: self.depth + 1, ..place.at("filter") };
            return Ok(Condition::Nested { key: place.key(map)?, filter: Box::new(inner.filter(filter)?) });
        }
        if let Some((place, json)) = single("slice") {
            let map = place.object(json)?;
            place.only(map, &["total", "index"])?;
            let number = |name: &str| map.get(name).and_then(Value::as_u64);
            return match (number("total"), number("index")) {
                (Some(total), Some(index)) if index < total => Ok(Condition::Slice { total, index }),
                _ => place.fail("expected whole numbers `index` < `total`"),
            };
        }
        if let Some((place, json)) = single("filter") {
            return Ok(Condition::Filter(Box::new(Self { depth: self.depth + 1, ..place }.filter(json)?)));
        }
        Ok(Condition::Filter(Box::new(Self { depth: self.depth + 1, ..self.clone() }.filter(json)?)))
    }

    fn key(&self, map: &Map<String, Value>) -> Result<PayloadPath> {
        let Some(json) = map.get("key") else { return self.fail("`key` is missing") };
        let place = self.at("key");
        PayloadPath::parse(&place.text(json)?).or_else(|error| place.fail(error.to_string()))
    }

    fn field(&self, map: &Map<String, Value>) -> Result<Condition> {
        let key = self.key(map)?;
        let mut found = Vec::new();
        for (name, json) in map.iter().filter(|(name, json)| *name != "key" && !json.is_null()) {
            let place = self.at(name);
            found.push(match name.as_str() {
                "is_empty" => place.flag(json, Condition::IsEmpty(key.clone()))?,
                "is_null" => place.flag(json, Condition::IsNull(key.clone()))?,
                _ => Condition::Field { key: key.clone(), test: place.test(name, json)? },
            });
        }
        // Several tests of one field must all hold, though not by the same value.
        match (found.pop(), found.is_empty()) {
            (None, _) => self.fail("a field needs a test: match, range, values_count, geo_…, is_empty or is_null"),
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                found.push(last);
                Ok(Condition::Filter(Box::new(Filter::must(found))))
            }
        }
    }

    /// `true` is the condition, `false` its opposite.
    fn flag(&self, json: &Value, condition: Condition) -> Result<Condition> {
        match json.as_bool() {
            Some(true) => Ok(condition),
            Some(false) => Ok(Condition::Filter(Box::new(Filter::must_not([condition])))),
            None => self.fail("expected true or false"),
        }
    }

    fn test(&self, name: &str, json: &Value) -> Result<FieldTest> {
        match name {
            "match" => self.matching(json),
            "range" => self.range(json),
            "values_count" => Ok(FieldTest::ValuesCount(
                self.bounds(json, |place, json| json.as_u64().map_or_else(|| place.fail("expected a whole number"), Ok))?,
            )),
            "geo_bounding_box" => {
                let map = self.object(json)?;
                self.only(map, &["top_left", "bottom_right"])?;
                let corner =
                    |name| map.get(name).map_or_else(|| self.fail(format!("`{name}` is missing")), |json| self.at(name).place(json));
                Ok(FieldTest::GeoBoundingBox { top_left: corner("top_left")?, bottom_right: corner("bottom_right")? })
            }
            "geo_radius" => {
                let map = self.object(json)?;
                self.only(map, &["center", "radius"])?;
                let Some(center) = map.get("center") else { return self.fail("`center` is missing") };
                match map.get("radius").and_then(Value::as_f64).filter(|radius| *radius >= 0.0) {
                    Some(radius) => Ok(FieldTest::GeoRadius { center: self.at("center").place(center)?, radius }),
                    None => self.at("radius").fail("expected a number of metres that is not negative"),
                }
            }
            "geo_polygon" => {
                let map = self.object(json)?;
                self.only(map, &["exterior", "interiors"])?;
                let Some(exterior) = map.get("exterior") else { return self.fail("`exterior` is missing") };
                let place = self.at("interiors");
                let interiors = match map.get("interiors").filter(|json| !json.is_null()) {
                    Some(json) => place.array(json)?.iter().map(|ring| place.ring(ring)).collect::<Result<_>>()?,
                    None => Vec::new(),
                };
                Ok(FieldTest::GeoPolygon { exterior: self.at("exterior").ring(exterior)?, interiors })
            }
            _ => self
                .fail("unknown test; expected match, range, values_count, geo_bounding_box, geo_radius, geo_polygon, is_empty or is_null"),
        }
    }

    fn matching(&self, json: &Value) -> Result<FieldTest> {
        let map = self.object(json)?;
        let Some((name, value)) = map.iter().next().filter(|_| map.len() == 1) else {
            return self.fail("expected exactly one of value, any, except, text, text_any, phrase, prefix, substring");
        };
        let place = self.at(name);
        Ok(match name.as_str() {
            "value" => FieldTest::Value(match value {
                Value::String(text) => MatchValue::Keyword(text.clone()),
                Value::Bool(flag) => MatchValue::Bool(*flag),
                Value::Number(number) => match number.as_i64() {
                    Some(number) => MatchValue::Integer(number),
                    None => return place.fail("expected an integer; use a range for other numbers"),
                },
                _ => return place.fail("expected a string, an integer or a boolean"),
            }),
            "any" => FieldTest::Any(place.set(value)?),
            "except" => FieldTest::Except(place.set(value)?),
            "text" => FieldTest::Text(place.text(value)?),
            "text_any" => FieldTest::TextAny(place.text(value)?),
            "phrase" => FieldTest::Phrase(place.text(value)?),
            "prefix" => FieldTest::Prefix(place.text(value)?),
            "substring" => FieldTest::Substring(place.text(value)?),
            _ => return place.fail("unknown kind of match"),
        })
    }

    fn set(&self, json: &Value) -> Result<MatchSet> {
        let items = self.array(json)?;
        if let Some(integers) = items.iter().map(Value::as_i64).collect::<Option<Vec<_>>>()
            && !items.is_empty()
        {
            return Ok(MatchSet::Integers(integers));
        }
        match items.iter().map(|item| item.as_str().map(str::to_owned)).collect() {
            Some(keywords) => Ok(MatchSet::Keywords(keywords)),
            None => self.fail("expected a list of strings or a list of integers"),
        }
    }

    fn range(&self, json: &Value) -> Result<FieldTest> {
        let map = self.object(json)?;
        if map.values().any(Value::is_string) {
            let moment = |place: &Self, json: &Value| match DateTime::parse(&place.text(json)?) {
                Some(moment) => Ok(moment),
                None => place.fail("expected a moment like 2024-01-31T12:00:00Z"),
            };
            return Ok(FieldTest::DateTimeRange(self.bounds(json, moment)?));
        }
        let number = |place: &Self, json: &Value| json.as_f64().map_or_else(|| place.fail("expected a number"), Ok);
        Ok(FieldTest::Range(self.bounds(json, number)?))
    }

    fn bounds<T>(&self, json: &Value, read: impl Fn(&Self, &Value) -> Result<T>) -> Result<Range<T>> {
        let map = self.object(json)?;
        self.only(map, &["gt", "gte", "lt", "lte"])?;
        let bound = |name: &str| map.get(name).filter(|json| !json.is_null()).map(|json| read(&self.at(name), json)).transpose();
        Ok(Range { gt: bound("gt")?, gte: bound("gte")?, lt: bound("lt")?, lte: bound("lte")? })
    }

    fn place(&self, json: &Value) -> Result<GeoPoint> {
        let number = |name: &str| json.get(name).and_then(Value::as_f64);
        match (number("lon"), number("lat")) {
            (Some(lon), Some(lat)) => GeoPoint::new(lon, lat).or_else(|error| self.fail(error.to_string())),
            _ => self.fail("expected {\"lon\": number, \"lat\": number}"),
        }
    }

    fn ring(&self, json: &Value) -> Result<Vec<GeoPoint>> {
        let map = self.object(json)?;
        self.only(map, &["points"])?;
        let Some(points) = map.get("points") else { return self.fail("`points` is missing") };
        let ring: Vec<GeoPoint> = self.array(points)?.iter().map(|point| self.place(point)).collect::<Result<_>>()?;
        if ring.len() < 4 || ring.first() != ring.last() {
            return self.fail("a ring has at least four points, and its first is its last");
        }
        Ok(ring)
    }
}

fn condition_to_json(condition: &Condition) -> Value {
    match condition {
        Condition::Field { key, test } => {
            let (name, json) = test_to_json(test);
            json!({"key": key.to_string(), name: json})
        }
        Condition::IsEmpty(key) => json!({"is_empty": {"key": key.to_string()}}),
        Condition::IsNull(key) => json!({"is_null": {"key": key.to_string()}}),
        Condition::HasId(ids) => json!({"has_id": ids}),
        Condition::HasVector(name) => json!({"has_vector": name}),
        Condition::Nested { key, filter } => json!({"nested": {"key": key.to_string(), "filter": filter.to_json()}}),
        Condition::Filter(filter) => filter.to_json(),
        Condition::Slice { total, index } => json!({"slice": {"total": total, "index": index}}),
    }
}

fn test_to_json(test: &FieldTest) -> (&'static str, Value) {
    let set = |set: &MatchSet| match set {
        MatchSet::Keywords(texts) => json!(texts),
        MatchSet::Integers(numbers) => json!(numbers),
    };
    match test {
        FieldTest::Value(MatchValue::Keyword(text)) => ("match", json!({"value": text})),
        FieldTest::Value(MatchValue::Integer(number)) => ("match", json!({"value": number})),
        FieldTest::Value(MatchValue::Bool(flag)) => ("match", json!({"value": flag})),
        FieldTest::Any(values) => ("match", json!({"any": set(values)})),
        FieldTest::Except(values) => ("match", json!({"except": set(values)})),
        FieldTest::Text(text) => ("match", json!({"text": text})),
        FieldTest::TextAny(text) => ("match", json!({"text_any": text})),
        FieldTest::Phrase(text) => ("match", json!({"phrase": text})),
        FieldTest::Prefix(text) => ("match", json!({"prefix": text})),
        FieldTest::Substring(text) => ("match", json!({"substring": text})),
        FieldTest::Range(range) => ("range", bounds_to_json(range, |number| Number::from_f64(*number).map_or(Value::Null, Value::Number))),
        FieldTest::DateTimeRange(range) => ("range", bounds_to_json(range, |moment| moment.to_string().into())),
        FieldTest::ValuesCount(range) => ("values_count", bounds_to_json(range, |count| (*count).into())),
        FieldTest::GeoBoundingBox { top_left, bottom_right } => {
            ("geo_bounding_box", json!({"top_left": top_left, "bottom_right": bottom_right}))
        }
        FieldTest::GeoRadius { center, radius } => ("geo_radius", json!({"center": center, "radius": radius})),
        FieldTest::GeoPolygon { exterior, interiors } => {
            let holes: Vec<Value> = interiors.iter().map(|ring| json!({"points": ring})).collect();
            ("geo_polygon", json!({"exterior": {"points": exterior}, "interiors": holes}))
        }
    }
}

fn bounds_to_json<T>(range: &Range<T>, write: impl Fn(&T) -> Value) -> Value {
    let bounds = [("gt", &range.gt), ("gte", &range.gte), ("lt", &range.lt), ("lte", &range.lte)];
    bounds.into_iter().filter_map(|(name, bound)| Some((name.to_owned(), write(bound.as_ref()?)))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_reads_and_writes_back() {
        let ring =
            json!({"points": [{"lon": 0.0, "lat": 0.0}, {"lon": 0.0, "lat": 1.0}, {"lon": 1.0, "lat": 1.0}, {"lon": 0.0, "lat": 0.0}]});
        let conditions = json!([
            {"key": "a", "match": {"value": "x"}}, {"key": "a", "match": {"value": 3}}, {"key": "a", "match": {"value": true}},
            {"key": "a", "match": {"any": ["x"]}}, {"key": "a", "match": {"any": [1, 2]}}, {"key": "a", "match": {"except": ["x"]}},
            {"key": "a", "match": {"text": "x y"}}, {"key": "a", "match": {"text_any": "x y"}}, {"key": "a", "match": {"phrase": "x y"}},
            {"key": "a", "match": {"prefix": "x"}}, {"key": "a", "match": {"substring": "x"}},
            {"key": "a[].b", "range": {"gt": 1.0, "lte": 2.5}}, {"key": "a", "range": {"gte": "2024-01-01T00:00:00Z"}},
            {"key": "a", "values_count": {"lt": 3}}, {"key": "a", "geo_radius": {"center": {"lon": 1.0, "lat": 2.0}, "radius": 5.0}},
            {"key": "a", "geo_bounding_box": {"top_left": {"lon": 1.0, "lat": 2.0}, "bottom_right": {"lon": 2.0, "lat": 1.0}}},
            {"key": "a", "geo_polygon": {"exterior": ring, "interiors": [ring]}},
            {"is_empty": {"key": "a"}}, {"is_null": {"key": "a"}}, {"has_id": [1, "936da01f-9abd-4d9d-80c7-02af85c822a8"]},
            {"has_vector": "v"}, {"nested": {"key": "a", "filter": {"must": [{"key": "b", "match": {"value": 1}}]}}},
            {"slice": {"total": 4, "index": 1}}, {"should": [{"key": "a", "match": {"value": 1}}]}
        ]);
        let json = json!({"must": conditions, "min_should": {"conditions": conditions, "min_count": 2}});
        let filter = Filter::from_json(&json).expect("all of these are good");
        assert_eq!(filter.must.len(), 24);
        assert_eq!(filter.to_json(), json);
    }

    #[test]
    fn bad_filters_are_refused_with_their_place() {
        let cases = [
            (json!({"nope": []}), "nope"),
            (json!({"must": [{"key": "a"}]}), "must[0]"),
            (json!({"must": [{"key": "a", "match": {"value": 1.5}}]}), "must[0].match.value"),
            (json!({"must": [{"key": "a[", "match": {"value": 1}}]}), "must[0].key"),
            (json!({"should": {"key": "a", "range": {"gte": "soon"}}}), "should.range.gte"),
            (json!({"must": [{"key": "a", "match": {"any": [1, "x"]}}]}), "must[0].match.any"),
            (
                json!({"must": [{"key": "a", "geo_radius": {"center": {"lon": 500.0, "lat": 0.0}, "radius": 1}}]}),
                "must[0].geo_radius.center",
            ),
            (json!({"must": [{"has_id": [-1]}]}), "must[0].has_id"),
            (json!({"must": [{"slice": {"total": 2, "index": 2}}]}), "must[0].slice"),
            (json!([]), "the top"),
        ];
        for (json, place) in cases {
            match Filter::from_json(&json) {
                Err(Error::InvalidFilter { position, .. }) => assert_eq!(position, place, "{json}"),
                other => panic!("{json}: {other:?}"),
            }
        }
        let mut deep = json!({});
        for _ in 0..100 {
            deep = json!({"must": [deep]});
        }
        assert!(Filter::from_json(&deep).is_err());
    }
}
