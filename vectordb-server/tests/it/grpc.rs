//! Every method of the gRPC API, called by the generated clients of the crate that publishes it.

use std::collections::HashMap;

use qdrant_client::qdrant as wire;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};
use vectordb_server::{Server, config::Config};
use wire::collections_client::CollectionsClient;
use wire::points_client::PointsClient;
use wire::qdrant_client::QdrantClient;
use wire::snapshots_client::SnapshotsClient;

/// A server with its data in a directory of its own, and clients of it.
struct House {
    server: Server,
    collections: CollectionsClient<Channel>,
    points: PointsClient<Channel>,
    snapshots: SnapshotsClient<Channel>,
    qdrant: QdrantClient<Channel>,
    channel: Channel,
    _directory: TempDir,
}

impl House {
    async fn open() -> Self {
        Self::with(Config::default()).await
    }

    /// A house that asks for keys.
    async fn locked() -> Self {
        let mut config = Config::default();
        config.service.api_key = Some("owner".to_owned());
        config.service.read_only_api_key = Some("reader".to_owned());
        Self::with(config).await
    }

    async fn with(mut config: Config) -> Self {
        let directory = TempDir::new().expect("a directory");
        config.service.host = [127, 0, 0, 1].into();
        config.service.http_port = 0;
        config.service.grpc_port = Some(0);
        config.storage.storage_path = directory.path().join("storage");
        config.storage.snapshots_path = directory.path().join("snapshots");
        let server = vectordb_server::start(config).await.expect("a server");
        let address = server.grpc_address().expect("gRPC is on");
        let channel = Channel::from_shared(format!("http://{address}")).expect("an address").connect().await.expect("a connection");
        Self {
            server,
            collections: CollectionsClient::new(channel.clone()),
            points: PointsClient::new(channel.clone()),
            snapshots: SnapshotsClient::new(channel.clone()),
            qdrant: QdrantClient::new(channel.clone()),
            channel,
            _directory: directory,
        }
    }

    /// A house with a collection `a`: ten points with a dense and a sparse vector and a payload.
    async fn furnished() -> Self {
        let mut house = Self::open().await;
        let dense = wire::VectorParams { size: 2, distance: wire::Distance::Dot.into(), ..Default::default() };
        let map = HashMap::from([(String::new(), dense)]);
        let vectors = wire::vectors_config::Config::ParamsMap(wire::VectorParamsMap { map });
        let sparse = wire::SparseVectorConfig { map: HashMap::from([("words".to_owned(), wire::SparseVectorParams::default())]) };
        let new = wire::CreateCollection {
            collection_name: "a".to_owned(),
            vectors_config: Some(wire::VectorsConfig { config: Some(vectors) }),
            sparse_vectors_config: Some(sparse),
            metadata: HashMap::from([("made".to_owned(), value("here"))]),
            ..Default::default()
        };
        let made = house.collections.create(new).await.expect("a collection").into_inner();
        assert!(made.result && made.time > 0.0);
        let points = (0..10_u8).map(point).collect();
        let upsert = wire::UpsertPoints { collection_name: "a".to_owned(), wait: Some(true), points, ..Default::default() };
        let done = house.points.upsert(upsert).await.expect("points").into_inner();
        assert_eq!(done.result.expect("a result").status(), wire::UpdateStatus::Completed);
        assert!(done.time > 0.0);
        house
    }

    async fn count(&mut self) -> u64 {
        let counted = self.points.count(wire::CountPoints { collection_name: "a".to_owned(), ..Default::default() }).await;
        counted.expect("a count").into_inner().result.expect("a result").count
    }

    async fn get(&mut self, ids: &[u64]) -> Vec<wire::RetrievedPoint> {
        let all = wire::WithVectorsSelector { selector_options: Some(wire::with_vectors_selector::SelectorOptions::Enable(true)) };
        let get = wire::GetPoints {
            collection_name: "a".to_owned(),
            ids: ids.iter().map(|&number| id(number)).collect(),
            with_vectors: Some(all),
            ..Default::default()
        };
        self.points.get(get).await.expect("points").into_inner().result
    }
}

fn id(number: u64) -> wire::PointId {
    wire::PointId { point_id_options: Some(wire::point_id::PointIdOptions::Num(number)) }
}

fn number(id: &Option<wire::PointId>) -> u64 {
    match id.as_ref().and_then(|id| id.point_id_options.as_ref()) {
        Some(wire::point_id::PointIdOptions::Num(number)) => *number,
        other => panic!("no number: {other:?}"),
    }
}

fn value(text: &str) -> wire::Value {
    wire::Value { kind: Some(wire::value::Kind::StringValue(text.to_owned())) }
}

fn whole(number: i64) -> wire::Value {
    wire::Value { kind: Some(wire::value::Kind::IntegerValue(number)) }
}

fn dense(data: &[f32]) -> wire::Vector {
    let dense = wire::DenseVector { data: data.to_vec() };
    wire::Vector { vector: Some(wire::vector::Vector::Dense(dense)), ..Default::default() }
}

fn vectors(named: impl IntoIterator<Item = (&'static str, wire::Vector)>) -> wire::Vectors {
    let vectors = named.into_iter().map(|(name, vector)| (name.to_owned(), vector)).collect();
    wire::Vectors { vectors_options: Some(wire::vectors::VectorsOptions::Vectors(wire::NamedVectors { vectors })) }
}

/// The point of a number: the larger the number, the larger its score for `[1, 0]`.
fn point(number: u8) -> wire::PointStruct {
    let sparse = wire::SparseVector { indices: vec![7], values: vec![f32::from(number) + 1.0] };
    let sparse = wire::Vector { vector: Some(wire::vector::Vector::Sparse(sparse)), ..Default::default() };
    let real = wire::Value { kind: Some(wire::value::Kind::DoubleValue(2.0)) };
    wire::PointStruct {
        id: Some(id(number.into())),
        payload: HashMap::from([
            ("n".to_owned(), whole(number.into())),
            ("real".to_owned(), real),
            ("city".to_owned(), value(["Oslo", "Rome"][usize::from(number % 2)])),
        ]),
        vectors: Some(vectors([("", dense(&[number.into(), 1.0])), ("words", sparse)])),
    }
}

fn of_ids(ids: &[u64]) -> Option<wire::PointsSelector> {
    let list = wire::PointsIdsList { ids: ids.iter().map(|&number| id(number)).collect() };
    Some(wire::PointsSelector { points_selector_one_of: Some(wire::points_selector::PointsSelectorOneOf::Points(list)) })
}

/// `city` is this.
fn in_city(city: &str) -> wire::Filter {
    let test = wire::Match { match_value: Some(wire::r#match::MatchValue::Keyword(city.to_owned())) };
    let field = wire::FieldCondition { key: "city".to_owned(), r#match: Some(test), ..Default::default() };
    let condition = wire::Condition { condition_one_of: Some(wire::condition::ConditionOneOf::Field(field)) };
    wire::Filter { must: vec![condition], ..Default::default() }
}

fn near(data: &[f32]) -> wire::VectorInput {
    wire::VectorInput { variant: Some(wire::vector_input::Variant::Dense(wire::DenseVector { data: data.to_vec() })) }
}

fn asked(variant: wire::query::Variant) -> wire::QueryPoints {
    let query = Some(wire::Query { variant: Some(variant) });
    wire::QueryPoints { collection_name: "a".to_owned(), query, limit: Some(3), ..Default::default() }
}

fn ids(hits: &[wire::ScoredPoint]) -> Vec<u64> {
    hits.iter().map(|hit| number(&hit.id)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_come_change_and_go() {
    let mut house = House::furnished().await;
    let name = || "a".to_owned();
    let names = house.collections.list(wire::ListCollectionsRequest {}).await.expect("a list").into_inner().collections;
    assert_eq!(names.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a"]);
    let exists = house.collections.collection_exists(wire::CollectionExistsRequest { collection_name: name() }).await;
    assert!(exists.expect("an answer").into_inner().result.expect("a result").exists);

    let changes = wire::UpdateCollection {
        collection_name: name(),
        hnsw_config: Some(wire::HnswConfigDiff { m: Some(24), ..Default::default() }),
        optimizers_config: Some(wire::OptimizersConfigDiff { indexing_threshold: Some(123), ..Default::default() }),
        strict_mode_config: Some(wire::StrictModeConfig { max_query_limit: Some(77), ..Default::default() }),
        ..Default::default()
    };
    assert!(house.collections.update(changes).await.expect("a change").into_inner().result);
    let info = house.collections.get(wire::GetCollectionInfoRequest { collection_name: name() }).await.expect("info").into_inner();
    let info = info.result.expect("a result");
    assert_eq!((info.status(), info.points_count), (wire::CollectionStatus::Green, Some(10)));
    let config = info.config.expect("a configuration");
    assert_eq!(config.hnsw_config.map(|hnsw| (hnsw.m, hnsw.ef_construct)), Some((Some(24), Some(100))));
    assert_eq!(config.optimizer_config.map(|optimizers| optimizers.indexing_threshold), Some(Some(123)));
    assert_eq!(config.strict_mode_config.and_then(|strict| strict.max_query_limit), Some(77));
    assert_eq!(config.metadata.get("made"), Some(&value("here")));
    assert!(config.params.and_then(|params| params.sparse_vectors_config).is_some_and(|sparse| sparse.map.contains_key("words")));

    let cluster = wire::CollectionClusterInfoRequest { collection_name: name() };
    let cluster = house.collections.collection_cluster_info(cluster).await.expect("info").into_inner();
    assert_eq!((cluster.shard_count, cluster.local_shards[0].points_count), (1, 10));

    let gone = house.collections.delete(wire::DeleteCollection { collection_name: name(), timeout: None }).await;
    assert!(gone.expect("an answer").into_inner().result);
    let missing = house.collections.get(wire::GetCollectionInfoRequest { collection_name: name() }).await.expect_err("it is gone");
    assert_eq!((missing.code(), missing.message()), (Code::NotFound, "Not found: Collection `a` doesn't exist!"));
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_lead_to_collections() {
    use wire::alias_operations::Action;
    let mut house = House::furnished().await;
    let change = |action| wire::ChangeAliases { actions: vec![wire::AliasOperations { action: Some(action) }], timeout: None };
    let new = Action::CreateAlias(wire::CreateAlias { collection_name: "a".to_owned(), alias_name: "b".to_owned() });
    house.collections.update_aliases(change(new)).await.expect("an alias");
    let rename = Action::RenameAlias(wire::RenameAlias { old_alias_name: "b".to_owned(), new_alias_name: "c".to_owned() });
    house.collections.update_aliases(change(rename)).await.expect("another alias");
    let all = house.collections.list_aliases(wire::ListAliasesRequest {}).await.expect("a list").into_inner().aliases;
    let of_a = wire::ListCollectionAliasesRequest { collection_name: "a".to_owned() };
    let of_a = house.collections.list_collection_aliases(of_a).await.expect("a list").into_inner().aliases;
    assert_eq!(all, of_a);
    assert_eq!((all[0].alias_name.as_str(), all[0].collection_name.as_str()), ("c", "a"));
    let counted = house.points.count(wire::CountPoints { collection_name: "c".to_owned(), ..Default::default() }).await;
    assert_eq!(counted.expect("a count").into_inner().result.map(|result| result.count), Some(10));
    let delete = Action::DeleteAlias(wire::DeleteAlias { alias_name: "c".to_owned() });
    house.collections.update_aliases(change(delete)).await.expect("no alias");
    assert!(house.collections.list_aliases(wire::ListAliasesRequest {}).await.expect("a list").into_inner().aliases.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn shard_keys_split_a_collection() {
    use wire::update_collection_cluster_setup_request::Operation;
    let mut house = House::open().await;
    let params = wire::VectorParams { size: 2, distance: wire::Distance::Cosine.into(), ..Default::default() };
    let name = || "custom".to_owned();
    let new = wire::CreateCollection {
        collection_name: name(),
        vectors_config: Some(wire::VectorsConfig { config: Some(wire::vectors_config::Config::Params(params)) }),
        sharding_method: Some(wire::ShardingMethod::Custom.into()),
        ..Default::default()
    };
    house.collections.create(new).await.expect("a collection");
    let key = |word: &str| wire::ShardKey { key: Some(wire::shard_key::Key::Keyword(word.to_owned())) };
    let made = |word: &str| wire::CreateShardKey { shard_key: Some(key(word)), ..Default::default() };
    let request = wire::CreateShardKeyRequest { collection_name: name(), request: Some(made("x")), timeout: None };
    assert!(house.collections.create_shard_key(request).await.expect("a key").into_inner().result);
    let setup =
        |operation| wire::UpdateCollectionClusterSetupRequest { collection_name: name(), operation: Some(operation), timeout: None };
    house.collections.update_collection_cluster_setup(setup(Operation::CreateShardKey(made("y")))).await.expect("a key");
    let alone = house.collections.update_collection_cluster_setup(setup(Operation::DropReplica(wire::Replica::default()))).await;
    assert_eq!(alone.expect_err("there is but one node").code(), Code::Unimplemented);

    let selected = |word: &str, fallback: Option<&str>| wire::ShardKeySelector { shard_keys: vec![key(word)], fallback: fallback.map(key) };
    let point = wire::PointStruct { id: Some(id(1)), vectors: Some(vectors([("", dense(&[1.0, 0.0]))])), ..Default::default() };
    let upsert = wire::UpsertPoints {
        collection_name: name(),
        points: vec![point],
        shard_key_selector: Some(selected("nowhere", Some("y"))),
        ..Default::default()
    };
    house.points.upsert(upsert).await.expect("it falls back on y");
    for (word, expected) in [("x", 0), ("y", 1)] {
        let count = wire::CountPoints { collection_name: name(), shard_key_selector: Some(selected(word, None)), ..Default::default() };
        let counted = house.points.count(count).await.expect("a count").into_inner();
        assert_eq!(counted.result.map(|result| result.count), Some(expected), "{word}");
    }
    let delete = wire::DeleteShardKey { shard_key: Some(key("x")) };
    let delete = wire::DeleteShardKeyRequest { collection_name: name(), request: Some(delete), timeout: None };
    assert!(house.collections.delete_shard_key(delete).await.expect("no key").into_inner().result);
    let keys = house.collections.list_shard_keys(wire::ListShardKeysRequest { collection_name: name() }).await.expect("keys").into_inner();
    assert_eq!(keys.shard_keys, [wire::ShardKeyDescription { key: Some(key("y")) }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn points_are_read_as_they_were_written() {
    let mut house = House::furnished().await;
    let found = house.get(&[3, 99, 1]).await;
    assert_eq!(found.iter().map(|point| number(&point.id)).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(found[0].payload, point(3).payload, "whole and other numbers stay apart");
    let Some(wire::vectors_output::VectorsOptions::Vectors(named)) = found[0].vectors.clone().and_then(|all| all.vectors_options) else {
        panic!("two vectors have names: {:?}", found[0].vectors);
    };
    let sparse = wire::SparseVector { indices: vec![7], values: vec![4.0] };
    assert_eq!(named.vectors["words"].vector, Some(wire::vector_output::Vector::Sparse(sparse)));

    let order_by = wire::OrderBy { key: "n".to_owned(), direction: Some(wire::Direction::Desc.into()), start_from: None };
    let scroll = wire::ScrollPoints { collection_name: "a".to_owned(), limit: Some(4), ..Default::default() };
    let page = house.points.scroll(scroll.clone()).await.expect("a page").into_inner();
    assert_eq!((page.result.len(), number(&page.next_page_offset)), (4, 4));
    assert!(!page.result[0].payload.is_empty(), "payloads come unless told otherwise");
    index(&mut house, "n", wire::FieldType::Integer).await;
    let page = house.points.scroll(wire::ScrollPoints { order_by: Some(order_by), ..scroll }).await.expect("a page").into_inner();
    let values: Vec<_> = page.result.iter().map(|point| point.order_value.and_then(|value| value.variant)).collect();
    assert_eq!(values[0], Some(wire::order_value::Variant::Int(9)));
    assert_eq!(page.result.iter().map(|point| number(&point.id)).collect::<Vec<_>>(), [9, 8, 7, 6]);

    index(&mut house, "city", wire::FieldType::Keyword).await;
    let facet = wire::FacetCounts { collection_name: "a".to_owned(), key: "city".to_owned(), ..Default::default() };
    let hits = house.points.facet(facet).await.expect("a facet").into_inner().hits;
    assert_eq!(hits.iter().map(|hit| hit.count).collect::<Vec<_>>(), [5, 5]);
    let matrix = wire::SearchMatrixPoints { collection_name: "a".to_owned(), sample: Some(10), limit: Some(2), ..Default::default() };
    let pairs = house.points.search_matrix_pairs(matrix.clone()).await.expect("pairs").into_inner().result.expect("a result");
    let offsets = house.points.search_matrix_offsets(matrix).await.expect("offsets").into_inner().result.expect("a result");
    assert_eq!((pairs.pairs.len(), offsets.scores.len(), offsets.ids.len()), (20, 20, 10));
}

async fn index(house: &mut House, field: &str, kind: wire::FieldType) {
    let index = wire::CreateFieldIndexCollection {
        collection_name: "a".to_owned(),
        wait: Some(true),
        field_name: field.to_owned(),
        field_type: Some(kind.into()),
        ..Default::default()
    };
    house.points.create_field_index(index).await.expect("an index");
}

#[tokio::test(flavor = "multi_thread")]
async fn points_change_by_every_method() {
    let mut house = House::furnished().await;
    let name = || "a".to_owned();
    let set = |payload: &[(&str, i64)], ids: &[u64]| wire::SetPayloadPoints {
        collection_name: name(),
        payload: payload.iter().map(|&(key, number)| (key.to_owned(), whole(number))).collect(),
        points_selector: of_ids(ids),
        ..Default::default()
    };
    house.points.set_payload(set(&[("new", 1)], &[0, 1])).await.expect("set");
    house.points.overwrite_payload(set(&[("only", 2)], &[1])).await.expect("overwritten");
    let delete = wire::DeletePayloadPoints {
        collection_name: name(),
        keys: vec!["n".to_owned(), "real".to_owned()],
        points_selector: of_ids(&[0]),
        ..Default::default()
    };
    house.points.delete_payload(delete).await.expect("deleted");
    house
        .points
        .clear_payload(wire::ClearPayloadPoints { collection_name: name(), points: of_ids(&[2]), ..Default::default() })
        .await
        .expect("cleared");
    let found = house.get(&[0, 1, 2]).await;
    assert_eq!(found[0].payload, HashMap::from([("new".to_owned(), whole(1)), ("city".to_owned(), value("Oslo"))]));
    assert_eq!(found[1].payload, HashMap::from([("only".to_owned(), whole(2))]));
    assert!(found[2].payload.is_empty());

    let moved = wire::PointVectors { id: Some(id(0)), vectors: Some(vectors([("", dense(&[100.0, 0.0]))])) };
    let update = wire::UpdatePointVectors { collection_name: name(), points: vec![moved], ..Default::default() };
    house.points.update_vectors(update).await.expect("vectors");
    let words = wire::VectorsSelector { names: vec!["words".to_owned()] };
    let delete =
        wire::DeletePointVectors { collection_name: name(), points_selector: of_ids(&[0]), vectors: Some(words), ..Default::default() };
    house.points.delete_vectors(delete).await.expect("fewer vectors");
    let left = house.get(&[0]).await[0].vectors.clone().and_then(|vectors| vectors.vectors_options);
    let Some(wire::vectors_output::VectorsOptions::Vector(only)) = left else { panic!("one vector has no name: {left:?}") };
    assert_eq!(only.vector, Some(wire::vector_output::Vector::Dense(wire::DenseVector { data: vec![100.0, 0.0] })));

    let filter = wire::PointsSelector { points_selector_one_of: Some(wire::points_selector::PointsSelectorOneOf::Filter(in_city("Rome"))) };
    house.points.delete(wire::DeletePoints { collection_name: name(), points: Some(filter), ..Default::default() }).await.expect("deleted");
    // Four of Rome's five: the payload of point 1 no longer says so.
    assert_eq!(house.count().await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_does_all_kinds_of_updates() {
    use wire::points_update_operation as operation;
    use wire::points_update_operation::Operation;
    let mut house = House::furnished().await;
    let payload = |key: &str| HashMap::from([(key.to_owned(), whole(1))]);
    let points_selector = of_ids(&[0]);
    let moved = wire::PointVectors { id: Some(id(0)), vectors: Some(vectors([("", dense(&[5.0, 5.0]))])) };
    let vectors = Some(wire::VectorsSelector { names: vec!["words".to_owned()] });
    let keys = vec!["set".to_owned()];
    #[expect(deprecated, reason = "older clients send the older operations")]
    let operations = vec![
        Operation::Upsert(operation::PointStructList { points: vec![point(20), point(21), point(22)], ..Default::default() }),
        Operation::OverwritePayload(operation::OverwritePayload {
            payload: payload("over"),
            points_selector: points_selector.clone(),
            ..Default::default()
        }),
        Operation::SetPayload(operation::SetPayload {
            payload: payload("set"),
            points_selector: points_selector.clone(),
            ..Default::default()
        }),
        Operation::DeletePayload(operation::DeletePayload { keys, points_selector: points_selector.clone(), ..Default::default() }),
        Operation::UpdateVectors(operation::UpdateVectors { points: vec![moved], ..Default::default() }),
        Operation::DeleteVectors(operation::DeleteVectors { points_selector, vectors, ..Default::default() }),
        Operation::DeletePoints(operation::DeletePoints { points: of_ids(&[20]), ..Default::default() }),
        Operation::DeleteDeprecated(of_ids(&[21]).expect("a selector")),
        Operation::ClearPayload(operation::ClearPayload { points: of_ids(&[1]), ..Default::default() }),
        Operation::ClearPayloadDeprecated(of_ids(&[2]).expect("a selector")),
    ];
    let many = operations.len();
    let operations = operations.into_iter().map(|operation| wire::PointsUpdateOperation { operation: Some(operation) }).collect();
    let batch = wire::UpdateBatchPoints { collection_name: "a".to_owned(), wait: Some(true), operations, ..Default::default() };
    let done = house.points.update_batch(batch).await.expect("a batch").into_inner().result;
    assert_eq!(done.len(), many);
    assert!(done.iter().all(|done| done.status() == wire::UpdateStatus::Completed));
    assert_eq!(house.count().await, 11);
    let found = house.get(&[0, 1, 2, 20, 21, 22]).await;
    assert_eq!(found.iter().map(|point| number(&point.id)).collect::<Vec<_>>(), [0, 1, 2, 22]);
    assert_eq!(found[0].payload, payload("over"));
    assert!(found[1].payload.is_empty() && found[2].payload.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_and_vectors_come_and_go() {
    use wire::create_vector_name_request::VectorConfig;
    use wire::payload_index_params::IndexParams;
    let mut house = House::furnished().await;
    let name = || "a".to_owned();
    let text = wire::TextIndexParams {
        tokenizer: wire::TokenizerType::Word.into(),
        lowercase: Some(true),
        scoring: Some(wire::TextScoringParams::default()),
        ..Default::default()
    };
    let params = wire::PayloadIndexParams { index_params: Some(IndexParams::TextIndexParams(text.clone())) };
    let index = wire::CreateFieldIndexCollection {
        collection_name: name(),
        field_name: "city".to_owned(),
        field_index_params: Some(params),
        ..Default::default()
    };
    house.points.create_field_index(index).await.expect("an index");
    let words = wire::TextQuery { query: "oslo".to_owned(), scoring: None };
    let ranked = wire::QueryPoints { using: Some("city".to_owned()), limit: Some(10), ..asked(wire::query::Variant::Text(words)) };
    assert_eq!(house.points.query(ranked).await.expect("hits").into_inner().result.len(), 5);
    let schema = async |house: &mut House| {
        let info = house.collections.get(wire::GetCollectionInfoRequest { collection_name: name() }).await.expect("info").into_inner();
        info.result.expect("a result").payload_schema
    };
    let known = schema(&mut house).await;
    assert_eq!(known["city"].data_type(), wire::PayloadSchemaType::Text);
    assert_eq!(known["city"].params.clone().and_then(|params| params.index_params), Some(IndexParams::TextIndexParams(text)));
    let drop = wire::DeleteFieldIndexCollection { collection_name: name(), field_name: "city".to_owned(), ..Default::default() };
    house.points.delete_field_index(drop).await.expect("no index");
    assert!(schema(&mut house).await.is_empty());

    let new = wire::DenseVectorCreationConfig { size: 3, distance: wire::Distance::Euclid.into(), ..Default::default() };
    let new = wire::CreateVectorNameRequest {
        collection_name: name(),
        vector_name: "more".to_owned(),
        vector_config: Some(VectorConfig::DenseConfig(new)),
        ..Default::default()
    };
    house.points.create_vector_name(new).await.expect("a vector");
    let more = wire::PointVectors { id: Some(id(4)), vectors: Some(vectors([("more", dense(&[0.0, 0.0, 2.0]))])) };
    house
        .points
        .update_vectors(wire::UpdatePointVectors { collection_name: name(), points: vec![more], ..Default::default() })
        .await
        .expect("stored");
    let query = wire::QueryPoints { using: Some("more".to_owned()), ..asked(wire::query::Variant::Nearest(near(&[0.0, 0.0, 0.0]))) };
    let hits = house.points.query(query).await.expect("hits").into_inner().result;
    assert_eq!((ids(&hits), hits[0].score), (vec![4], 2.0));
    let drop = wire::DeleteVectorNameRequest { collection_name: name(), vector_name: "more".to_owned(), ..Default::default() };
    house.points.delete_vector_name(drop).await.expect("no vector");
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_of_every_kind_are_answered() {
    use wire::query::Variant;
    let mut house = House::furnished().await;
    index(&mut house, "n", wire::FieldType::Integer).await;
    let by_id = |number| wire::VectorInput { variant: Some(wire::vector_input::Variant::Id(id(number))) };
    let pair = || wire::ContextInputPair { positive: Some(by_id(9)), negative: Some(by_id(0)) };
    let context = || wire::ContextInput { pairs: vec![pair()] };
    let naive = wire::feedback_strategy::Variant::Naive(wire::NaiveFeedbackStrategy { a: 1.0, b: 1.0, c: 1.0 });
    let feedback = wire::RelevanceFeedbackInput {
        target: Some(near(&[1.0, 0.0])),
        feedback: vec![
            wire::FeedbackItem { example: Some(by_id(9)), score: 0.9 },
            wire::FeedbackItem { example: Some(by_id(0)), score: 0.1 },
        ],
        strategy: Some(wire::FeedbackStrategy { variant: Some(naive) }),
    };
    let variable = |name: &str| wire::Expression { variant: Some(wire::expression::Variant::Variable(name.to_owned())) };
    let sum = wire::SumExpression { sum: vec![variable("$score"), variable("n")] };
    let formula = wire::Expression { variant: Some(wire::expression::Variant::Sum(sum)) };
    let prefetch = || vec![wire::PrefetchQuery { query: asked(Variant::Nearest(near(&[1.0, 0.0]))).query, ..Default::default() }];
    let staged = |variant| wire::QueryPoints { prefetch: prefetch(), ..asked(variant) };
    let order = wire::OrderBy { key: "n".to_owned(), direction: Some(wire::Direction::Desc.into()), start_from: None };
    let mmr = wire::NearestInputWithMmr {
        nearest: Some(near(&[1.0, 0.0])),
        mmr: Some(wire::Mmr { diversity: Some(0.0), candidates_limit: None }),
    };
    for (query, best) in [
        (asked(Variant::Nearest(near(&[1.0, 0.0]))), Some(9)),
        (asked(Variant::NearestWithMmr(mmr)), Some(9)),
        (asked(Variant::Recommend(wire::RecommendInput { positive: vec![by_id(8)], ..Default::default() })), Some(9)),
        (asked(Variant::Discover(wire::DiscoverInput { target: Some(near(&[1.0, 0.0])), context: Some(context()) })), None),
        (asked(Variant::Context(context())), None),
        (asked(Variant::OrderBy(order)), Some(9)),
        (staged(Variant::Fusion(wire::Fusion::Rrf.into())), Some(9)),
        (staged(Variant::Fusion(wire::Fusion::Dbsf.into())), Some(9)),
        (staged(Variant::Rrf(wire::Rrf { k: Some(60), weights: vec![1.0] })), Some(9)),
        (staged(Variant::Formula(wire::Formula { expression: Some(formula), defaults: HashMap::new() })), Some(9)),
        (asked(Variant::Sample(wire::Sample::Random.into())), None),
        (asked(Variant::RelevanceFeedback(feedback)), None),
    ] {
        let text = format!("{query:?}");
        let hits = house.points.query(query).await.unwrap_or_else(|error| panic!("{text}: {error}")).into_inner().result;
        assert_eq!(hits.len(), 3, "{text}");
        assert!(best.is_none_or(|best| ids(&hits)[0] == best), "{text}: {hits:?}");
        assert!(hits[0].payload.is_empty(), "payloads of queries come only when told to: {text}");
    }

    let one = asked(Variant::Nearest(near(&[1.0, 0.0])));
    let two = wire::QueryPoints { filter: Some(in_city("Oslo")), collection_name: String::new(), ..one.clone() };
    let batch = wire::QueryBatchPoints { collection_name: "a".to_owned(), query_points: vec![one, two], ..Default::default() };
    let answers = house.points.query_batch(batch).await.expect("answers").into_inner().result;
    assert_eq!(answers.iter().map(|answer| ids(&answer.result)).collect::<Vec<_>>(), [[9, 8, 7], [8, 6, 4]]);
    let groups = wire::QueryPointGroups {
        collection_name: "a".to_owned(),
        query: asked(Variant::Nearest(near(&[1.0, 0.0]))).query,
        group_by: "city".to_owned(),
        group_size: Some(2),
        ..Default::default()
    };
    let groups = house.points.query_groups(groups).await.expect("groups").into_inner().result.expect("a result").groups;
    assert_eq!(groups.iter().map(|group| ids(&group.hits)).collect::<Vec<_>>(), [[9, 7], [8, 6]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_ask_how_a_query_was_answered_and_for_a_recall() {
    let mut house = House::furnished().await;
    let dense = wire::vector_input::Variant::Dense(wire::DenseVector { data: vec![1.0, 0.0] });
    let nearest = wire::query::Variant::Nearest(wire::VectorInput { variant: Some(dense) });
    let query =
        wire::QueryPoints { collection_name: "a".to_owned(), query: Some(wire::Query { variant: Some(nearest) }), ..Default::default() };
    let asked = |wishes: &[(&'static str, &str)]| {
        let mut request = tonic::Request::new(query.clone());
        for (name, value) in wishes {
            request.metadata_mut().insert(*name, value.parse().expect("ASCII"));
        }
        request
    };
    let answer = house.points.query(asked(&[("x-vdb-explain", "true"), ("x-vdb-recall", "0.9")])).await.expect("an answer");
    let told = answer.metadata().get("x-vdb-explain").expect("an explanation").to_str().expect("ASCII").to_owned();
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told[0][0]["searches"][0]["recall"], 0.9);
    assert_eq!(answer.into_inner().result.len(), 10);
    let plain = house.points.query(asked(&[])).await.expect("an answer");
    assert!(plain.metadata().get("x-vdb-explain").is_none());
    let refused = house.points.query(asked(&[("x-vdb-recall", "7")])).await.expect_err("no recall");
    assert_eq!(refused.code(), Code::InvalidArgument);
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(deprecated, reason = "the searches from before queries are served")]
async fn older_searches_are_queries_in_other_words() {
    let mut house = House::furnished().await;
    let name = || "a".to_owned();
    let search = wire::SearchPoints { collection_name: name(), vector: vec![1.0, 0.0], limit: 2, ..Default::default() };
    assert_eq!(ids(&house.points.search(search.clone()).await.expect("hits").into_inner().result), [9, 8]);
    let sparse = wire::SearchPoints {
        vector: vec![1.0],
        sparse_indices: Some(wire::SparseIndices { data: vec![7] }),
        vector_name: Some("words".to_owned()),
        ..search.clone()
    };
    let batch = wire::SearchBatchPoints { collection_name: name(), search_points: vec![search, sparse], ..Default::default() };
    let answers = house.points.search_batch(batch).await.expect("answers").into_inner().result;
    assert_eq!(answers.iter().map(|answer| ids(&answer.result)).collect::<Vec<_>>(), [[9, 8], [9, 8]]);
    let groups = wire::SearchPointGroups {
        collection_name: name(),
        vector: vec![1.0, 0.0],
        limit: 2,
        group_by: "city".to_owned(),
        group_size: 1,
        ..Default::default()
    };
    let groups = house.points.search_groups(groups).await.expect("groups").into_inner().result.expect("a result").groups;
    assert_eq!(groups.iter().map(|group| ids(&group.hits)).collect::<Vec<_>>(), [[9], [8]]);

    let recommend = wire::RecommendPoints { collection_name: name(), positive: vec![id(9)], limit: 2, ..Default::default() };
    assert_eq!(ids(&house.points.recommend(recommend.clone()).await.expect("hits").into_inner().result), [8, 7]);
    let old = wire::Vector { data: vec![1.0, 0.0], ..Default::default() };
    let by_vector = wire::RecommendPoints { positive: Vec::new(), positive_vectors: vec![old], ..recommend.clone() };
    let batch = wire::RecommendBatchPoints { collection_name: name(), recommend_points: vec![recommend, by_vector], ..Default::default() };
    let answers = house.points.recommend_batch(batch).await.expect("answers").into_inner().result;
    assert_eq!(answers.iter().map(|answer| ids(&answer.result)).collect::<Vec<_>>(), [[8, 7], [9, 8]]);
    let groups = wire::RecommendPointGroups {
        collection_name: name(),
        positive: vec![id(9)],
        limit: 2,
        group_by: "city".to_owned(),
        group_size: 1,
        ..Default::default()
    };
    let groups = house.points.recommend_groups(groups).await.expect("groups").into_inner().result.expect("a result").groups;
    assert_eq!(groups.iter().map(|group| ids(&group.hits)).collect::<Vec<_>>(), [[8], [7]]);

    let example = |number| wire::VectorExample { example: Some(wire::vector_example::Example::Id(id(number))) };
    let pair = wire::ContextExamplePair { positive: Some(example(9)), negative: Some(example(0)) };
    let target = wire::TargetVector { target: Some(wire::target_vector::Target::Single(example(9))) };
    let discover =
        wire::DiscoverPoints { collection_name: name(), target: Some(target), context: vec![pair], limit: 2, ..Default::default() };
    assert_eq!(ids(&house.points.discover(discover.clone()).await.expect("hits").into_inner().result), [8, 7]);
    let batch = wire::DiscoverBatchPoints { collection_name: name(), discover_points: vec![discover], ..Default::default() };
    assert_eq!(house.points.discover_batch(batch).await.expect("answers").into_inner().result.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_with_their_reason() {
    use wire::query::Variant;
    let mut house = House::furnished().await;
    let refused = |answer: Result<tonic::Response<wire::QueryResponse>, Status>, words: &str| {
        let error = answer.expect_err(words);
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(error.message().contains(words), "{error}");
    };
    refused(house.points.query(asked(Variant::Nearest(near(&[1.0])))).await, "expected dim: 2, got 1");
    refused(house.points.query(asked(Variant::Nearest(wire::VectorInput { variant: None }))).await, "`vector` is missing");
    refused(house.points.query(asked(Variant::Fusion(9))).await, "9 stands for no `fusion`");
    let nothing = wire::QueryPoints { limit: Some(0), ..asked(Variant::Nearest(near(&[1.0, 0.0]))) };
    refused(house.points.query(nothing).await, "limit: value 0 invalid");
    let mut deep = vec![wire::PrefetchQuery::default()];
    for _ in 0..20 {
        deep = vec![wire::PrefetchQuery { prefetch: deep, ..Default::default() }];
    }
    refused(house.points.query(wire::QueryPoints { prefetch: deep, ..asked(Variant::Nearest(near(&[1.0, 0.0]))) }).await, "deeper than");
    let bad = wire::PointStruct { id: Some(id(50)), vectors: Some(vectors([("", dense(&[f32::NAN, 0.0]))])), ..Default::default() };
    let upsert = wire::UpsertPoints { collection_name: "a".to_owned(), points: vec![point(49), bad], ..Default::default() };
    assert_eq!(house.points.upsert(upsert).await.expect_err("a vector is no vector").code(), Code::InvalidArgument);
    assert_eq!(house.count().await, 10, "nothing of it was written");
    let word = wire::PointId { point_id_options: Some(wire::point_id::PointIdOptions::Uuid("word".to_owned())) };
    let get = wire::GetPoints { collection_name: "a".to_owned(), ids: vec![word], ..Default::default() };
    assert_eq!(house.points.get(get).await.expect_err("no id").code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_and_compressed_messages_pass() {
    use tonic::codec::CompressionEncoding::Gzip;
    let house = House::furnished().await;
    let mut points = house.points.clone().max_decoding_message_size(usize::MAX).send_compressed(Gzip).accept_compressed(Gzip);
    // Larger than the 4 MiB that are common, both ways.
    let text = "x".repeat(8 << 20);
    let mut large = point(30);
    large.payload.insert("text".to_owned(), value(&text));
    let upsert = wire::UpsertPoints { collection_name: "a".to_owned(), points: vec![large], ..Default::default() };
    points.upsert(upsert).await.expect("a large point");
    let get = wire::GetPoints { collection_name: "a".to_owned(), ids: vec![id(30)], ..Default::default() };
    let found = points.get(get).await.expect("a large answer");
    assert_eq!(found.metadata().get("grpc-encoding").and_then(|encoding| encoding.to_str().ok()), Some("gzip"));
    assert_eq!(found.into_inner().result[0].payload["text"], value(&text));
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_made_listed_and_deleted() {
    let mut house = House::furnished().await;
    let create = wire::CreateSnapshotRequest { collection_name: "a".to_owned() };
    let made = house.snapshots.create(create).await.expect("a snapshot").into_inner().snapshot_description.expect("a description");
    assert!(made.name.starts_with("a-") && made.size > 0 && made.creation_time.is_some(), "{made:?}");
    let list = || wire::ListSnapshotsRequest { collection_name: "a".to_owned() };
    assert_eq!(house.snapshots.list(list()).await.expect("a list").into_inner().snapshot_descriptions, std::slice::from_ref(&made));
    let delete = wire::DeleteSnapshotRequest { collection_name: "a".to_owned(), snapshot_name: made.name };
    house.snapshots.delete(delete.clone()).await.expect("it goes");
    assert_eq!(house.snapshots.delete(delete).await.expect_err("it is gone").code(), Code::NotFound);
    let made = house.snapshots.create_full(wire::CreateFullSnapshotRequest {}).await.expect("a snapshot").into_inner();
    let name = made.snapshot_description.expect("a description").name;
    let listed = house.snapshots.list_full(wire::ListFullSnapshotsRequest {}).await.expect("a list").into_inner();
    assert_eq!(listed.snapshot_descriptions.len(), 1);
    house.snapshots.delete_full(wire::DeleteFullSnapshotRequest { snapshot_name: name }).await.expect("it goes");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_key_is_turned_away_and_who_may_read_only_cannot_write() {
    let mut house = House::locked().await;
    let list = || tonic::Request::new(wire::ListCollectionsRequest {});
    assert_eq!(house.collections.list(list()).await.expect_err("no key").code(), Code::Unauthenticated);
    let with = |key: &'static str| {
        let mut request = list();
        request.metadata_mut().insert("api-key", key.parse().expect("a key"));
        request
    };
    assert_eq!(house.collections.list(with("wrong")).await.expect_err("a wrong key").code(), Code::Unauthenticated);
    house.collections.list(with("reader")).await.expect("it may read");
    let mut delete = tonic::Request::new(wire::DeleteCollection { collection_name: "a".to_owned(), timeout: None });
    delete.metadata_mut().insert("api-key", "reader".parse().expect("a key"));
    assert_eq!(house.collections.delete(delete).await.expect_err("it may not write").code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_what_it_is_and_stops() {
    let mut house = House::furnished().await;
    let reply = house.qdrant.health_check(wire::HealthCheckRequest {}).await.expect("a reply").into_inner();
    assert_eq!(reply.version, "1.20.0");
    let mut health = tonic_health::pb::health_client::HealthClient::new(house.channel.clone());
    for service in ["", "qdrant.Qdrant", "qdrant.Points"] {
        let check = tonic_health::pb::HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(check).await.expect("a reply").into_inner().status, 1, "{service}");
    }
    // Clients that stay connected do not keep it from stopping.
    house.server.stop().await;
    assert!(house.qdrant.health_check(wire::HealthCheckRequest {}).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_refusals_carry_the_id_of_their_request() {
    let mut house = House::furnished().await;
    let named = |collection: &str, id: Option<&'static str>| {
        let mut request = tonic::Request::new(wire::CountPoints { collection_name: collection.to_owned(), ..Default::default() });
        if let Some(id) = id {
            request.metadata_mut().insert("x-request-id", id.parse().expect("plain text"));
        }
        request
    };
    let id_of = |metadata: &tonic::metadata::MetadataMap| metadata.get("x-request-id").map(|id| id.to_str().expect("text").to_owned());
    let answered = house.points.count(named("a", Some("job-7"))).await.expect("a count");
    assert_eq!(id_of(answered.metadata()).as_deref(), Some("job-7"));
    let refused = house.points.count(named("none", Some("job-8"))).await.expect_err("there is no such collection");
    assert_eq!((refused.code(), id_of(refused.metadata()).as_deref()), (Code::NotFound, Some("job-8")));
    let made = house.points.count(named("a", None)).await.expect("a count");
    assert_eq!(id_of(made.metadata()).map(|id| id.len()), Some(36));
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consistency_and_ordering_are_checked() {
    use wire::read_consistency::Value;
    let mut house = House::furnished().await;
    for (value, good) in [(Value::Type(2), true), (Value::Factor(3), true), (Value::Type(3), false), (Value::Factor(0), false)] {
        let consistency = Some(wire::ReadConsistency { value: Some(value) });
        let count = wire::CountPoints { collection_name: "a".to_owned(), read_consistency: consistency, ..Default::default() };
        let answer = house.points.count(count).await.map_err(|status| status.code());
        assert_eq!(answer.is_ok(), good, "{value:?}");
        let query = wire::QueryPoints { collection_name: "a".to_owned(), ..Default::default() };
        let batch = wire::QueryBatchPoints {
            collection_name: "a".to_owned(),
            query_points: vec![query],
            read_consistency: consistency,
            ..Default::default()
        };
        let answer = house.points.query_batch(batch).await.map_err(|status| status.code());
        assert_eq!(answer.map(|_| ()), if good { Ok(()) } else { Err(Code::InvalidArgument) }, "{value:?}");
    }
    for (ordering, good) in [(0, true), (2, true), (3, false)] {
        let ordering = Some(wire::WriteOrdering { r#type: ordering });
        let upsert = wire::UpsertPoints { collection_name: "a".to_owned(), points: vec![point(1)], ordering, ..Default::default() };
        let answer = house.points.upsert(upsert).await.map_err(|status| status.code());
        assert_eq!(answer.map(|_| ()), if good { Ok(()) } else { Err(Code::InvalidArgument) });
        let index = wire::DeleteFieldIndexCollection {
            collection_name: "a".to_owned(),
            field_name: "none".to_owned(),
            ordering,
            ..Default::default()
        };
        assert_eq!(house.points.delete_field_index(index).await.is_ok(), good);
    }
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_mode_holds_at_this_door_too() {
    let mut house = House::furnished().await;
    let strict = wire::StrictModeConfig {
        enabled: Some(true),
        max_query_limit: Some(5),
        search_max_batchsize: Some(1),
        read_rate_limit: Some(2),
        ..Default::default()
    };
    let change = wire::UpdateCollection { collection_name: "a".to_owned(), strict_mode_config: Some(strict), ..Default::default() };
    house.collections.update(change).await.expect("limits");
    let query = |limit: u64| wire::QueryPoints { collection_name: "a".to_owned(), limit: Some(limit), ..Default::default() };
    let refused = house.points.query(query(6)).await.expect_err("too many");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("Limit exceeded 6 > 5 for \"limit\""), "{}", refused.message());
    let batch = wire::QueryBatchPoints { collection_name: "a".to_owned(), query_points: vec![query(1), query(1)], ..Default::default() };
    assert_eq!(house.points.query_batch(batch).await.expect_err("too many").code(), Code::InvalidArgument);
    for _ in 0..2 {
        house.points.query(query(5)).await.expect("as many as allowed");
    }
    let refused = house.points.query(query(5)).await.expect_err("too often");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let seconds: u64 = refused.metadata().get("retry-after").expect("how long").to_str().expect("text").parse().expect("seconds");
    assert!((1..=30).contains(&seconds), "{seconds}");
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_tells_every_method_and_each_is_there() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let house = House::open().await;
    let mut client = ServerReflectionClient::new(house.channel.clone());
    let mut ask = async |question: MessageRequest| {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let mut answers = client.server_reflection_info(tokio_stream::iter([request])).await.expect("a stream").into_inner();
        answers.message().await.expect("an answer").expect("an answer").message_response.expect("a response")
    };
    let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await else { panic!("no list") };
    let mut names: Vec<String> = list.service.into_iter().map(|service| service.name).filter(|name| !name.contains("reflection")).collect();
    names.sort();
    assert_eq!(names, ["grpc.health.v1.Health", "qdrant.Collections", "qdrant.Points", "qdrant.Qdrant", "qdrant.Snapshots"]);
    let mut count = 0;
    for service in names.iter().filter(|name| name.starts_with("qdrant.")) {
        let question = MessageRequest::FileContainingSymbol(service.clone());
        let MessageResponse::FileDescriptorResponse(files) = ask(question).await else { panic!("no file of {service}") };
        let file: prost_types::FileDescriptorProto =
            prost::Message::decode(files.file_descriptor_proto[0].as_slice()).expect("a descriptor");
        let found = file.service.iter().find(|found| service.ends_with(&format!(".{}", found.name()))).expect("the service");
        for method in &found.method {
            // Nothing is asked of it, so it may refuse, but not as what it does not know.
            let mut caller = tonic::client::Grpc::new(house.channel.clone());
            caller.ready().await.expect("a connection");
            let path = format!("/{service}/{}", method.name()).parse().expect("a path");
            let codec = tonic_prost::ProstCodec::<(), ()>::default();
            let answer = caller.unary(tonic::Request::new(()), path, codec).await;
            assert_ne!(answer.map_or_else(|status| status.code(), |_| Code::Ok), Code::Unimplemented, "{service}/{}", method.name());
            count += 1;
        }
    }
    assert_eq!(count, 51);
    house.server.stop().await;
}
