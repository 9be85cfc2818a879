//! The words of the gRPC API: the messages and the traits of its services, from the crate that publishes them.
//!
//! Nothing else of that crate is used, and nothing else in this one names it.

pub(crate) use ::qdrant_client::qdrant::*;

/// The same words for tools that ask a server what it speaks: a set of descriptors, without comments. Whoever moves to the next
/// version of that crate compiles the files of its directory `proto` anew:
/// `protoc --include_imports --descriptor_set_out=descriptor.bin qdrant.proto`
pub(crate) const DESCRIPTOR: &[u8] = include_bytes!("descriptor.bin");

#[cfg(test)]
mod tests {
    use tonic::server::NamedService;

    use super::collections_server::{Collections, CollectionsServer};
    use super::points_server::{Points, PointsServer};
    use super::qdrant_server::{Qdrant, QdrantServer};
    use super::snapshots_server::{Snapshots, SnapshotsServer};

    /// The traits are by-products of a generator, and no promise of the crate: whoever moves to its next version learns here
    /// that one is gone.
    #[expect(dead_code, reason = "that it compiles is the test")]
    fn served<S: Points + Collections + Snapshots + Qdrant>(_: S) {}

    #[test]
    fn the_four_services_have_their_names() {
        let names = [PointsServer::<()>::NAME, CollectionsServer::<()>::NAME, SnapshotsServer::<()>::NAME, QdrantServer::<()>::NAME];
        assert_eq!(names, ["qdrant.Points", "qdrant.Collections", "qdrant.Snapshots", "qdrant.Qdrant"]);
    }
}
