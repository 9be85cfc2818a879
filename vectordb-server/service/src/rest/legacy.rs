//! The searches from before queries: each is a query in other words.

use serde_json::{Map, json};
use vectordb_core::{ScoredPoint, Value};

use super::call::Call;
use super::json::{ScoredOut, bad_form};
use super::queries::{grouped, hits, searches};
use super::reply::Reply;
use crate::error::Result;

/// Turns an older request into a query.
type Translate = fn(Map<String, Value>) -> Result<Value>;

/// What the older requests share.
fn shared(mut body: Map<String, Value>, query: Value, using: Option<Value>) -> Result<Value> {
    if let Some(top) = body.remove("top") {
        body.entry("limit").or_insert(top);
    }
    if !body.contains_key("limit") {
        return Err(bad_form("missing field `limit`"));
    }
    body.insert("query".to_owned(), query);
    if let Some(using) = using.filter(|using| !using.is_null()) {
        let name = using.get("name").cloned().unwrap_or(using);
        body.insert("using".to_owned(), name);
    }
    Ok(Value::Object(body))
}

fn search_query(mut body: Map<String, Value>) -> Result<Value> {
    let (vector, using) = match body.remove("vector") {
        Some(Value::Object(mut named)) if named.contains_key("name") => (named.remove("vector"), named.remove("name")),
        other => (other, None),
    };
    let vector = vector.ok_or_else(|| bad_form("missing field `vector`"))?;
    shared(body, json!({"nearest": vector}), using)
}

fn recommend_query(mut body: Map<String, Value>) -> Result<Value> {
    let mut recommend = Map::new();
    for name in ["positive", "negative", "strategy"] {
        if let Some(value) = body.remove(name) {
            recommend.insert(name.to_owned(), value);
        }
    }
    let using = body.remove("using");
    shared(body, json!({"recommend": recommend}), using)
}

fn discover_query(mut body: Map<String, Value>) -> Result<Value> {
    let using = body.remove("using");
    let (target, context) = (body.remove("target"), body.remove("context").unwrap_or_else(|| json!([])));
    let query = match target.filter(|target| !target.is_null()) {
        Some(target) => json!({"discover": {"target": target, "context": context}}),
        None => json!({"context": context}),
    };
    shared(body, query, using)
}

fn translated(body: &Value, translate: Translate) -> Result<Value> {
    match body {
        Value::Object(map) => translate(map.clone()),
        _ => Err(bad_form("expected an object")),
    }
}

fn one(call: &Call<'_>, translate: Translate) -> Result<Reply> {
    let hits = hits(call, translated(&call.json()?, translate)?.into())?;
    Reply::of(&scored(&hits))
}

fn scored(hits: &[ScoredPoint]) -> Vec<ScoredOut<'_>> {
    hits.iter().map(ScoredOut).collect()
}

fn batch(call: &Call<'_>, translate: Translate) -> Result<Reply> {
    let body = call.json()?;
    call.check_collection()?;
    let searches = searches(&body)?.iter().collect();
    let answers =
        call.service.search_batch(call.collection(), searches, call.access, |search| hits(call, translated(search, translate)?.into()))?;
    Reply::of(&answers.iter().map(|hits| scored(hits)).collect::<Vec<_>>())
}

pub(super) fn search(call: &Call<'_>) -> Result<Reply> {
    one(call, search_query)
}

pub(super) fn search_batch(call: &Call<'_>) -> Result<Reply> {
    batch(call, search_query)
}

pub(super) fn search_groups(call: &Call<'_>) -> Result<Reply> {
    grouped(call, &translated(&call.json()?, search_query)?)
}

pub(super) fn recommend(call: &Call<'_>) -> Result<Reply> {
    one(call, recommend_query)
}

pub(super) fn recommend_batch(call: &Call<'_>) -> Result<Reply> {
    batch(call, recommend_query)
}

pub(super) fn recommend_groups(call: &Call<'_>) -> Result<Reply> {
    grouped(call, &translated(&call.json()?, recommend_query)?)
}

pub(super) fn discover(call: &Call<'_>) -> Result<Reply> {
    one(call, discover_query)
}

pub(super) fn discover_batch(call: &Call<'_>) -> Result<Reply> {
    batch(call, discover_query)
}
