//! The stock Rust client: every method that its default features do not add, and what it is to answer.

use qdrant_client::qdrant::{
    ClearPayloadPointsBuilder, ContextExamplePairBuilder, CountPointsBuilder, CreateAliasBuilder, CreateCollectionBuilder,
    CreateFieldIndexCollectionBuilder, CreateShardKeyBuilder, CreateShardKeyRequestBuilder, CreateVectorNameRequestBuilder,
    DeleteFieldIndexCollectionBuilder, DeletePayloadPointsBuilder, DeletePointVectorsBuilder, DeletePointsBuilder,
    DeleteShardKeyRequestBuilder, DeleteSnapshotRequestBuilder, DeleteVectorNameRequestBuilder, DenseVectorCreationConfigBuilder,
    DiscoverBatchPointsBuilder, DiscoverPointsBuilder, FacetCountsBuilder, GetPointsBuilder, MoveShardBuilder, OptimizersConfigDiffBuilder,
    QueryBatchPointsBuilder, QueryPointGroupsBuilder, QueryPointsBuilder, RecommendBatchPointsBuilder, RecommendPointGroupsBuilder,
    RecommendPointsBuilder, RenameAliasBuilder, ScrollPointsBuilder, SearchBatchPointsBuilder, SearchMatrixPointsBuilder,
    SearchPointGroupsBuilder, SearchPointsBuilder, SetPayloadPointsBuilder, UpdateBatchPointsBuilder, UpdateCollectionBuilder,
    UpdateCollectionClusterSetupRequestBuilder, UpdatePointVectorsBuilder, UpsertPointsBuilder, VectorParamsBuilder,
};
use qdrant_client::qdrant::{
    Condition, Distance, FieldType, Filter, PointId, PointStruct, PointVectors, PointsIdsList, PointsUpdateOperation, ScoredPoint,
    ShardingMethod, UpdateStatus, Value, points_selector::PointsSelectorOneOf, points_update_operation as update, shard_key,
    vector_example,
};
use qdrant_client::{Payload, Qdrant, QdrantError};
use tonic::Code;
use vectordb_server::{Server, config::Config};

const CITIES: [&str; 2] = ["Oslo", "Rome"];

/// A server with the collection `docs` of ten points, and a client of it.
struct Visit {
    client: Qdrant,
    server: Server,
    _directory: tempfile::TempDir,
}

impl Visit {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = Config::default();
        config.service.host = [127, 0, 0, 1].into();
        config.service.http_port = 0;
        config.service.grpc_port = Some(0);
        config.storage.storage_path = directory.path().join("storage");
        config.storage.snapshots_path = directory.path().join("snapshots");
        let server = vectordb_server::start(config).await.expect("a server");
        let address = server.grpc_address().expect("gRPC is on");
        let mut config = Qdrant::from_url(&format!("http://{address}"));
        config.check_connection = true;
        let client = tokio::task::spawn_blocking(move || config.build()).await.expect("no panic").expect("a client");
        let visit = Self { client, server, _directory: directory };
        visit.collection("docs").await;
        let points: Vec<PointStruct> = (0..10).map(point).collect();
        let done = visit.client.upsert_points_chunked(UpsertPointsBuilder::new("docs", points).wait(true), 4).await.expect("points");
        assert_eq!(done.result.expect("a result").status(), UpdateStatus::Completed);
        for (field, kind) in [("n", FieldType::Integer), ("city", FieldType::Keyword)] {
            let index = CreateFieldIndexCollectionBuilder::new("docs", field, kind).wait(true);
            visit.client.create_field_index(index).await.expect("an index");
        }
        visit
    }

    async fn collection(&self, name: &str) {
        let new = CreateCollectionBuilder::new(name).vectors_config(VectorParamsBuilder::new(2, Distance::Dot));
        assert!(self.client.create_collection(new).await.expect("a collection").result);
    }

    async fn count(&self, name: &str) -> u64 {
        self.client.count(CountPointsBuilder::new(name).exact(true)).await.expect("a count").result.expect("a result").count
    }

    async fn payload(&self, number: u64) -> Vec<(String, Value)> {
        let get = GetPointsBuilder::new("docs", vec![PointId::from(number)]).with_payload(true);
        let found = self.client.get_points(get).await.expect("points").result;
        let mut payload: Vec<_> = found[0].payload.clone().into_iter().collect();
        payload.sort_by(|(one, _), (other, _)| one.cmp(other));
        payload
    }
}

/// The larger the number, the larger the score for `[1, 0]`.
fn point(number: u8) -> PointStruct {
    let payload = [("n", Value::from(i64::from(number))), ("city", Value::from(CITIES[usize::from(number % 2)]))];
    PointStruct::new(u64::from(number), vec![f32::from(number), 1.0], payload)
}

fn selected(ids: &[u64]) -> PointsIdsList {
    PointsIdsList { ids: ids.iter().map(|&id| id.into()).collect() }
}

fn ids(points: &[ScoredPoint]) -> Vec<u64> {
    use qdrant_client::qdrant::point_id::PointIdOptions::{Num, Uuid};
    let number = |point: &ScoredPoint| match point.id.as_ref().and_then(|id| id.point_id_options.as_ref()) {
        Some(Num(number)) => *number,
        Some(Uuid(uuid)) => panic!("no number: {uuid}"),
        None => panic!("no id"),
    };
    points.iter().map(number).collect()
}

fn code<T: std::fmt::Debug>(answer: Result<T, QdrantError>) -> Code {
    match answer {
        Err(QdrantError::ResponseError { status }) => status.code(),
        other => panic!("not refused by the server: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_and_aliases_are_kept() {
    let visit = Visit::new().await;
    let client = &visit.client;
    assert!(client.health_check().await.expect("a reply").version.starts_with("1.20."));
    visit.collection("other").await;
    assert_eq!(code(client.create_collection(CreateCollectionBuilder::new("other")).await), Code::AlreadyExists);
    assert!(client.collection_exists("other").await.expect("an answer"));
    assert_eq!(client.list_collections().await.expect("a list").collections.len(), 2);
    let optimizers = OptimizersConfigDiffBuilder::default().indexing_threshold(77);
    assert!(client.update_collection(UpdateCollectionBuilder::new("other").optimizers_config(optimizers)).await.expect("changed").result);
    let info = client.collection_info("other").await.expect("an answer").result.expect("info");
    assert_eq!(info.config.and_then(|config| config.optimizer_config?.indexing_threshold), Some(77));

    client.create_alias(CreateAliasBuilder::new("docs", "papers")).await.expect("an alias");
    client.rename_alias(RenameAliasBuilder::new("papers", "articles")).await.expect("renamed");
    assert_eq!(client.list_aliases().await.expect("a list").aliases[0].alias_name, "articles");
    assert_eq!(client.list_collection_aliases("docs").await.expect("a list").aliases.len(), 1);
    assert_eq!(visit.count("articles").await, 10);
    client.delete_alias("articles").await.expect("it goes");

    let config = DenseVectorCreationConfigBuilder::new(3, Distance::Dot).build();
    let config = qdrant_client::qdrant::create_vector_name_request::VectorConfig::DenseConfig(config);
    client.create_vector_name(CreateVectorNameRequestBuilder::new("other", "more", config)).await.expect("a vector");
    client.delete_vector_name(DeleteVectorNameRequestBuilder::new("other", "more")).await.expect("no vector");
    assert!(client.delete_collection("other").await.expect("it goes").result);
    assert_eq!(code(client.collection_info("other").await), Code::NotFound);
    visit.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_are_written_and_read() {
    let visit = Visit::new().await;
    let client = &visit.client;
    client.upsert_points(UpsertPointsBuilder::new("docs", vec![point(20), point(21)]).wait(true)).await.expect("points");
    let page = client.scroll(ScrollPointsBuilder::new("docs").limit(11).with_vectors(true)).await.expect("a page");
    assert_eq!((page.result.len(), page.next_page_offset), (11, Some(PointId::from(21))));

    let set = SetPayloadPointsBuilder::new("docs", Payload::from([("k", Value::from(1_i64))]));
    client.set_payload(set.points_selector(selected(&[20])).wait(true)).await.expect("set");
    client
        .delete_payload(DeletePayloadPointsBuilder::new("docs", vec!["n".to_owned()]).points_selector(selected(&[20])).wait(true))
        .await
        .expect("deleted");
    let left = [("city".to_owned(), Value::from("Oslo")), ("k".to_owned(), Value::from(1_i64))];
    assert_eq!(visit.payload(20).await, left);
    let over = SetPayloadPointsBuilder::new("docs", Payload::from([("l", Value::from(2_i64))]));
    client.overwrite_payload(over.points_selector(selected(&[20])).wait(true)).await.expect("replaced");
    assert_eq!(visit.payload(20).await, [("l".to_owned(), Value::from(2_i64))]);
    client.clear_payload(ClearPayloadPointsBuilder::new("docs").points(selected(&[20])).wait(true)).await.expect("cleared");
    assert!(visit.payload(20).await.is_empty());

    let vectors = PointVectors { id: Some(20.into()), vectors: Some(vec![99.0, 0.0].into()) };
    client.update_vectors(UpdatePointVectorsBuilder::new("docs", vec![vectors]).wait(true)).await.expect("updated");
    let nearest = || QueryPointsBuilder::new("docs").query(vec![1.0, 0.0]).limit(1);
    assert_eq!(ids(&client.query(nearest()).await.expect("hits").result), [20]);
    let none = DeletePointVectorsBuilder::new("docs").points_selector(selected(&[20])).vectors(vec![String::new()]).wait(true);
    client.delete_vectors(none).await.expect("no vector");
    assert_eq!(ids(&client.query(nearest()).await.expect("hits").result), [21]);

    let list = update::PointStructList { points: vec![point(30)], ..Default::default() };
    let points = Some(PointsSelectorOneOf::Points(selected(&[21])).into());
    let delete = update::DeletePoints { points, ..Default::default() };
    let operations = [update::Operation::Upsert(list), update::Operation::DeletePoints(delete)];
    let operations: Vec<_> = operations.into_iter().map(|operation| PointsUpdateOperation { operation: Some(operation) }).collect();
    let done = client.update_points_batch(UpdateBatchPointsBuilder::new("docs", operations).wait(true)).await.expect("done");
    assert_eq!(done.result.len(), 2);
    let many = Filter::must([Condition::has_id([20, 30])]);
    client.delete_points(DeletePointsBuilder::new("docs").points(many).wait(true)).await.expect("deleted");
    assert_eq!(visit.count("docs").await, 10);
    let drop = DeleteFieldIndexCollectionBuilder::new("docs", "n").wait(true);
    client.delete_field_index(drop).await.expect("no index");
    let short = UpsertPointsBuilder::new("docs", vec![PointStruct::new(1, vec![1.0], Payload::default())]);
    assert_eq!(code(client.upsert_points(short).await), Code::InvalidArgument);
    visit.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_older_searches_agree() {
    let visit = Visit::new().await;
    let client = &visit.client;
    let nearest = || QueryPointsBuilder::new("docs").query(vec![1.0, 0.0]).limit(2);
    assert_eq!(ids(&client.query(nearest()).await.expect("hits").result), [9, 8]);
    let rome = Filter::must([Condition::matches("city", "Rome".to_owned())]);
    let batch = QueryBatchPointsBuilder::new("docs", vec![nearest().build(), nearest().filter(rome).build()]);
    let answers = client.query_batch(batch).await.expect("answers").result;
    assert_eq!(answers.iter().map(|answer| ids(&answer.result)).collect::<Vec<_>>(), [[9, 8], [9, 7]]);
    let groups = QueryPointGroupsBuilder::new("docs", "city").query(vec![1.0, 0.0]).group_size(1_u64);
    let groups = client.query_groups(groups).await.expect("groups").result.expect("a result").groups;
    assert_eq!(groups.iter().map(|group| ids(&group.hits)).collect::<Vec<_>>(), [[9], [8]]);
    let facet = client.facet(FacetCountsBuilder::new("docs", "city").exact(true)).await.expect("counts");
    assert_eq!(facet.hits.iter().map(|hit| hit.count).collect::<Vec<_>>(), [5, 5]);
    let matrix = || SearchMatrixPointsBuilder::new("docs").sample(4).limit(2);
    assert_eq!(client.search_matrix_pairs(matrix()).await.expect("pairs").result.expect("a result").pairs.len(), 8);
    assert_eq!(client.search_matrix_offsets(matrix()).await.expect("offsets").result.expect("a result").scores.len(), 8);

    let search = || SearchPointsBuilder::new("docs", vec![1.0, 0.0], 2);
    assert_eq!(ids(&client.search_points(search()).await.expect("hits").result), [9, 8]);
    let batch = SearchBatchPointsBuilder::new("docs", vec![search().build()]);
    assert_eq!(ids(&client.search_batch_points(batch).await.expect("answers").result[0].result), [9, 8]);
    let groups = SearchPointGroupsBuilder::new("docs", vec![1.0, 0.0], 2, "city", 1);
    assert_eq!(client.search_groups(groups).await.expect("groups").result.expect("a result").groups.len(), 2);
    let recommend = || RecommendPointsBuilder::new("docs", 2).add_positive(9_u64);
    assert_eq!(ids(&client.recommend(recommend()).await.expect("hits").result), [8, 7]);
    let batch = RecommendBatchPointsBuilder::new("docs", vec![recommend().build()]);
    assert_eq!(ids(&client.recommend_batch(batch).await.expect("answers").result[0].result), [8, 7]);
    let groups = RecommendPointGroupsBuilder::new("docs", "city", 1, 2).add_positive(9_u64);
    assert_eq!(client.recommend_groups(groups).await.expect("groups").result.expect("a result").groups.len(), 2);
    let example = |id: u64| vector_example::Example::Id(id.into());
    let pair = ContextExamplePairBuilder::default().positive(example(9)).negative(example(0)).build();
    let discover = || DiscoverPointsBuilder::new("docs", vec![pair.clone()], 2);
    assert_eq!(client.discover(discover()).await.expect("hits").result.len(), 2);
    let batch = DiscoverBatchPointsBuilder::new("docs", vec![discover().build()]).build();
    assert_eq!(client.discover_batch(&batch).await.expect("answers").result[0].result.len(), 2);
    visit.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_and_snapshots_are_kept() {
    let visit = Visit::new().await;
    let client = &visit.client;
    let info = client.collection_cluster_info("docs").await.expect("info");
    assert_eq!((info.shard_count, info.local_shards[0].points_count), (1, 10));
    let move_ = UpdateCollectionClusterSetupRequestBuilder::new("docs", MoveShardBuilder::new(0, 1, 2));
    assert_eq!(code(client.update_collection_cluster_setup(move_).await), Code::Unimplemented);
    let new = CreateCollectionBuilder::new("tenants").vectors_config(VectorParamsBuilder::new(2, Distance::Dot));
    client.create_collection(new.sharding_method(ShardingMethod::Custom.into())).await.expect("a collection");
    let key = shard_key::Key::Keyword("one".to_owned());
    let request = CreateShardKeyBuilder::default().shard_key(key.clone());
    client.create_shard_key(CreateShardKeyRequestBuilder::new("tenants").request(request)).await.expect("a key");
    assert_eq!(client.list_shard_keys("tenants").await.expect("keys").shard_keys.len(), 1);
    client.delete_shard_key(DeleteShardKeyRequestBuilder::new("tenants").key(key)).await.expect("it goes");

    let made = client.create_snapshot("docs").await.expect("a snapshot").snapshot_description.expect("a description");
    assert_eq!(client.list_snapshots("docs").await.expect("a list").snapshot_descriptions.len(), 1);
    client.delete_snapshot(DeleteSnapshotRequestBuilder::new("docs", made.name)).await.expect("it goes");
    let full = client.create_full_snapshot().await.expect("a snapshot").snapshot_description.expect("a description");
    assert_eq!(client.list_full_snapshots().await.expect("a list").snapshot_descriptions.len(), 1);
    client.delete_full_snapshot(full.name).await.expect("it goes");
    visit.server.stop().await;
}
