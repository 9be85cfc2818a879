//! The OpenAPI document of the REST API, put together from the table of operations.
//!
//! What an operation takes and answers is said in `described`, once for each; the schemas of bodies lie in `schemas.json`, one a
//! line, and describe what the functions of this room's neighbours read and write. That they do is checked from outside, by
//! questions made from the document and answers held against it.

mod described;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::reply::Reply;
use super::routes::{Operation, operations};
use crate::error::Result;
use described::{Answer, DESCRIBED, Described};

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// The document.
pub(super) fn openapi(call: &Call<'_>) -> Result<Reply> {
    let mut document = DOCUMENT.clone();
    document["info"]["title"] = json!(call.service.settings().title);
    document["info"]["version"] = json!(call.service.settings().version);
    Reply::bare(&document)
}

fn document() -> Value {
    let mut paths = Map::new();
    let described = |operation: &Operation| DESCRIBED.iter().find(|each| (each.method, each.path) == (operation.method, operation.path));
    for (operation, described) in operations().iter().filter_map(|operation| Some((operation, described(operation)?))) {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.to_lowercase()] = described_operation(operation, described);
    }
    // The file is a part of this program and is read in its tests.
    let schemas: Value = serde_json::from_str(include_str!("schemas.json")).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {"title": "", "version": "", "description": "Collections of points with vectors and payloads, and searches over them."},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
        "security": [{}, {"api-key": []}, {"bearer": []}],
    })
}

fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn described_operation(operation: &Operation, described: &Described) -> Value {
    let mut parameters: Vec<Value> = path_parameters(operation.path).collect();
    parameters.extend(described.query.iter().map(|name| query_parameter(name)));
    let mut responses = json!({"default": {
        "description": "It was refused, or failed.",
        "content": {"application/json": {"schema": schema("ErrorResponse")}, "text/plain": {"schema": {"type": "string"}}},
    }});
    responses["200"] = json!({"description": "It was done.", "content": described.answer.content()});
    if described.query.contains(&"wait_until_done") {
        let content = json!({"application/json": {"schema": schema("AcceptedResponse")}});
        responses["202"] = json!({"description": "It will be done.", "content": content});
    }
    let mut out = json!({
        "tags": [described.tag],
        "summary": described.summary,
        "operationId": operation_id(operation),
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(body) = described.body {
        let form = if operation.takes_file() { "multipart/form-data" } else { "application/json" };
        let may_be_left_out = ["CountPoints", "CreateBackup", "VerifyBackup", "RestoreBackup"].contains(&body);
        out["requestBody"] = json!({"required": !may_be_left_out, "content": {form: {"schema": schema(body)}}});
    }
    out
}

/// A name that no other operation has.
fn operation_id(operation: &Operation) -> String {
    let parts = operation.path.split('/').filter(|part| !part.is_empty()).map(|part| match part.strip_prefix('{') {
        Some(parameter) => format!("by_{}", parameter.trim_end_matches('}')),
        None => part.replace('.', "_"),
    });
    std::iter::once(operation.method.to_lowercase()).chain(parts).collect::<Vec<_>>().join("_")
}

fn path_parameters(path: &'static str) -> impl Iterator<Item = Value> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(|name| {
        let schema = match name {
            "shard_id" => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
            "peer_id" => json!({"type": "integer", "minimum": 0}),
            "id" => schema("PointId"),
            _ => json!({"type": "string", "minLength": 1}),
        };
        json!({"name": name, "in": "path", "required": true, "schema": schema})
    })
}

fn query_parameter(name: &str) -> Value {
    let boolean = json!({"type": "boolean"});
    let (name, schema, description) = match name {
        "wait" => ("wait", boolean, "whether the answer says `completed`; the write is durable in any case"),
        "wait_until_done" => ("wait", boolean, "false: the answer is that the work will be done"),
        "ordering" => ("ordering", json!({"enum": ["weak", "medium", "strong"]}), "order among writes; the strongest is kept in any case"),
        "consistency" => (
            "consistency",
            json!({"anyOf": [{"type": "integer", "minimum": 1}, {"enum": ["majority", "quorum", "all"]}]}),
            "anything but 1: certain to see every write acknowledged before; a number: with so many replicas in sync",
        ),
        "timeout" => ("timeout", json!({"type": "integer", "minimum": 1}), "seconds after which it is given up"),
        "priority" => ("priority", schema("SnapshotPriority"), "which copy wins where there are several"),
        "checksum" => ("checksum", json!({"type": "string"}), "SHA-256 of the file"),
        "anonymize" | "per_collection" | "undo" | "repair" => (name, boolean, ""),
        "details_level" => ("details_level", json!({"type": "integer", "minimum": 0}), "how much is told"),
        other => (other, json!({"type": "string"}), ""),
    };
    json!({"name": name, "in": "query", "required": false, "schema": schema, "description": description})
}

impl Answer {
    fn content(&self) -> Value {
        match self {
            Self::Result(name) => {
                let envelope = json!({
                    "type": "object",
                    "properties": {"result": schema(name), "status": {"const": "ok"}, "time": {"type": "number"}},
                    "required": ["result", "status", "time"],
                });
                json!({"application/json": {"schema": envelope}})
            }
            Self::Bare(name) => json!({"application/json": {"schema": schema(name)}}),
            Self::Any => json!({"application/json": {"schema": {"type": "object"}}}),
            Self::Text => json!({"text/plain": {"schema": {"type": "string"}}}),
            Self::File => json!({"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_described_once() {
        let mut operations: Vec<_> = operations().iter().map(|operation| (operation.method, operation.path)).collect();
        let mut described: Vec<_> = DESCRIBED.iter().map(|described| (described.method, described.path)).collect();
        operations.sort_unstable();
        described.sort_unstable();
        assert_eq!(operations, described);
    }

    #[test]
    fn every_schema_that_is_named_is_there_and_every_name_is_unique() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        assert!(schemas.len() > 100, "the file is read");
        let text = document.to_string();
        for name in text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(schemas.contains_key(name), "{name}");
        }
        for name in schemas.keys() {
            assert!(text.contains(&format!("\"#/components/schemas/{name}\"")), "{name} is used nowhere");
        }
        let ids: std::collections::BTreeSet<String> = operations().iter().map(operation_id).collect();
        assert_eq!(ids.len(), operations().len());
    }
}
