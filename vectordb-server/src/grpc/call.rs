//! One request on its way through the door.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::{Request, Response, Status};
use vectordb_service::{Access, ReadOptions, Result, Service, ServiceError, ShardKey, WriteOptions};

use super::Door;
use super::convert::point;
use super::status::status;
use crate::wire;

/// What handlers need beside the message.
pub(super) struct Call<'c> {
    pub(super) service: &'c Service,
    pub(super) access: &'c Access,
}

impl Door {
    /// Has a request answered on a thread that may block, and says how long it took.
    pub(super) async fn answer<M, A>(
        &self,
        (service, method): (&'static str, &'static str),
        request: Request<M>,
        run: fn(&Call<'_>, M) -> Result<A>,
    ) -> Result<Response<A>, Status>
    where
        M: Send + 'static,
        A: Timed + Send + 'static,
    {
        let started = Instant::now();
        let answered = self.answered(request, run).await;
        let code = answered.as_ref().map_or_else(|status| status.code() as i32, |_| 0);
        self.service.metrics().grpc(&format!("/qdrant.{service}/{}", pascal(method)), code, started.elapsed());
        answered.map(|mut answer| {
            answer.set_time(started.elapsed().as_secs_f64());
            Response::new(answer)
        })
    }

    async fn answered<M, A>(&self, request: Request<M>, run: fn(&Call<'_>, M) -> Result<A>) -> Result<A, Status>
    where
        M: Send + 'static,
        A: Send + 'static,
    {
        let metadata = request.metadata();
        let header = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
        let identity = self.auth.identify(header).map_err(|error| status(&error))?;
        let (service, auth) = (Arc::clone(&self.service), self.auth.clone());
        let message = request.into_inner();
        let answered = tokio::task::spawn_blocking(move || {
            let access = auth.granted(identity)?;
            run(&Call { service: &service, access: &access }, message)
        });
        match answered.await {
            Ok(answer) => answer.map_err(|error| status(&error)),
            Err(error) => {
                tracing::error!(%error, "a request failed");
                Err(status(&ServiceError::internal("the request was cut short")))
            }
        }
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
    pub(super) fn reading(&self, collection: &str, keys: Option<wire::ShardKeySelector>, timeout: Option<u64>) -> Result<ReadOptions> {
        Ok(ReadOptions { shard_keys: self.shard_keys(collection, keys)?, deadline: deadline(timeout)? })
    }

    /// How to write, with the shard keys that a message names.
    pub(super) fn writing(&self, collection: &str, keys: Option<wire::ShardKeySelector>) -> Result<WriteOptions> {
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

/// The methods of a service as a table: the name, the message, the answer and who makes it.
macro_rules! methods {
    ($service:ident: $($name:ident($message:ident) -> $answer:ident = $run:path;)*) => {
        #[tonic::async_trait]
        impl $service for $crate::grpc::Door {
            $(async fn $name(
                &self,
                request: tonic::Request<$crate::wire::$message>,
            ) -> Result<tonic::Response<$crate::wire::$answer>, tonic::Status> {
                self.answer((stringify!($service), stringify!($name)), request, $run).await
            })*
        }
    };
}

pub(super) use methods;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_the_names_of_the_wire() {
        let names = ["upsert", "search_matrix_pairs", "get"].map(pascal);
        assert_eq!(names, ["Upsert", "SearchMatrixPairs", "Get"]);
    }
}
