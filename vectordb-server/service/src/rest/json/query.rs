//! Bodies of queries. Most ask for the points nearest to a dense vector, whose numbers are read straight from the text: a tree of
//! JSON values takes several times as long as all else that is done around a search.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Map;
use serde_json::value::RawValue;
use vectordb_core::{Query, QueryRequest, SearchTarget, Value, Vector};

use super::numbers::{after_space, list, misread, numbers};
use super::shard_keys;
use crate::error::Result;

/// The body of a query.
#[derive(Debug)]
pub(crate) struct QueryBody {
    /// The dense vector whose nearest points are asked for, if it is that kind of query.
    nearest: Option<Vec<f32>>,
    /// All else.
    pub(crate) rest: Value,
}

/// How far into a body the query is looked for by [`QueryBody::of`], and how much may stand behind its list.
const FIRST: usize = 256;
const MOST_BEHIND: usize = 4096;
const KEY: &[u8] = b"\"query\"";

impl QueryBody {
    /// A body whose query is a list of numbers and stands before all other lists and objects, without a look at each of its bytes by
    /// the reader of JSON. Nothing where that is not so, or not sure.
    pub(crate) fn of(body: &[u8]) -> Option<Self> {
        let key = body.get(..body.len().min(FIRST))?.windows(KEY.len()).position(|part| part == KEY)?;
        let (before, behind) = body.split_at(key);
        let colon = after_space(behind, KEY.len());
        let start = after_space(behind, colon + 1);
        let (values, length) = list(behind.get(start..)?)?;
        let after = &behind[start + length..];
        let is_key = matches!(before.trim_ascii_end().last(), Some(b'{' | b',')) && behind.get(colon) == Some(&b':');
        let plain = !before.iter().skip_while(|byte| **byte != b'{').skip(1).any(|byte| matches!(byte, b'{' | b'[' | b'\\'));
        if !is_key || !plain || after.len() > MOST_BEHIND || after.contains(&b'\\') || after.windows(KEY.len()).any(|part| part == KEY) {
            return None;
        }
        let mut rest: Map<String, Value> = serde_json::from_slice(&[before, KEY, b":null", after].concat()).ok()?;
        rest.remove("query").filter(Value::is_null)?;
        Some(Self { nearest: Some(values), rest: Value::Object(rest) })
    }

    /// What it asks for.
    ///
    /// # Errors
    /// As [`QueryRequest::from_json`].
    pub(crate) fn request(&mut self) -> Result<QueryRequest> {
        check_lookup(&self.rest)?;
        let mut request = QueryRequest::from_json(&self.rest)?;
        if let Some(values) = self.nearest.take() {
            request.query = Some(Query::Nearest { target: SearchTarget::Vector(Vector::Dense(values)), mmr: None });
        }
        Ok(request)
    }
}

/// Refuses a place of other vectors whose shard key is none; all shards of that collection are asked.
pub(crate) fn check_lookup(body: &Value) -> Result<()> {
    let key = body.get("lookup_from").and_then(|from| from.get("shard_key")).filter(|key| !key.is_null());
    key.map_or(Ok(()), |key| shard_keys(key, &|_| true).map(drop))
}

impl From<Value> for QueryBody {
    fn from(rest: Value) -> Self {
        Self { nearest: None, rest }
    }
}

impl<'de> Deserialize<'de> for QueryBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BodyVisitor;
        impl<'de> Visitor<'de> for BodyVisitor {
            type Value = QueryBody;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<QueryBody, A::Error> {
                let (mut nearest, mut rest) = (None, Map::new());
                while let Some(name) = map.next_key::<String>()? {
                    if name != "query" {
                        rest.insert(name, map.next_value()?);
                        continue;
                    }
                    // The last of several counts.
                    let raw = map.next_value::<&RawValue>()?;
                    let asked = numbers(raw).map(|values| Ok(Asked::Near(values)));
                    let asked = asked.unwrap_or_else(|| serde_json::from_str(raw.get()).map_err(|error| misread(&error)))?;
                    (nearest, rest) = match asked {
                        Asked::Near(values) => (Some(values), without(rest, &name)),
                        Asked::Else(json) => (None, with(rest, name, json)),
                    };
                }
                Ok(QueryBody { nearest, rest: Value::Object(rest) })
            }
        }
        deserializer.deserialize_map(BodyVisitor)
    }
}

fn with(mut map: Map<String, Value>, name: String, json: Value) -> Map<String, Value> {
    map.insert(name, json);
    map
}

fn without(mut map: Map<String, Value>, name: &str) -> Map<String, Value> {
    map.remove(name);
    map
}

/// What stands under `query`.
enum Asked {
    /// `[0.1, 0.2]`, or the same as all of `{"nearest": [0.1, 0.2]}`.
    Near(Vec<f32>),
    Else(Value),
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AskedVisitor::<true>)
    }
}

/// What stands under `nearest`; lists of numbers anywhere else may be ids.
struct Target(Asked);

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AskedVisitor::<false>).map(Self)
    }
}

/// Reads a query, or else a target, in which no other can stand.
struct AskedVisitor<const QUERY: bool>;

impl<'de, const QUERY: bool> Visitor<'de> for AskedVisitor<QUERY> {
    type Value = Asked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a query")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Asked, A::Error> {
        match seq.next_element::<Value>()? {
            Some(first) if !first.is_number() => {
                let mut list = vec![first];
                while let Some(next) = seq.next_element()? {
                    list.push(next);
                }
                Ok(Asked::Else(list.into()))
            }
            first => {
                #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32; infinite ones are refused")]
                let mut values: Vec<f32> = first.iter().filter_map(|first| Some(first.as_f64()? as f32)).collect();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                Ok(Asked::Near(values))
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Asked, A::Error> {
        let mut near = None;
        let mut rest = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if !(QUERY && name == "nearest") {
                rest.insert(name, map.next_value()?);
                continue;
            }
            // The last of several counts.
            (near, rest) = match map.next_value()? {
                Target(Asked::Near(values)) => (Some(values), without(rest, &name)),
                Target(Asked::Else(json)) => (None, with(rest, name, json)),
            };
        }
        Ok(match near {
            Some(values) if rest.is_empty() => Asked::Near(values),
            Some(values) => Asked::Else(with(rest, "nearest".to_owned(), values.into()).into()),
            None => Asked::Else(rest.into()),
        })
    }

    fn visit_str<E>(self, text: &str) -> Result<Asked, E> {
        Ok(Asked::Else(text.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Asked, E> {
        Ok(Asked::Else(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Asked, E> {
        Ok(Asked::Else(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Asked, E> {
        Ok(Asked::Else(number.into()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Asked, E> {
        Ok(Asked::Else(flag.into()))
    }

    fn visit_unit<E>(self) -> Result<Asked, E> {
        Ok(Asked::Else(Value::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_mean_what_their_trees_mean() {
        for text in [
            r#"{"query": [0.1, -2, 3e-1, 0.12345678901234567], "limit": 3, "filter": {"must": [{"has_id": [1]}]}, "with_payload": true}"#,
            r#"{"limit": 3, "query": {"nearest": [1, 2.5]}, "params": {"hnsw_ef": 7}, "score_threshold": 0.5}"#,
            r#"{"query": {"nearest": [1, 2.5], "mmr": {"diversity": 0.25}}}"#,
            r#"{"query": {"mmr": {"diversity": 0.25}, "nearest": [1, 2.5]}}"#,
            r#"{"query": {"nearest": 7}}"#,
            r#"{"query": {"nearest": [[1, 2], [3, 4]]}}"#,
            r#"{"query": [[1, 2], [3, 4]]}"#,
            r#"{"query": {"indices": [1, 2], "values": [0.5, 1]}}"#,
            r#"{"query": {"recommend": {"positive": [[1, 2], 4], "negative": [[0.5, 0]]}}}"#,
            r#"{"query": {"recommend": {"positive": [1, 2, 9007199254740993], "negative": [3]}}}"#,
            r#"{"query": {"discover": {"target": 9007199254740993, "context": [{"positive": 1, "negative": 2}]}}}"#,
            r#"{"query": {"nearest": {"indices": [1, 2], "values": [0.5, 1]}}}"#,
            r#"{"query": {"nearest": 7, "nearest": [1, 2]}}"#,
            r#"{"query": {"nearest": [1, 2], "nearest": 7}}"#,
            r#"{"query": {"text": "a", "model": "qdrant/bm25"}}"#,
            r#"{"query": "2a5b7a3e-7d3f-4a56-8f4f-5f4c7b1e9d11"}"#,
            r#"{"query": 7, "prefetch": {"query": [1, 2]}}"#,
            r#"{"query": null}"#,
            r#"{"query": 7, "query": [1, 2]}"#,
            r#"{"query": [1, 2], "query": 7}"#,
            r#"{"query": {"fusion": "rrf"}, "prefetch": [{"query": [1, 2]}, {"query": {"order_by": "n"}}]}"#,
            r#"{"query": {"formula": {"sum": ["$score", {"mult": [2, "n"]}]}, "defaults": {"n": 1}}, "prefetch": {"query": [1]}}"#,
            r#"{"query": {"context": [{"positive": 1, "negative": [2, 3]}]}}"#,
            "{}",
        ] {
            let tree: Value = serde_json::from_str(text).expect("JSON");
            let body: QueryBody = serde_json::from_str(text).expect("a body");
            let read = |mut body: QueryBody| format!("{:?}", body.request().expect("a query"));
            assert_eq!(read(body), read(tree.clone().into()), "{text}");
            if let Some(body) = QueryBody::of(text.as_bytes()) {
                assert_eq!(read(body), read(tree.into()), "{text}");
            }
        }
    }

    #[test]
    fn most_bodies_are_read_at_once_and_the_others_are_not() {
        for text in [
            r#"{"query": [0.1, -2], "limit": 3, "filter": {"must": [{"has_id": [1]}]}, "with_payload": ["a"]}"#,
            r#" { "limit" : 3, "using": "a", "query" : [1,2e1] , "params": {"hnsw_ef": 7}}"#,
            r#"{"query":[]}"#,
        ] {
            let mut body = QueryBody::of(text.as_bytes()).expect("read at once");
            let mut slowly: QueryBody = serde_json::from_str(text).expect("a body");
            assert_eq!(format!("{:?}", body.request().ok()), format!("{:?}", slowly.request().ok()), "{text}");
        }
        for text in [
            r#"{"query": [1, 2], "query": [3]}"#,
            r#"{"query": [1, 2], "query": null}"#,
            r#"{"query": [1, 2], "qu\u0065ry": null}"#,
            r#"{"qu\u0065ry": 7, "query": [1]}"#,
            r#"{"prefetch": {"query": [1, 2]}}"#,
            r#"{"prefetch": [{"limit": 1, "query": [1, 2]}]}"#,
            r#"{"using": "query", "query": [1, 2]}"#,
            r#"{"query": [[1, 2]]}"#,
            r#"{"query": {"nearest": [1, 2]}}"#,
            r#"{"query": [1, 2]"#,
            r#"{"query": [1, 2]} {}"#,
            r#"{"query" [1, 2]}"#,
            r#"{1, "query": [1, 2]}"#,
            r#"["query": [1, 2]]"#,
            "",
        ] {
            assert!(QueryBody::of(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for text in ["[]", "7", r#"{"query": [1, "a"]}"#, r#"{"query": [1, [2]]}"#, r#"{"query": [1, null]}"#, r#"{"query": [1"#] {
            assert!(serde_json::from_str::<QueryBody>(text).is_err(), "{text}");
        }
        for text in [
            r#"{"query": true}"#,
            r#"{"query": [true]}"#,
            r#"{"query": 0.5}"#,
            r#"{"query": -1}"#,
            r#"{"query": {"nearest": null}}"#,
            r#"{"query": {"nearest": {"nearest": [1]}}}"#,
        ] {
            let mut body: QueryBody = serde_json::from_str(text).expect("a body");
            assert!(body.request().is_err(), "{text}");
        }
    }
}
