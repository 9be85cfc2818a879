//! Files that come in forms: stored aside as they arrive, however large.

use std::path::PathBuf;

use axum::extract::{FromRequest, Multipart, Request};
use tokio::io::AsyncWriteExt;
use vectordb_service::{Fault, Scratch, ServiceError};

use super::Door;
use crate::auth::Identity;

/// The field of the form.
const FIELD: &str = "snapshot";

/// A file on its way to an operation; it goes when this is dropped.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) path: PathBuf,
    pub(super) scratch: Scratch,
}

/// Stores the file of a form, if the caller may have it used.
///
/// # Errors
/// [`Fault::Forbidden`], [`Fault::BadRequest`] for a body that is no such form, and those of the disk.
pub(super) async fn store(door: &Door, identity: Option<Identity>, request: Request) -> Result<Upload, ServiceError> {
    let door = door.clone();
    let begun = tokio::task::spawn_blocking(move || {
        // Nobody fills the disk who may not use what he sends.
        door.access(identity)?.check_manage()?;
        door.service.scratch()
    });
    let scratch = begun.await.map_err(|error| ServiceError::internal(error.to_string()))??;
    let bad_form = |error: &dyn std::fmt::Display| ServiceError::request(format!("the form cannot be read: {error}"));
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| bad_form(&error))?;
    while let Some(mut field) = form.next_field().await.map_err(|error| bad_form(&error))? {
        if field.name() != Some(FIELD) {
            continue;
        }
        let path = scratch.path().join("upload");
        let disk = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::StorageFull => ServiceError::new(Fault::OutOfSpace, error.to_string()),
            _ => ServiceError::internal(error.to_string()),
        };
        let mut file = tokio::fs::File::create_new(&path).await.map_err(disk)?;
        while let Some(chunk) = field.chunk().await.map_err(|error| bad_form(&error))? {
            file.write_all(&chunk).await.map_err(disk)?;
        }
        file.flush().await.map_err(disk)?;
        return Ok(Upload { path, scratch });
    }
    Err(ServiceError::request(format!("the form has no field `{FIELD}`")))
}
