//! The table of operations.

use std::sync::LazyLock;

use http::Method;
use percent_encoding::percent_decode_str;

use super::call::Call;
use super::reply::Reply;
use super::{about, aliases, backups, cluster, collections, legacy, openapi, points, queries, snapshots};
use crate::error::Result;

/// An operation of the REST API.
pub struct Operation {
    /// The HTTP method.
    pub method: &'static str,
    /// The path with its parameters in braces.
    pub path: &'static str,
    /// Searches, reads, writes or others, for metrics.
    pub kind: &'static str,
    pub(super) run: fn(&Call<'_>) -> Result<Reply>,
}

impl Operation {
    /// Whether its body is a form with a file, which doors store aside as [`Request::upload`](super::Request::upload).
    pub fn takes_file(&self) -> bool {
        self.path.ends_with("/upload")
    }
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

macro_rules! operations {
    ($($method:ident $path:literal $kind:ident $run:expr;)*) => {
        [$(Operation { method: stringify!($method), path: $path, kind: stringify!($kind), run: $run },)*]
    };
}

/// Every operation; a path that is in the table with another method is answered with 405.
static OPERATIONS: [Operation; 87] = operations! {
    GET "/" service about::version;
    GET "/healthz" service about::health;
    GET "/livez" service about::health;
    GET "/readyz" service about::ready;
    GET "/metrics" service about::metrics;
    GET "/telemetry" service about::telemetry;

    GET "/collections" service collections::list;
    GET "/collections/{collection_name}" service collections::get;
    PUT "/collections/{collection_name}" service collections::create;
    PATCH "/collections/{collection_name}" service collections::update;
    DELETE "/collections/{collection_name}" service collections::delete;
    GET "/collections/{collection_name}/exists" service collections::exists;
    PUT "/collections/{collection_name}/index" write collections::create_index;
    DELETE "/collections/{collection_name}/index/{field_name}" write collections::delete_index;
    PUT "/collections/{collection_name}/vectors/{vector_name}" write collections::create_vector;
    DELETE "/collections/{collection_name}/vectors/{vector_name}" write collections::delete_vector;
    GET "/collections/{collection_name}/optimizations" service collections::optimizations;

    POST "/collections/aliases" service aliases::change;
    GET "/collections/{collection_name}/aliases" service aliases::of_collection;
    GET "/aliases" service aliases::list;

    GET "/collections/{collection_name}/points/{id}" read points::get;
    POST "/collections/{collection_name}/points" read points::retrieve;
    PUT "/collections/{collection_name}/points" write points::upsert;
    POST "/collections/{collection_name}/points/delete" write points::delete;
    PUT "/collections/{collection_name}/points/vectors" write points::update_vectors;
    POST "/collections/{collection_name}/points/vectors/delete" write points::delete_vectors;
    POST "/collections/{collection_name}/points/payload" write points::set_payload;
    PUT "/collections/{collection_name}/points/payload" write points::overwrite_payload;
    POST "/collections/{collection_name}/points/payload/delete" write points::delete_payload;
    POST "/collections/{collection_name}/points/payload/clear" write points::clear_payload;
    POST "/collections/{collection_name}/points/batch" write points::batch;
    POST "/collections/{collection_name}/points/scroll" read points::scroll;
    POST "/collections/{collection_name}/points/count" read points::count;

    POST "/collections/{collection_name}/facet" read queries::facet;
    POST "/collections/{collection_name}/points/query" search queries::query;
    POST "/collections/{collection_name}/points/query/batch" search queries::query_batch;
    POST "/collections/{collection_name}/points/query/groups" search queries::groups;
    POST "/collections/{collection_name}/points/search/matrix/pairs" search queries::matrix_pairs;
    POST "/collections/{collection_name}/points/search/matrix/offsets" search queries::matrix_offsets;

    POST "/collections/{collection_name}/points/search" search legacy::search;
    POST "/collections/{collection_name}/points/search/batch" search legacy::search_batch;
    POST "/collections/{collection_name}/points/search/groups" search legacy::search_groups;
    POST "/collections/{collection_name}/points/recommend" search legacy::recommend;
    POST "/collections/{collection_name}/points/recommend/batch" search legacy::recommend_batch;
    POST "/collections/{collection_name}/points/recommend/groups" search legacy::recommend_groups;
    POST "/collections/{collection_name}/points/discover" search legacy::discover;
    POST "/collections/{collection_name}/points/discover/batch" search legacy::discover_batch;

    GET "/collections/{collection_name}/snapshots" service snapshots::list;
    POST "/collections/{collection_name}/snapshots" service snapshots::create;
    GET "/collections/{collection_name}/snapshots/{snapshot_name}" service snapshots::download;
    DELETE "/collections/{collection_name}/snapshots/{snapshot_name}" service snapshots::delete;
    POST "/collections/{collection_name}/snapshots/upload" service snapshots::upload;
    PUT "/collections/{collection_name}/snapshots/recover" service snapshots::recover;
    GET "/collections/{collection_name}/shards/{shard_id}/snapshot" service snapshots::stream;
    GET "/collections/{collection_name}/shards/{shard_id}/snapshots" service snapshots::list;
    POST "/collections/{collection_name}/shards/{shard_id}/snapshots" service snapshots::create;
    GET "/collections/{collection_name}/shards/{shard_id}/snapshots/{snapshot_name}" service snapshots::download;
    DELETE "/collections/{collection_name}/shards/{shard_id}/snapshots/{snapshot_name}" service snapshots::delete;
    POST "/collections/{collection_name}/shards/{shard_id}/snapshots/upload" service snapshots::upload;
    PUT "/collections/{collection_name}/shards/{shard_id}/snapshots/recover" service snapshots::recover;
    GET "/snapshots" service snapshots::list;
    POST "/snapshots" service snapshots::create;
    GET "/snapshots/{snapshot_name}" service snapshots::download;
    DELETE "/snapshots/{snapshot_name}" service snapshots::delete;

    GET "/backups" service backups::list;
    POST "/backups" service backups::create;
    POST "/backups/verify" service backups::verify;
    POST "/backups/restore" service backups::restore;
    POST "/backups/prune" service backups::prune;

    GET "/collections/{collection_name}/shards" service cluster::shard_keys;
    PUT "/collections/{collection_name}/shards" service cluster::create_shard_key;
    POST "/collections/{collection_name}/shards/delete" service cluster::delete_shard_key;
    GET "/collections/{collection_name}/cluster" service cluster::collection;
    POST "/collections/{collection_name}/cluster" service cluster::change;
    POST "/collections/{collection_name}/cluster/verify" service cluster::verify;
    GET "/cluster" service cluster::status;
    GET "/cluster/telemetry" service cluster::telemetry;
    POST "/cluster/recover" service cluster::recover;
    DELETE "/cluster/peer/{peer_id}" service cluster::remove_peer;
    POST "/cluster/pause" service cluster::pause;
    POST "/cluster/peer/{peer_id}/drain" service cluster::drain;

    GET "/collections/{collection_name}/memory" service about::memory;
    GET "/issues" service about::issues;
    DELETE "/issues" service about::clear_issues;
    GET "/quotas" service about::quotas;
    PUT "/quotas" service about::set_quotas;
    GET "/openapi.json" service openapi::openapi;
};

/// Every operation of the table.
pub fn operations() -> &'static [Operation] {
    &OPERATIONS
}

/// For each path of the table the operations of it.
static PATHS: LazyLock<matchit::Router<Vec<&'static Operation>>> = LazyLock::new(|| {
    let mut paths: Vec<(&'static str, Vec<&'static Operation>)> = Vec::new();
    for operation in &OPERATIONS {
        match paths.iter_mut().find(|(path, _)| *path == operation.path) {
            Some((_, same)) => same.push(operation),
            None => paths.push((operation.path, vec![operation])),
        }
    }
    let mut router = matchit::Router::new();
    for (path, operations) in paths {
        let inserted = router.insert(path, operations);
        debug_assert!(inserted.is_ok(), "{path}: {inserted:?}");
    }
    router
});

/// Names and values of a path's parts.
pub(super) type Params = Vec<(&'static str, String)>;

/// The operation of a method and a path, with the path's parameters decoded; otherwise the HTTP status that says why not.
pub(super) fn find(method: &Method, path: &str) -> Result<(&'static Operation, Params), u16> {
    let trimmed = path.trim_end_matches('/');
    let found = PATHS.at(if trimmed.is_empty() { "/" } else { trimmed }).map_err(|_| 404_u16)?;
    let operation = found.value.iter().find(|operation| operation.method == method.as_str()).ok_or(405_u16)?;
    let names = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let params =
        names.map(|name| (name, percent_decode_str(found.params.get(name).unwrap_or_default()).decode_utf8_lossy().into_owned())).collect();
    Ok((operation, params))
}

/// The methods of a path's operations, as an `Allow` header has them; nothing for a path that has none.
pub fn methods(path: &str) -> Option<String> {
    let trimmed = path.trim_end_matches('/');
    let found = PATHS.at(if trimmed.is_empty() { "/" } else { trimmed }).ok()?;
    Some(found.value.iter().map(|operation| operation.method).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_operations() {
        let path = |method: Method, path: &str| find(&method, path).map(|(operation, params)| (operation.path, params));
        assert_eq!(path(Method::GET, "/"), Ok(("/", vec![])));
        assert_eq!(path(Method::POST, "/collections/aliases"), Ok(("/collections/aliases", vec![])));
        let (_, params) = path(Method::DELETE, "/collections/a%20b/index/x.y%5B%5D/").expect("a trailing slash changes nothing");
        assert_eq!(params, [("collection_name", "a b".to_owned()), ("field_name", "x.y[]".to_owned())]);
        assert_eq!(
            path(Method::POST, "/collections/a/points/scroll").map(|found| found.0),
            Ok("/collections/{collection_name}/points/scroll")
        );
        assert_eq!(path(Method::GET, "/nowhere"), Err(404));
        assert_eq!(path(Method::PATCH, "/"), Err(405));
        assert_eq!(methods("/collections/a/index/"), Some("PUT".to_owned()));
        assert_eq!(methods("/collections/a"), Some("GET, PUT, PATCH, DELETE".to_owned()));
        assert_eq!(methods("/nowhere"), None);
    }

    #[test]
    fn every_operation_is_found_by_its_own_path() {
        for operation in operations() {
            let path = operation.path.replace(['{', '}'], "x");
            let found = find(&Method::from_bytes(operation.method.as_bytes()).expect("a method"), &path);
            assert!(found.is_ok_and(|(found, _)| found.path == operation.path), "{operation:?}");
        }
    }
}
