//! The gRPC door: the four services of the API, `grpc.health.v1`, and reflection, by which tools find out what is spoken here.
//!
//! A message is turned into the engine's model once, the service answers on a thread that may block, and what comes back is
//! turned into a message.
//!
//! Files: `call` (one request on its way), `about` (what it is about), `status` (errors), `convert` (messages and the model), and
//! the services: `points`, `collections`, `snapshots`, `qdrant`.

mod about;
mod call;
mod collections;
mod convert;
mod points;
mod qdrant;
mod snapshots;
mod status;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use vectordb_service::Service;

#[cfg(test)]
pub(crate) use convert::filter::filter as filter_in;
pub(crate) use convert::point::payload_out;

use crate::auth::Auth;
use crate::wire::DESCRIPTOR;
use crate::wire::collections_server::CollectionsServer;
use crate::wire::points_server::PointsServer;
use crate::wire::qdrant_server::QdrantServer;
use crate::wire::snapshots_server::SnapshotsServer;

/// What every request needs.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    service: Arc<Service>,
    auth: Auth,
    /// Requests that take longer are logged.
    slow: Duration,
}

/// The services of one message trait each: messages of any size, compressed if the caller likes it.
macro_rules! opened {
    ($server:ident, $door:expr) => {
        $server::new($door.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip)
    };
}

/// Answers requests until told to stop, and then those that have begun.
pub(crate) async fn serve<S>(
    connections: impl Stream<Item = std::io::Result<S>>,
    service: Arc<Service>,
    auth: Auth,
    slow: Duration,
    mut stopped: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let door = Door { service, auth, slow };
    let (health, health_server) = tonic_health::server::health_reporter();
    health.set_serving::<QdrantServer<Door>>().await;
    health.set_serving::<PointsServer<Door>>().await;
    health.set_serving::<CollectionsServer<Door>>().await;
    health.set_serving::<SnapshotsServer<Door>>().await;
    let until = async move {
        // An error means that the server itself is gone.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let descriptors = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Older tools ask in the older words.
    let (reflection, older) = match (descriptors().build_v1(), descriptors().build_v1alpha()) {
        (Ok(reflection), Ok(older)) => (reflection, older),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "the gRPC door stays closed");
            return;
        }
    };
    let served = Server::builder()
        .add_service(health_server)
        .add_service(reflection)
        .add_service(older)
        .add_service(opened!(QdrantServer, door))
        .add_service(opened!(PointsServer, door))
        .add_service(opened!(CollectionsServer, door))
        .add_service(opened!(SnapshotsServer, door))
        .serve_with_incoming_shutdown(connections, until);
    if let Err(error) = served.await {
        tracing::error!(%error, "the gRPC door is closed");
    }
}
