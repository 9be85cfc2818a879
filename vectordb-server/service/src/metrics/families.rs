//! The table of metrics: every name there is, what it means, and of what kind it is.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets, with their sum.
    Histogram,
}

/// A metric with all its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The name, without what is put before all names.
    pub name: &'static str,
    /// What it means, in one sentence.
    pub help: &'static str,
    /// How it behaves.
    pub kind: FamilyKind,
}

macro_rules! families {
    ($($constant:ident $kind:ident $name:literal $help:literal;)*) => {
        $(pub(crate) const $constant: Family = Family { name: $name, help: $help, kind: FamilyKind::$kind };)*
        const ALL: &[Family] = &[$($constant,)*];
    };
}

families! {
    APP_INFO Gauge "app_info" "Name and version of the server.";
    RECOVERY_MODE Gauge "app_status_recovery_mode" "Whether the server runs only to be repaired.";
    COLLECTIONS Gauge "collections_total" "Collections.";
    VECTORS Gauge "vectors_total" "Vectors on this node, each counted once.";
    COLLECTIONS_VECTORS Gauge "collections_vector_total" "Vectors of all collections.";
    COLLECTION_VECTORS Gauge "collection_vectors" "Vectors of a collection under one name.";
    COLLECTION_POINTS Gauge "collection_points" "Points of a collection.";
    REPLICAS_MIN Gauge "collection_active_replicas_min" "Fewest active copies that a shard of any collection has.";
    REPLICAS_MAX Gauge "collection_active_replicas_max" "Most active copies that a shard of any collection has.";
    DEAD_REPLICAS Gauge "collection_dead_replicas" "Copies of shards that are not active.";
    POISONED Gauge "collections_poisoned" "Collections that refuse writes until the server is started again, because one failed.";
    LOG_SYNCS Histogram "wal_fsync_seconds" "How long syncs of logs took.";
    CERTIFICATE Gauge "tls_certificate_expiry_seconds" "When the certificate of the doors expires, in seconds since 1970.";
    SNAPSHOT_CREATION Gauge "snapshot_creation_running" "Snapshots that are being made.";
    SNAPSHOT_RECOVERY Gauge "snapshot_recovery_running" "Recoveries from snapshots that are under way.";
    SNAPSHOTS_CREATED Counter "snapshot_created_total" "Snapshots made since the start.";
    BACKUP_LAST_SUCCESS Gauge "backup_last_success_timestamp_seconds" "When the last backup since the start was complete, in seconds since 1970.";
    BACKUP_FAILURES Counter "backup_failures_total" "Backups since the start that failed.";
    TRANSFERS_IN Gauge "collection_shard_transfer_incoming" "Copies of a collection's shards that are being made on this node.";
    TRANSFERS_OUT Gauge "collection_shard_transfer_outgoing" "Copies of a collection's shards that are being made on others out of this node's.";
    CLUSTER_ENABLED Gauge "cluster_enabled" "Whether there may be other peers.";
    CLUSTER_PEERS Gauge "cluster_peers_total" "Peers of the cluster.";
    CLUSTER_ALIVE Gauge "cluster_peers_alive" "Peers that were heard of lately; only the leader says.";
    CLUSTER_LEADER Gauge "cluster_leader_known" "Whether this node knows who leads.";
    CLUSTER_TERM Counter "cluster_term" "Term of the leader.";
    CLUSTER_COMMIT Counter "cluster_commit" "Number of the last entry that is agreed on and done here.";
    CLUSTER_PENDING Gauge "cluster_pending_operations_total" "Entries that are known here and not done yet.";
    CLUSTER_VOTER Gauge "cluster_voter" "Whether this node has a vote.";
    CLUSTER_WORKING Gauge "cluster_working_state" "Whether agreement works on this node, or stopped with an error.";
    CLUSTER_REPLICAS Gauge "cluster_replicas" "Copies of shards by their state.";
    CLUSTER_LOST Gauge "cluster_shards_without_primary" "Shards that take no writes, for their primary is silent; only the leader says.";
    SEARCHES Histogram "search_latency_seconds" "How long searches took, by collection and kind.";
    REST_ANSWERS Counter "rest_responses_total" "Answers of REST.";
    REST_AVERAGE Gauge "rest_responses_avg_duration_seconds" "Average time to an answer of REST since the start.";
    REST_LEAST Gauge "rest_responses_min_duration_seconds" "Shortest time to an answer of REST since the start.";
    REST_MOST Gauge "rest_responses_max_duration_seconds" "Longest time to an answer of REST since the start.";
    REST_DURATIONS Histogram "rest_responses_duration_seconds" "Time to answers of REST.";
    GRPC_REQUESTS Counter "grpc_requests_total" "Requests of gRPC by method and status.";
    GRPC_ANSWERS Counter "grpc_responses_total" "Answers of gRPC by endpoint and status.";
    GRPC_AVERAGE Gauge "grpc_responses_avg_duration_seconds" "Average time to an answer of gRPC since the start.";
    GRPC_LEAST Gauge "grpc_responses_min_duration_seconds" "Shortest time to an answer of gRPC since the start.";
    GRPC_MOST Gauge "grpc_responses_max_duration_seconds" "Longest time to an answer of gRPC since the start.";
    GRPC_DURATIONS Histogram "grpc_responses_duration_seconds" "Time to answers of gRPC.";
    DISK_FREE Gauge "disk_free_bytes" "Bytes of the file system of the data that can be written.";
    DISK_TOTAL Gauge "disk_total_bytes" "Bytes of the file system of the data.";
    MEMORY_RESIDENT Gauge "memory_resident_bytes" "Memory of the process that is resident.";
    MEMORY_LIMIT Gauge "memory_limit_bytes" "Memory that the engine may take.";
    MEMORY_RESERVED Gauge "memory_reserved_bytes" "Memory that the engine has reserved within its limit.";
    START_TIME Gauge "process_start_time_seconds" "When the process was started, in seconds since 1970.";
    THREADS Gauge "process_threads" "Threads of the process.";
    OPEN_MMAPS Gauge "process_open_mmaps" "Mappings of the process.";
    MAX_MMAPS Gauge "system_max_mmaps" "Most mappings that a process may have.";
    OPEN_FDS Gauge "process_open_fds" "Open files of the process.";
    MAX_FDS Gauge "process_max_fds" "Most files that the process may have open.";
    MINOR_FAULTS Counter "process_minor_page_faults_total" "Pages that came without reading the disk.";
    MAJOR_FAULTS Counter "process_major_page_faults_total" "Pages that were read from the disk.";
}

/// Every metric there is.
pub fn families() -> &'static [Family] {
    ALL
}
