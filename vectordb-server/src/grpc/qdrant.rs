//! The service `qdrant.Qdrant`: what is it that answers here?

use tonic::{Request, Response, Status};

use super::Door;
use crate::wire::qdrant_server::Qdrant;
use crate::wire::{HealthCheckReply, HealthCheckRequest};

#[tonic::async_trait]
impl Qdrant for Door {
    async fn health_check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckReply>, Status> {
        let settings = self.service.settings();
        Ok(Response::new(HealthCheckReply {
            title: settings.title.clone(),
            version: settings.version.clone(),
            commit: Some(settings.commit.clone()),
        }))
    }
}
