//! Backups, which are no part of the Qdrant API: every body may be left out, and names a place only if it is not that of the
//! settings.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::call::Call;
use super::reply::Reply;
use crate::backup::Repository;
use crate::error::Result;
use crate::service::{BackupRequest, RestoreRequest};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CreateBody {
    location: Option<String>,
    collections: Vec<String>,
    keep: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct VerifyBody {
    location: Option<String>,
    backup: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RestoreBody {
    location: Option<String>,
    backup: Option<String>,
    /// Names in the backup and names here.
    collections: BTreeMap<String, String>,
    replace: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PruneBody {
    #[serde(default)]
    location: Option<String>,
    keep: usize,
}

/// A body that may be left out.
fn body<T: DeserializeOwned + Default>(call: &Call<'_>) -> Result<T> {
    if call.body.is_empty() { Ok(T::default()) } else { Ok(call.read::<Option<T>>()?.unwrap_or_default()) }
}

fn repository(call: &Call<'_>, location: Option<&str>) -> Result<Repository> {
    call.service.repository(location, call.access)
}

pub(super) fn list(call: &Call<'_>) -> Result<Reply> {
    Reply::of(&repository(call, call.query("location"))?.backups()?)
}

pub(super) fn create(call: &Call<'_>) -> Result<Reply> {
    let CreateBody { location, collections, keep } = body(call)?;
    let to = repository(call, location.as_deref())?;
    Reply::of(&call.service.back_up(&to, &BackupRequest { collections, keep }, &|_, _| {}, call.access)?)
}

pub(super) fn verify(call: &Call<'_>) -> Result<Reply> {
    let VerifyBody { location, backup } = body(call)?;
    Reply::of(&repository(call, location.as_deref())?.verify(backup.as_deref(), &|_, _| {})?)
}

pub(super) fn restore(call: &Call<'_>) -> Result<Reply> {
    let RestoreBody { location, backup, collections, replace } = body(call)?;
    let from = repository(call, location.as_deref())?;
    Reply::of(&call.service.restore_backup(&from, &RestoreRequest { backup, collections, replace }, &|_, _| {}, call.access)?)
}

pub(super) fn prune(call: &Call<'_>) -> Result<Reply> {
    let PruneBody { location, keep } = call.read()?;
    Reply::of(&repository(call, location.as_deref())?.prune(keep)?)
}
