//! The gRPC door: the four services of the API, and `grpc.health.v1`.
//!
//! A message is turned into the engine's model once, the service answers on a thread that may block, and what comes back is
//! turned into a message.
//!
//! Files: `call` (one request on its way), `status` (errors), `convert` (messages and the model), and the services: `points`,
//! `collections`, `snapshots`, `qdrant`.

mod call;
mod collections;
mod convert;
mod points;
mod qdrant;
mod snapshots;
mod status;

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use vectordb_service::Service;

use crate::auth::Auth;
use crate::wire::collections_server::CollectionsServer;
use crate::wire::points_server::PointsServer;
use crate::wire::qdrant_server::QdrantServer;
use crate::wire::snapshots_server::SnapshotsServer;

/// What every request needs.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    service: Arc<Service>,
    auth: Auth,
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
pub(crate) async fn serve(listener: TcpListener, service: Arc<Service>, auth: Auth, mut stopped: watch::Receiver<bool>) {
    let door = Door { service, auth };
    let (health, health_server) = tonic_health::server::health_reporter();
    health.set_serving::<QdrantServer<Door>>().await;
    health.set_serving::<PointsServer<Door>>().await;
    health.set_serving::<CollectionsServer<Door>>().await;
    health.set_serving::<SnapshotsServer<Door>>().await;
    let until = async move {
        // An error means that the server itself is gone.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let served = Server::builder()
        .add_service(health_server)
        .add_service(opened!(QdrantServer, door))
        .add_service(opened!(PointsServer, door))
        .add_service(opened!(CollectionsServer, door))
        .add_service(opened!(SnapshotsServer, door))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), until);
    if let Err(error) = served.await {
        tracing::error!(%error, "the gRPC door is closed");
    }
}
