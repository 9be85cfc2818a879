//! One request on its way through the door.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Request, Response, Status};
use tracing::{Instrument, Span};
use vectordb_service::{Access, Consistency, Explanations, ReadOptions, Result, Service, ServiceError, ShardKey, WriteOptions, rest};

use super::Door;
use super::about::About;
use super::convert::{one_of, point};
use super::status::status;
use crate::pace::{self, Pace};
use crate::trace::{self, Context, TRACEPARENT};
use crate::wire;

/// What handlers need beside the message.
pub(super) struct Call<'c> {
    pub(super) service: &'c Service,
    pub(super) access: &'c Access,
    wishes: &'c Wishes,
}

/// What metadata asks for beside the message.
#[derive(Debug, Default)]
struct Wishes {
    /// The recall of searches that ask for none.
    recall: Option<f64>,
    /// Where explanations go, if they are asked for.
    explanations: Option<Explanations>,
}

impl Wishes {
    fn of(metadata: &MetadataMap) -> Result<Self> {
        let told = |name| metadata.get(name).map(|value| value.to_str().unwrap_or_default());
        let explained = told(rest::EXPLAIN).map(rest::wish).transpose()?.unwrap_or(false);
        Ok(Self { recall: told(rest::RECALL).map(rest::recall).transpose()?, explanations: explained.then(Explanations::default) })
    }

    /// The explanations as metadata; nothing if there are none.
    fn explained(&self) -> Option<AsciiMetadataValue> {
        let mut told = self.explanations.as_ref()?.take();
        if told.is_empty() {
            return None;
        }
        let mut text = ascii(&Value::from(told.clone()));
        if text.len() > MOST_EXPLAINED {
            // Of many segments only the sum is told: callers take no more metadata than so much.
            told.iter_mut().filter_map(Value::as_array_mut).flatten().filter_map(Value::as_object_mut).for_each(|shard| {
                shard.remove("searches");
            });
            text = ascii(&Value::from(told));
        }
        text.parse().ok()
    }
}

/// Bytes of explanations that fit into metadata.
const MOST_EXPLAINED: usize = 4096;

/// JSON in ASCII, as metadata have to be.
fn ascii(json: &Value) -> String {
    let escaped = |c: char| match c {
        c if c.is_ascii() => c.to_string(),
        c => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    json.to_string().chars().map(escaped).collect()
}

impl Door {
    /// Has a request answered, and says how long it took. A pace is that of a method that reads points.
    pub(super) async fn answer<M, A>(
        &self,
        (service, method): (&'static str, &'static str),
        pace: Option<&'static Pace>,
        request: Request<M>,
        run: fn(&Call<'_>, M) -> Result<A>,
    ) -> Result<Response<A>, Status>
    where
        M: About + Send + 'static,
        A: Timed + Send + 'static,
    {
        let started = Instant::now();
        let (id, context) = {
            let header = |name| request.metadata().get(name).and_then(|value| value.to_str().ok());
            (trace::id(header(trace::REQUEST_ID)), Context::of(header(TRACEPARENT)))
        };
        let operation = format!("/qdrant.{service}/{}", pascal(method));
        let span = trace::span(&context, &id, &operation);
        let collection = request.get_ref().collection().to_owned();
        let (answered, explained) = match Wishes::of(request.metadata()) {
            Ok(wishes) => self.answered(request, pace, wishes, context, run).instrument(span.clone()).await,
            Err(error) => (Err(status(&error)), None),
        };
        let (code, took) = (answered.as_ref().map_or_else(Status::code, |_| Code::Ok), started.elapsed());
        trace::ended(&span, code as i32, matches!(code, Code::Unknown | Code::Internal | Code::Unavailable | Code::DataLoss));
        let code = code as i32;
        self.service.metrics().grpc(&operation, code, took);
        if took > self.slow {
            span.in_scope(|| trace::slow(&id, &operation, &collection, code, took));
        }
        let name = |metadata: &mut MetadataMap| {
            if let Ok(id) = id.parse() {
                metadata.insert(trace::REQUEST_ID, id);
            }
        };
        match answered {
            Ok(mut answer) => {
                answer.set_time(started.elapsed().as_secs_f64());
                let mut response = Response::new(answer);
                name(response.metadata_mut());
                if let Some(explained) = explained {
                    response.metadata_mut().insert(rest::EXPLAIN, explained);
                }
                Ok(response)
            }
            Err(mut status) => {
                name(status.metadata_mut());
                Err(status)
            }
        }
    }

    /// The answer, and how it was found, if that was asked for.
    async fn answered<M, A>(
        &self,
        request: Request<M>,
        pace: Option<&'static Pace>,
        wishes: Wishes,
        context: Context,
        run: fn(&Call<'_>, M) -> Result<A>,
    ) -> (Result<A, Status>, Option<AsciiMetadataValue>)
    where
        M: Send + 'static,
        A: Send + 'static,
    {
        let metadata = request.metadata();
        let header = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
        let identity = match self.auth.identify(header) {
            Ok(identity) => identity,
            Err(error) => return (Err(status(&error)), None),
        };
        let (service, auth) = (Arc::clone(&self.service), self.auth.clone());
        let message = request.into_inner();
        let span = Span::current();
        let work = move || {
            let answered = auth.granted(identity).and_then(|access| {
                let call = Call { service: &service, access: &access, wishes: &wishes };
                run(&call, message)
            });
            (answered.map_err(|error| status(&error)), wishes.explained())
        };
        let pace = pace.filter(|_| !self.service.is_clustered());
        let cut_short = || (Err(status(&ServiceError::internal("the request was cut short"))), None);
        pace::done(pace, move || context.scope(|| span.in_scope(work))).await.unwrap_or_else(cut_short)
    }
}

/// The name that the wire has for a method.
fn pascal(method: &str) -> String {
    let mut name = String::with_capacity(method.len());
    for word in method.split('_') {
        let (first, rest) = word.split_at(word.len().min(1));
        name.push_str(&first.to_uppercase());
        name.push_str(rest);
    }
    name
}

impl Call<'_> {
    /// How to read, with the shard keys and the seconds that a message names.
    pub(super) fn reading(
        &self,
        collection: &str,
        keys: Option<wire::ShardKeySelector>,
        timeout: Option<u64>,
        consistency: Option<wire::ReadConsistency>,
    ) -> Result<ReadOptions> {
        let consistency = read_consistency(consistency)?;
        let Wishes { recall, explanations } = self.wishes;
        let (shard_keys, deadline) = (self.shard_keys(collection, keys)?, deadline(timeout)?);
        Ok(ReadOptions { shard_keys, deadline, recall: *recall, explanations: explanations.clone(), consistency })
    }

    /// How to write, with the shard keys that a message names.
    pub(super) fn writing(
        &self,
        collection: &str,
        keys: Option<wire::ShardKeySelector>,
        ordering: Option<wire::WriteOrdering>,
    ) -> Result<WriteOptions> {
        // Every write goes through its shard's primary, so that every ordering is kept; only nonsense is refused.
        ordering.map_or(Ok(()), |ordering| one_of::<wire::WriteOrderingType>("ordering", ordering.r#type).map(drop))?;
        Ok(WriteOptions { shard_keys: self.shard_keys(collection, keys)? })
    }

    /// The keys of a message; of one key with another to fall back on, the one that exists.
    fn shard_keys(&self, collection: &str, selector: Option<wire::ShardKeySelector>) -> Result<Vec<ShardKey>> {
        let Some(selector) = selector else { return Ok(Vec::new()) };
        let keys = selector.shard_keys.into_iter().map(point::shard_key).collect::<Result<Vec<_>>>()?;
        let Some(fallback) = selector.fallback else { return Ok(keys) };
        let known = self.service.shard_keys(collection, self.access)?;
        match keys.as_slice() {
            [key] if known.contains(key) => Ok(keys),
            [_] => Ok(vec![point::shard_key(fallback)?]),
            _ => Err(ServiceError::request("a fallback is for one shard key")),
        }
    }
}

/// How certain reads are to be of seeing every acknowledged write. Every in-sync replica has all of them, so that most of the replicas and
/// all of them come to the same.
fn read_consistency(consistency: Option<wire::ReadConsistency>) -> Result<Consistency> {
    use wire::read_consistency::Value;
    match consistency.and_then(|consistency| consistency.value) {
        Some(Value::Type(kind)) => one_of::<wire::ReadConsistencyType>("read_consistency", kind).map(|_| Consistency::Confirmed(1)),
        Some(Value::Factor(0)) => Err(ServiceError::validation("read_consistency.factor", "value 0 invalid, must be 1 or larger")),
        Some(Value::Factor(1)) | None => Ok(Consistency::Usual),
        Some(Value::Factor(copies)) => Ok(Consistency::Confirmed(copies.try_into().unwrap_or(u32::MAX))),
    }
}

/// When the seconds of a message are over.
fn deadline(timeout: Option<u64>) -> Result<Option<Instant>> {
    match timeout {
        Some(0) => Err(ServiceError::validation("timeout", "value 0 invalid, must be 1 or larger")),
        // A time beyond what clocks reach is none.
        Some(seconds) => Ok(Instant::now().checked_add(Duration::from_secs(seconds))),
        None => Ok(None),
    }
}

/// An answer that says how long it took.
pub(super) trait Timed {
    /// In seconds.
    fn set_time(&mut self, seconds: f64);
}

macro_rules! timed {
    ($($answer:ident),* $(,)?) => {
        $(impl Timed for wire::$answer {
            fn set_time(&mut self, seconds: f64) {
                self.time = seconds;
            }
        })*
    };
}

timed!(
    CollectionClusterInfoResponse,
    CollectionExistsResponse,
    CollectionOperationResponse,
    CountResponse,
    CreateShardKeyResponse,
    CreateSnapshotResponse,
    DeleteShardKeyResponse,
    DeleteSnapshotResponse,
    DiscoverBatchResponse,
    DiscoverResponse,
    FacetResponse,
    GetCollectionInfoResponse,
    GetResponse,
    ListAliasesResponse,
    ListCollectionsResponse,
    ListShardKeysResponse,
    ListSnapshotsResponse,
    PointsOperationResponse,
    QueryBatchResponse,
    QueryGroupsResponse,
    QueryResponse,
    RecommendBatchResponse,
    RecommendGroupsResponse,
    RecommendResponse,
    ScrollResponse,
    SearchBatchResponse,
    SearchGroupsResponse,
    SearchMatrixOffsetsResponse,
    SearchMatrixPairsResponse,
    SearchResponse,
    UpdateBatchResponse,
    UpdateCollectionClusterSetupResponse,
);

/// The methods of a service as a table: the name, the message, the answer, who makes it, and the pace of those that read points.
macro_rules! methods {
    ($service:ident: $($name:ident($message:ident) -> $answer:ident = $run:path $(, $pace:ident)?;)*) => {
        #[tonic::async_trait]
        impl $service for $crate::grpc::Door {
            $(async fn $name(
                &self,
                request: tonic::Request<$crate::wire::$message>,
            ) -> Result<tonic::Response<$crate::wire::$answer>, tonic::Status> {
                let paces: &[&'static $crate::pace::Pace] = &[$({
                    static $pace: $crate::pace::Pace = $crate::pace::Pace::new();
                    &$pace
                })?];
                self.answer((stringify!($service), stringify!($name)), paces.first().copied(), request, $run).await
            })*
        }
    };
}

pub(super) use methods;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanations_are_metadata() {
        let wishes = Wishes { recall: None, explanations: Some(Explanations::default()) };
        assert_eq!(wishes.explained(), None);
        let json = serde_json::json!({"é": "\u{1F600}\n"});
        let text = ascii(&json);
        assert!(text.is_ascii() && text.parse::<AsciiMetadataValue>().is_ok(), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), json);
        let asked = |name: &'static str, value: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert(name, value.parse().expect("ASCII"));
            Wishes::of(&metadata)
        };
        assert_eq!(asked(rest::RECALL, "0.9").expect("a recall").recall, Some(0.9));
        assert!(asked(rest::RECALL, "2").is_err() && asked(rest::EXPLAIN, "perhaps").is_err());
        assert!(asked(rest::EXPLAIN, "true").expect("a wish").explanations.is_some());
    }

    #[test]
    fn methods_have_the_names_of_the_wire() {
        let names = ["upsert", "search_matrix_pairs", "get"].map(pascal);
        assert_eq!(names, ["Upsert", "SearchMatrixPairs", "Get"]);
    }
}
