//! The service `qdrant.Points`.
//!
//! Files: `updates`, `reads` (points as they are), `queries` (points by rank, also in the words from before queries).

mod queries;
mod reads;
mod updates;

use super::call::methods;
use crate::wire::points_server::Points;

methods! { Points:
    upsert(UpsertPoints) -> PointsOperationResponse = updates::upsert;
    delete(DeletePoints) -> PointsOperationResponse = updates::delete;
    update_vectors(UpdatePointVectors) -> PointsOperationResponse = updates::update_vectors;
    delete_vectors(DeletePointVectors) -> PointsOperationResponse = updates::delete_vectors;
    set_payload(SetPayloadPoints) -> PointsOperationResponse = updates::set_payload;
    overwrite_payload(SetPayloadPoints) -> PointsOperationResponse = updates::overwrite_payload;
    delete_payload(DeletePayloadPoints) -> PointsOperationResponse = updates::delete_payload;
    clear_payload(ClearPayloadPoints) -> PointsOperationResponse = updates::clear_payload;
    create_field_index(CreateFieldIndexCollection) -> PointsOperationResponse = updates::create_field_index;
    delete_field_index(DeleteFieldIndexCollection) -> PointsOperationResponse = updates::delete_field_index;
    create_vector_name(CreateVectorNameRequest) -> PointsOperationResponse = updates::create_vector_name;
    delete_vector_name(DeleteVectorNameRequest) -> PointsOperationResponse = updates::delete_vector_name;
    update_batch(UpdateBatchPoints) -> UpdateBatchResponse = updates::batch;

    get(GetPoints) -> GetResponse = reads::get, PACE;
    scroll(ScrollPoints) -> ScrollResponse = reads::scroll, PACE;
    count(CountPoints) -> CountResponse = reads::count, PACE;
    facet(FacetCounts) -> FacetResponse = reads::facet, PACE;
    search_matrix_pairs(SearchMatrixPoints) -> SearchMatrixPairsResponse = reads::matrix_pairs, PACE;
    search_matrix_offsets(SearchMatrixPoints) -> SearchMatrixOffsetsResponse = reads::matrix_offsets, PACE;

    query(QueryPoints) -> QueryResponse = queries::query, PACE;
    query_batch(QueryBatchPoints) -> QueryBatchResponse = queries::query_batch, PACE;
    query_groups(QueryPointGroups) -> QueryGroupsResponse = queries::query_groups, PACE;
    search(SearchPoints) -> SearchResponse = queries::search, PACE;
    search_batch(SearchBatchPoints) -> SearchBatchResponse = queries::search_batch, PACE;
    search_groups(SearchPointGroups) -> SearchGroupsResponse = queries::search_groups, PACE;
    recommend(RecommendPoints) -> RecommendResponse = queries::recommend, PACE;
    recommend_batch(RecommendBatchPoints) -> RecommendBatchResponse = queries::recommend_batch, PACE;
    recommend_groups(RecommendPointGroups) -> RecommendGroupsResponse = queries::recommend_groups, PACE;
    discover(DiscoverPoints) -> DiscoverResponse = queries::discover, PACE;
    discover_batch(DiscoverBatchPoints) -> DiscoverBatchResponse = queries::discover_batch, PACE;
}
