//! The server over gRPC.

use std::collections::HashMap;
use std::time::Instant;

use tokio::runtime::Runtime;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use vectordb_core::{Condition, FieldTest, Filter, MatchSet, MatchValue, Range};

use super::questions::Questions;
use super::report::Took;
use super::upload::{Batch, Store};
use super::{Bench, Side};
use crate::cli::failure::Failure;
use crate::grpc::payload_out;
use crate::wire;
use crate::wire::points_client::PointsClient;

/// A connection on a runtime of its own, so that a client is one thread as it is over REST.
struct Connection {
    runtime: Runtime,
    client: PointsClient<Channel>,
    key: Option<MetadataValue<Ascii>>,
}

impl Connection {
    fn new(arguments: &Bench, uri: &str) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(format!("{uri} cannot be asked: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
        let mut endpoint = Endpoint::from_shared(uri.to_owned()).map_err(|error| failed(&error))?;
        if uri.starts_with("https://") {
            let mut encryption = ClientTlsConfig::new().with_enabled_roots();
            if let Some(path) = arguments.server.ca_cert() {
                let pem = std::fs::read(path).map_err(|error| Failure::file(path, &error))?;
                encryption = encryption.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint = endpoint.tls_config(encryption).map_err(|error| failed(&error))?;
        }
        let channel = runtime.block_on(endpoint.connect()).map_err(|error| failed(&error))?;
        let key = arguments.server.api_key().map(str::parse).transpose().map_err(|error| failed(&error))?;
        let client = PointsClient::new(channel).max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX);
        Ok(Self { runtime, client, key })
    }

    /// A message with the key.
    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(key) = &self.key {
            request.metadata_mut().insert("api-key", key.clone());
        }
        request
    }
}

/// A connection, and what is asked over it.
pub(super) struct Grpc<'q> {
    connection: Connection,
    vectors: &'q [Vec<f32>],
    /// Without a vector.
    question: wire::QueryPoints,
}

impl<'q> Grpc<'q> {
    pub(super) fn new(arguments: &Bench, uri: &str, questions: &'q Questions) -> Result<Self, Failure> {
        let request = questions.requests.first().ok_or_else(|| Failure::new("there is nothing to search for"))?;
        let params = &request.params;
        let question = wire::QueryPoints {
            collection_name: arguments.collection.clone(),
            using: arguments.vector.clone(),
            filter: request.filter.as_ref().map(filter).transpose()?,
            params: arguments.params.is_some().then(|| wire::SearchParams {
                hnsw_ef: params.hnsw_ef.map(|ef| ef as u64),
                exact: Some(params.exact),
                indexed_only: Some(params.indexed_only),
                ..wire::SearchParams::default()
            }),
            limit: Some(arguments.limit.into()),
            ..wire::QueryPoints::default()
        };
        Ok(Self { connection: Connection::new(arguments, uri)?, vectors: &questions.vectors, question })
    }
}

impl Side for Grpc<'_> {
    fn ask(&mut self, question: usize) -> Result<Took, Failure> {
        use wire::{query, vector_input};
        let dense = wire::DenseVector { data: self.vectors[question].clone() };
        let nearest = wire::VectorInput { variant: Some(vector_input::Variant::Dense(dense)) };
        let query = wire::Query { variant: Some(query::Variant::Nearest(nearest)) };
        let request = self.connection.request(wire::QueryPoints { query: Some(query), ..self.question.clone() });
        let Connection { runtime, client, .. } = &mut self.connection;
        let started = Instant::now();
        let answer = runtime.block_on(client.query(request)).map_err(|status| Failure::new(status.message()))?;
        Ok(Took { secs: started.elapsed().as_secs_f64(), own_secs: answer.into_inner().time })
    }
}

/// A connection over which points are stored.
pub(super) struct GrpcStore {
    connection: Connection,
    collection: String,
}

impl GrpcStore {
    pub(super) fn new(arguments: &Bench, uri: &str) -> Result<Self, Failure> {
        Ok(Self { connection: Connection::new(arguments, uri)?, collection: arguments.collection.clone() })
    }
}

impl Store for GrpcStore {
    fn store(&mut self, batch: Batch) -> Result<Took, Failure> {
        let message =
            wire::UpsertPoints { collection_name: self.collection.clone(), wait: Some(true), points: points(batch), ..Default::default() };
        let request = self.connection.request(message);
        let Connection { runtime, client, .. } = &mut self.connection;
        let started = Instant::now();
        let answer = runtime.block_on(client.upsert(request)).map_err(|status| Failure::new(status.message()))?;
        Ok(Took { secs: started.elapsed().as_secs_f64(), own_secs: answer.into_inner().time })
    }
}

fn points(batch: Batch) -> Vec<wire::PointStruct> {
    use wire::point_id::PointIdOptions;
    let mut payloads = batch.payloads.into_iter();
    let numbered = (batch.first..).zip(batch.vectors);
    let one = |(number, values): (u64, Vec<f32>)| {
        let vector = wire::Vector { vector: Some(wire::vector::Vector::Dense(wire::DenseVector { data: values })), ..Default::default() };
        let vectors = match &batch.name {
            None => wire::vectors::VectorsOptions::Vector(vector),
            Some(name) => wire::vectors::VectorsOptions::Vectors(wire::NamedVectors { vectors: HashMap::from([(name.clone(), vector)]) }),
        };
        wire::PointStruct {
            id: Some(wire::PointId { point_id_options: Some(PointIdOptions::Num(number)) }),
            payload: payloads.next().map(payload_out).unwrap_or_default(),
            vectors: Some(wire::Vectors { vectors_options: Some(vectors) }),
        }
    };
    numbered.map(one).collect()
}

/// A filter as a message.
fn filter(filter: &Filter) -> Result<wire::Filter, Failure> {
    let all = |conditions: &[Condition]| conditions.iter().map(condition).collect::<Result<Vec<_>, _>>();
    if filter.min_should.is_some() {
        return Err(other());
    }
    Ok(wire::Filter { must: all(&filter.must)?, should: all(&filter.should)?, must_not: all(&filter.must_not)?, min_should: None })
}

fn condition(condition: &Condition) -> Result<wire::Condition, Failure> {
    use wire::condition::ConditionOneOf;
    use wire::r#match::MatchValue as Value;
    let Condition::Field { key, test } = condition else { return Err(other()) };
    let mut field = wire::FieldCondition { key: key.to_string(), ..Default::default() };
    let value = match test {
        FieldTest::Value(MatchValue::Keyword(word)) => Some(Value::Keyword(word.clone())),
        FieldTest::Value(MatchValue::Integer(number)) => Some(Value::Integer(*number)),
        FieldTest::Value(MatchValue::Bool(flag)) => Some(Value::Boolean(*flag)),
        FieldTest::Any(MatchSet::Keywords(words)) => Some(Value::Keywords(wire::RepeatedStrings { strings: words.clone() })),
        FieldTest::Any(MatchSet::Integers(numbers)) => Some(Value::Integers(wire::RepeatedIntegers { integers: numbers.clone() })),
        FieldTest::Range(Range { gt, gte, lt, lte }) => {
            field.range = Some(wire::Range { gt: *gt, gte: *gte, lt: *lt, lte: *lte });
            None
        }
        _ => return Err(other()),
    };
    field.r#match = value.map(|value| wire::Match { match_value: Some(value) });
    Ok(wire::Condition { condition_one_of: Some(ConditionOneOf::Field(field)) })
}

fn other() -> Failure {
    Failure::new("over gRPC filters are of matches with values and of ranges of numbers")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn filters_mean_the_same_over_both_doors() {
        let json = json!({"must": [{"key": "a.b[]", "match": {"value": "x"}}, {"key": "n", "range": {"gte": 1.0, "lt": 5.0}}],
            "should": [{"key": "k", "match": {"any": ["p", "q"]}}, {"key": "i", "match": {"any": [1, 2]}}],
            "must_not": [{"key": "f", "match": {"value": true}}]});
        let wanted = Filter::from_json(&json).expect("a filter");
        let message = filter(&wanted).expect("it can be told");
        assert_eq!(crate::grpc::filter_in(message).expect("it is understood"), wanted);
        assert!(filter(&Filter::must([Condition::HasVector(String::new())])).is_err());
    }

    #[test]
    fn points_are_those_of_the_batch() {
        let payload = json!({"n": 1}).as_object().cloned().expect("an object");
        let batch =
            Batch { first: 3, vectors: vec![vec![1.0], vec![2.0]], payloads: vec![payload.clone(), payload], name: Some("a".into()) };
        let points = points(batch);
        assert_eq!(points[1].id.as_ref().and_then(|id| id.point_id_options.clone()), Some(wire::point_id::PointIdOptions::Num(4)));
        assert_eq!((points.len(), points[1].payload.len()), (2, 1));
    }
}
