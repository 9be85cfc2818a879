//! What is searched for.

use serde_json::{Value, json};
use vectordb_core::QueryRequest;

use super::Bench;
use crate::cli::client::{Client, encoded};
use crate::cli::failure::Failure;
use crate::cli::npy;

/// Vectors that are taken from the collection where no queries are given.
const SAMPLE: u64 = 1000;

/// Vectors, and what else the searches for them say.
#[derive(Debug)]
pub(super) struct Questions {
    pub(super) vectors: Vec<Vec<f32>>,
    /// As bodies of requests.
    pub(super) bodies: Vec<Vec<u8>>,
    /// As the engine takes them.
    pub(super) requests: Vec<QueryRequest>,
}

impl Questions {
    /// One question for each vector of a file, or of the collection.
    pub(super) fn of(arguments: &Bench) -> Result<Self, Failure> {
        let parsed = |name: &str, text: &Option<String>| match text {
            Some(text) => serde_json::from_str(text).map_err(|error| Failure::new(format!("--{name}: {error}"))),
            None => Ok(Value::Null),
        };
        let (filter, params) = (parsed("filter", &arguments.filter)?, parsed("params", &arguments.params)?);
        let vectors = match &arguments.queries {
            Some(path) => {
                let mut table = npy::open(path)?;
                (0..table.rows).map(|_| table.vector()).collect::<Result<Vec<_>, Failure>>()?
            }
            None => sample(arguments, &arguments.server.client()?)?,
        };
        if vectors.is_empty() {
            return Err(Failure::new("there is nothing to search for"));
        }
        let (mut bodies, mut requests) = (Vec::new(), Vec::new());
        for vector in &vectors {
            let body = json!({
                "query": vector, "using": arguments.vector, "limit": arguments.limit, "filter": filter, "params": params,
            });
            bodies.push(body.to_string().into_bytes());
            requests.push(QueryRequest::from_json(&body)?);
        }
        Ok(Self { vectors, bodies, requests })
    }

    pub(super) fn len(&self) -> usize {
        self.vectors.len()
    }
}

fn sample(arguments: &Bench, client: &Client) -> Result<Vec<Vec<f32>>, Failure> {
    let selector = arguments.vector.as_ref().map_or(json!(true), |name| json!([name]));
    let path = format!("/collections/{}/points/scroll", encoded(&arguments.collection));
    let mut page: Value = client.call("POST", &path, &json!({"limit": SAMPLE, "with_payload": false, "with_vector": selector}))?;
    let points = page["points"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let vectors = points.into_iter().map(|mut point| match &arguments.vector {
        Some(name) => point["vector"][name].take(),
        None => point["vector"].take(),
    });
    // What has no dense vector is not searched for.
    Ok(vectors.filter_map(|vector| serde_json::from_value(vector).ok()).collect())
}
