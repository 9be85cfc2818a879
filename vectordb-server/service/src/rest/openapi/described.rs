//! What each operation is for, what it takes and what it answers.

/// A description of an operation.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    /// Names of the query's parameters; `wait_until_done` stands for a `wait` that may put the work off.
    pub(super) query: &'static [&'static str],
    /// The schema of the body.
    pub(super) body: Option<&'static str>,
    pub(super) answer: Answer,
}

/// What comes back when all is well.
#[derive(Debug)]
pub(super) enum Answer {
    /// A result in its envelope.
    Result(&'static str),
    /// JSON without an envelope.
    Bare(&'static str),
    /// Any JSON object.
    Any,
    Text,
    File,
}

/// Parameters of every write.
const WRITE: &[&str] = &["wait", "ordering", "timeout"];
/// Parameters of every read of points.
const READ: &[&str] = &["consistency", "timeout"];

macro_rules! described {
    ($($method:ident $path:literal $tag:literal $summary:literal $query:expr, $body:expr, $answer:expr;)*) => {
        [$(Described {
            method: stringify!($method), path: $path, tag: $tag, summary: $summary, query: $query, body: $body, answer: $answer,
        },)*]
    };
}

pub(super) static DESCRIBED: [Described; 87] = described! {
    GET "/" "Service" "What this server is" &[], None, Answer::Bare("VersionInfo");
    GET "/healthz" "Service" "Whether it is alive" &[], None, Answer::Text;
    GET "/livez" "Service" "Whether it is alive" &[], None, Answer::Text;
    GET "/readyz" "Service" "Whether all shards are ready" &[], None, Answer::Text;
    GET "/metrics" "Service" "Metrics for Prometheus" &["anonymize", "per_collection"], None, Answer::Text;
    GET "/telemetry" "Service" "What the server does" &["details_level", "anonymize"], None, Answer::Result("Telemetry");
    GET "/collections" "Collections" "All collections" &[], None, Answer::Result("CollectionList");
    GET "/collections/{collection_name}" "Collections" "What a collection is and how it is" &[], None, Answer::Result("CollectionInfo");
    PUT "/collections/{collection_name}" "Collections" "Make a collection" &["timeout"], Some("CreateCollection"), Answer::Result("True");
    PATCH "/collections/{collection_name}" "Collections" "Change a collection" &["timeout"], Some("UpdateCollection"), Answer::Result("True");
    DELETE "/collections/{collection_name}" "Collections" "Drop a collection" &["timeout"], None, Answer::Result("True");
    GET "/collections/{collection_name}/exists" "Collections" "Whether a collection exists" &[], None, Answer::Result("CollectionExistence");
    PUT "/collections/{collection_name}/index" "Collections" "Index a field of payloads" WRITE, Some("CreateFieldIndex"), Answer::Result("UpdateResult");
    DELETE "/collections/{collection_name}/index/{field_name}" "Collections" "Drop the index of a field" WRITE, None, Answer::Result("UpdateResult");
    PUT "/collections/{collection_name}/vectors/{vector_name}" "Collections" "Add a vector to a collection" WRITE, Some("CreateVectorName"), Answer::Result("UpdateResult");
    DELETE "/collections/{collection_name}/vectors/{vector_name}" "Collections" "Remove a vector from a collection" WRITE, None, Answer::Result("UpdateResult");
    GET "/collections/{collection_name}/optimizations" "Collections" "What goes on in the background" &["with", "completed_limit"], None, Answer::Result("Optimizations");
    POST "/collections/aliases" "Aliases" "Change aliases, all at once" &["timeout"], Some("ChangeAliases"), Answer::Result("True");
    GET "/collections/{collection_name}/aliases" "Aliases" "The aliases of a collection" &[], None, Answer::Result("AliasList");
    GET "/aliases" "Aliases" "All aliases" &[], None, Answer::Result("AliasList");
    GET "/collections/{collection_name}/points/{id}" "Points" "One point" &["consistency"], None, Answer::Result("Record");
    POST "/collections/{collection_name}/points" "Points" "Points by id" READ, Some("RetrievePoints"), Answer::Result("Records");
    PUT "/collections/{collection_name}/points" "Points" "Write points" WRITE, Some("UpsertPoints"), Answer::Result("UpdateResult");
    POST "/collections/{collection_name}/points/delete" "Points" "Delete points" WRITE, Some("PointsSelector"), Answer::Result("UpdateResult");
    PUT "/collections/{collection_name}/points/vectors" "Points" "Replace vectors of points" WRITE, Some("UpdateVectors"), Answer::Result("UpdateResult");
    POST "/collections/{collection_name}/points/vectors/delete" "Points" "Delete vectors of points" WRITE, Some("DeleteVectors"), Answer::Result("UpdateResult");
    POST "/collections/{collection_name}/points/payload" "Points" "Merge into payloads" WRITE, Some("SetPayload"), Answer::Result("UpdateResult");
    PUT "/collections/{collection_name}/points/payload" "Points" "Replace payloads" WRITE, Some("SetPayload"), Answer::Result("UpdateResult");
    POST "/collections/{collection_name}/points/payload/delete" "Points" "Delete keys of payloads" WRITE, Some("DeletePayload"), Answer::Result("UpdateResult");
    POST "/collections/{collection_name}/points/payload/clear" "Points" "Clear payloads" WRITE, Some("PointsSelector"), Answer::Result("UpdateResult");
    POST "/collections/{collection_name}/points/batch" "Points" "Many writes as one" WRITE, Some("BatchUpdate"), Answer::Result("UpdateResults");
    POST "/collections/{collection_name}/points/scroll" "Points" "Points in order, page by page" READ, Some("ScrollPoints"), Answer::Result("ScrollResult");
    POST "/collections/{collection_name}/points/count" "Points" "Count points" READ, Some("CountPoints"), Answer::Result("CountResult");
    POST "/collections/{collection_name}/facet" "Queries" "Count points by the values of a field" READ, Some("FacetPoints"), Answer::Result("FacetResult");
    POST "/collections/{collection_name}/points/query" "Queries" "Ask a query of any kind" READ, Some("QueryPoints"), Answer::Result("QueryResult");
    POST "/collections/{collection_name}/points/query/batch" "Queries" "Ask many queries" READ, Some("QueryBatch"), Answer::Result("QueryResults");
    POST "/collections/{collection_name}/points/query/groups" "Queries" "Ask a query, and group what it finds" READ, Some("QueryGroups"), Answer::Result("GroupsResult");
    POST "/collections/{collection_name}/points/search/matrix/pairs" "Queries" "Similarities among a sample, as pairs" READ, Some("MatrixPoints"), Answer::Result("MatrixPairs");
    POST "/collections/{collection_name}/points/search/matrix/offsets" "Queries" "Similarities among a sample, by rows and columns" READ, Some("MatrixPoints"), Answer::Result("MatrixOffsets");
    POST "/collections/{collection_name}/points/search" "Older searches" "Points near a vector" READ, Some("SearchPoints"), Answer::Result("ScoredPoints");
    POST "/collections/{collection_name}/points/search/batch" "Older searches" "Points near a vector, many at once" READ, Some("SearchBatch"), Answer::Result("ScoredPointLists");
    POST "/collections/{collection_name}/points/search/groups" "Older searches" "Points near a vector, in groups" READ, Some("SearchGroups"), Answer::Result("GroupsResult");
    POST "/collections/{collection_name}/points/recommend" "Older searches" "Points like some and unlike others" READ, Some("RecommendPoints"), Answer::Result("ScoredPoints");
    POST "/collections/{collection_name}/points/recommend/batch" "Older searches" "Points like some and unlike others, many at once" READ, Some("RecommendBatch"), Answer::Result("ScoredPointLists");
    POST "/collections/{collection_name}/points/recommend/groups" "Older searches" "Points like some and unlike others, in groups" READ, Some("RecommendGroups"), Answer::Result("GroupsResult");
    POST "/collections/{collection_name}/points/discover" "Older searches" "Points near a target, on the side of a context" READ, Some("DiscoverPoints"), Answer::Result("ScoredPoints");
    POST "/collections/{collection_name}/points/discover/batch" "Older searches" "Points near a target, on the side of a context, many at once" READ, Some("DiscoverBatch"), Answer::Result("ScoredPointLists");
    GET "/collections/{collection_name}/snapshots" "Snapshots" "Snapshots of a collection" &[], None, Answer::Result("SnapshotList");
    POST "/collections/{collection_name}/snapshots" "Snapshots" "Make a snapshot of a collection" &["wait_until_done"], None, Answer::Result("SnapshotDescription");
    GET "/collections/{collection_name}/snapshots/{snapshot_name}" "Snapshots" "Download a snapshot of a collection" &[], None, Answer::File;
    DELETE "/collections/{collection_name}/snapshots/{snapshot_name}" "Snapshots" "Delete a snapshot of a collection" &["wait_until_done"], None, Answer::Result("True");
    POST "/collections/{collection_name}/snapshots/upload" "Snapshots" "Recover from an uploaded snapshot of a collection" &["wait_until_done", "priority", "checksum"], Some("SnapshotUpload"), Answer::Result("True");
    PUT "/collections/{collection_name}/snapshots/recover" "Snapshots" "Recover from a snapshot of a collection at an address" &["wait_until_done"], Some("RecoverSnapshot"), Answer::Result("True");
    GET "/collections/{collection_name}/shards/{shard_id}/snapshot" "Snapshots" "Make a snapshot of a shard and send it, without keeping it" &[], None, Answer::File;
    GET "/collections/{collection_name}/shards/{shard_id}/snapshots" "Snapshots" "Snapshots of a shard" &[], None, Answer::Result("SnapshotList");
    POST "/collections/{collection_name}/shards/{shard_id}/snapshots" "Snapshots" "Make a snapshot of a shard" &["wait_until_done"], None, Answer::Result("SnapshotDescription");
    GET "/collections/{collection_name}/shards/{shard_id}/snapshots/{snapshot_name}" "Snapshots" "Download a snapshot of a shard" &[], None, Answer::File;
    DELETE "/collections/{collection_name}/shards/{shard_id}/snapshots/{snapshot_name}" "Snapshots" "Delete a snapshot of a shard" &["wait_until_done"], None, Answer::Result("True");
    POST "/collections/{collection_name}/shards/{shard_id}/snapshots/upload" "Snapshots" "Recover from an uploaded snapshot of a shard" &["wait_until_done", "priority", "checksum"], Some("SnapshotUpload"), Answer::Result("True");
    PUT "/collections/{collection_name}/shards/{shard_id}/snapshots/recover" "Snapshots" "Recover from a snapshot of a shard at an address" &["wait_until_done"], Some("RecoverSnapshot"), Answer::Result("True");
    GET "/snapshots" "Snapshots" "Snapshots of everything" &[], None, Answer::Result("SnapshotList");
    POST "/snapshots" "Snapshots" "Make a snapshot of everything" &["wait_until_done"], None, Answer::Result("SnapshotDescription");
    GET "/snapshots/{snapshot_name}" "Snapshots" "Download a snapshot of everything" &[], None, Answer::File;
    DELETE "/snapshots/{snapshot_name}" "Snapshots" "Delete a snapshot of everything" &["wait_until_done"], None, Answer::Result("True");
    GET "/collections/{collection_name}/shards" "Cluster" "Shard keys of a collection" &[], None, Answer::Result("ShardKeys");
    PUT "/collections/{collection_name}/shards" "Cluster" "Make a shard key" &["timeout"], Some("CreateShardKey"), Answer::Result("True");
    POST "/collections/{collection_name}/shards/delete" "Cluster" "Drop a shard key and its points" &["timeout"], Some("DropShardKey"), Answer::Result("True");
    GET "/collections/{collection_name}/cluster" "Cluster" "The shards of a collection" &[], None, Answer::Result("CollectionCluster");
    POST "/collections/{collection_name}/cluster" "Cluster" "Move, replicate or drop shards" &["timeout"], Some("ClusterOperation"), Answer::Result("True");
    POST "/collections/{collection_name}/cluster/verify" "Cluster" "Compare what the replicas of each shard hold" &["repair"], None, Answer::Result("ReplicaSums");
    GET "/cluster" "Cluster" "The peers and their consensus" &[], None, Answer::Result("ClusterStatus");
    POST "/cluster/recover" "Cluster" "Let this peer catch up" &[], None, Answer::Result("True");
    DELETE "/cluster/peer/{peer_id}" "Cluster" "Remove a peer" &["timeout", "force"], None, Answer::Result("True");
    POST "/cluster/pause" "Cluster" "Leave replicas that are well where they are" &["undo"], None, Answer::Result("True");
    POST "/cluster/peer/{peer_id}/drain" "Cluster" "Bring the replicas of a peer elsewhere" &["undo"], None, Answer::Result("Draining");
    GET "/collections/{collection_name}/memory" "Collections" "What takes how much memory" &[], None, Answer::Result("CollectionMemory");
    GET "/issues" "Service" "What could be better" &[], None, Answer::Result("IssuesReport");
    DELETE "/issues" "Service" "Forget what could be better" &[], None, Answer::Result("True");
    GET "/quotas" "Service" "What may be taken of memory and disk, and what is taken" &[], None, Answer::Result("QuotaStatus");
    PUT "/quotas" "Service" "Limit what may be taken of memory and disk" &["timeout"], Some("Quota"), Answer::Result("True");
    GET "/cluster/telemetry" "Cluster" "The shards of all collections and where they are" &["details_level", "timeout"], None, Answer::Result("ClusterTelemetry");
    GET "/backups" "Backups" "The backups of a repository" &["location"], None, Answer::Result("BackupList");
    POST "/backups" "Backups" "Make a backup" &[], Some("CreateBackup"), Answer::Result("BackupReport");
    POST "/backups/verify" "Backups" "Read a backup, and name what is damaged" &[], Some("VerifyBackup"), Answer::Result("VerifyReport");
    POST "/backups/restore" "Backups" "Restore a backup" &[], Some("RestoreBackup"), Answer::Result("RestoreReport");
    POST "/backups/prune" "Backups" "Drop all backups but the newest" &[], Some("PruneBackups"), Answer::Result("PruneReport");
    GET "/openapi.json" "Service" "This document" &[], None, Answer::Any;
};
