//! Which collection a message is about, for the log of slow requests.

use crate::wire;

/// A message that may be about a collection.
pub(super) trait About {
    /// Its name, as it was sent; empty when the message is about none, or about several.
    fn collection(&self) -> &str {
        ""
    }
}

macro_rules! about {
    ($($message:ident),* $(,)?) => {
        $(impl About for wire::$message {
            fn collection(&self) -> &str {
                &self.collection_name
            }
        })*
    };
}

about!(
    ClearPayloadPoints,
    CollectionClusterInfoRequest,
    CollectionExistsRequest,
    CountPoints,
    CreateCollection,
    CreateFieldIndexCollection,
    CreateShardKeyRequest,
    CreateSnapshotRequest,
    CreateVectorNameRequest,
    DeleteCollection,
    DeleteFieldIndexCollection,
    DeletePayloadPoints,
    DeletePointVectors,
    DeletePoints,
    DeleteShardKeyRequest,
    DeleteSnapshotRequest,
    DeleteVectorNameRequest,
    DiscoverBatchPoints,
    DiscoverPoints,
    FacetCounts,
    GetCollectionInfoRequest,
    GetPoints,
    ListCollectionAliasesRequest,
    ListShardKeysRequest,
    ListSnapshotsRequest,
    QueryBatchPoints,
    QueryPointGroups,
    QueryPoints,
    RecommendBatchPoints,
    RecommendPointGroups,
    RecommendPoints,
    ScrollPoints,
    SearchBatchPoints,
    SearchMatrixPoints,
    SearchPointGroups,
    SearchPoints,
    SetPayloadPoints,
    UpdateBatchPoints,
    UpdateCollection,
    UpdateCollectionClusterSetupRequest,
    UpdatePointVectors,
    UpsertPoints,
);

impl About for wire::ChangeAliases {}
impl About for wire::CreateFullSnapshotRequest {}
impl About for wire::DeleteFullSnapshotRequest {}
impl About for wire::ListAliasesRequest {}
impl About for wire::ListCollectionsRequest {}
impl About for wire::ListFullSnapshotsRequest {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_their_collection() {
        let query = wire::QueryPoints { collection_name: "docs".to_owned(), ..wire::QueryPoints::default() };
        assert_eq!((query.collection(), wire::ListCollectionsRequest {}.collection()), ("docs", ""));
    }
}
