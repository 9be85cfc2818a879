//! One request with what its path, its query and its body say.

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

use http::HeaderValue;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use vectordb_core::Value;

use super::Request;
use super::json::{bad_form, shard_keys};
use super::routes::Params;
use crate::access::Access;
use crate::error::{Fault, Result, ServiceError};
use crate::service::{Explanations, ReadOptions, Service, WriteOptions};
use crate::shards::{Consistency, ShardKey};

/// The header, or the metadata, that says which recall searches are to have.
pub const RECALL: &str = "x-vdb-recall";
/// The header, or the metadata, that asks for explanations.
pub const EXPLAIN: &str = "x-vdb-explain";

pub(super) struct Call<'c> {
    pub(super) service: &'c Service,
    pub(super) access: &'c Access,
    /// Names and values of the path's parts, decoded.
    params: Params,
    query: Vec<(Cow<'c, str>, Cow<'c, str>)>,
    pub(super) body: &'c [u8],
    pub(super) upload: Option<&'c Path>,
    /// When the query's `timeout` ends.
    deadline: Option<Instant>,
    /// The recall of searches that ask for none.
    recall: Option<f64>,
    /// Where explanations go, if they are asked for.
    pub(super) explanations: Option<Explanations>,
    consistency: Consistency,
}

impl<'c> Call<'c> {
    pub(super) fn new(service: &'c Service, request: &'c Request<'_>, params: Params) -> Result<Self> {
        let query = request.query.split('&').filter(|pair| !pair.is_empty());
        let query: Vec<_> = query
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decoded(name), decoded(value))
            })
            .collect();
        let mut call = Self {
            service,
            access: &request.access,
            params,
            query,
            body: request.body,
            upload: request.upload,
            deadline: None,
            recall: None,
            explanations: None,
            consistency: Consistency::Usual,
        };
        // A moment too far away for a clock never comes.
        call.deadline = call.timeout()?.and_then(|timeout| Instant::now().checked_add(timeout));
        let header = |name| request.headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
        call.recall = header(RECALL).map(recall).transpose()?;
        call.explanations = header(EXPLAIN).map(wish).transpose()?.unwrap_or(false).then(Explanations::default);
        call.consistency = call.consistency()?;
        call.check_ordering()?;
        // Read where it matters, which is after a write is done.
        call.flag("wait")?;
        Ok(call)
    }

    /// A part of the path. Routes name those that there are.
    pub(super) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// The collection the path names.
    pub(super) fn collection(&self) -> &str {
        self.param("collection_name")
    }

    /// Refuses a collection that does not exist, for requests of many parts, which may be none.
    pub(super) fn check_collection(&self) -> Result<()> {
        self.service.shard_keys(self.collection(), self.access).map(drop)
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// A flag of the query.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>> {
        match self.query(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(bad_query(format!("provided string was not `true` or `false` in `{name}`: `{other}`"))),
        }
    }

    /// A whole number of the query.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>> {
        self.query(name)
            .map(|text| text.parse().map_err(|_| bad_query(format!("`{name}` must be a whole number, not `{text}`"))))
            .transpose()
    }

    fn timeout(&self) -> Result<Option<Duration>> {
        match self.number("timeout")? {
            Some(0) => Err(ServiceError::new(Fault::Validation, "[timeout: value 0 invalid, must be 1 or larger]".to_owned())),
            seconds => Ok(seconds.map(Duration::from_secs)),
        }
    }

    /// How certain reads are to be of seeing every acknowledged write. Every in-sync replica has all of them, so that most of the replicas
    /// and all of them come to the same.
    fn consistency(&self) -> Result<Consistency> {
        match self.query("consistency") {
            None => Ok(Consistency::Usual),
            Some("majority" | "quorum" | "all") => Ok(Consistency::Confirmed(1)),
            Some(other) => match other.parse::<u32>() {
                Ok(1) => Ok(Consistency::Usual),
                Ok(copies) if copies > 1 => Ok(Consistency::Confirmed(copies)),
                _ => Err(bad_query(format!("unknown consistency `{other}`"))),
            },
        }
    }

    /// Every write goes through its shard's primary, so that every ordering is kept; only nonsense is refused.
    fn check_ordering(&self) -> Result<()> {
        match self.query("ordering") {
            None | Some("weak" | "medium" | "strong") => Ok(()),
            Some(other) => Err(bad_query(format!("unknown ordering `{other}`, expected one of weak, medium, strong"))),
        }
    }

    /// The body as a JSON object with any members.
    pub(super) fn json(&self) -> Result<Value> {
        let body: Value = self.read()?;
        if body.is_object() { Ok(body) } else { Err(bad_form("expected an object")) }
    }

    /// The body as a type. Every body is an object; a list would be taken for the members of one in order.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        if self.body.trim_ascii_start().first() == Some(&b'[') {
            return Err(bad_form("expected an object"));
        }
        serde_json::from_slice(self.body).map_err(|error| ServiceError::new(Fault::Format, error.to_string()))
    }

    /// How to read, with the shard keys that a body names.
    pub(super) fn reading(&self, body: &Value) -> Result<ReadOptions> {
        let shard_keys = self.shard_keys(body.get("shard_key"))?;
        let (explanations, consistency) = (self.explanations.clone(), self.consistency);
        Ok(ReadOptions { shard_keys, deadline: self.deadline, recall: self.recall, explanations, consistency })
    }

    /// How to write, with the shard keys that a body names.
    pub(super) fn writing(&self, shard_key: Option<&Value>) -> Result<WriteOptions> {
        Ok(WriteOptions { shard_keys: self.shard_keys(shard_key)? })
    }

    /// The keys of a body; of a key with a fallback, the one that exists.
    fn shard_keys(&self, selector: Option<&Value>) -> Result<Vec<ShardKey>> {
        let Some(selector) = selector.filter(|selector| !selector.is_null()) else { return Ok(Vec::new()) };
        let exists = |key: &ShardKey| self.service.shard_keys(self.collection(), self.access).is_ok_and(|keys| keys.contains(key));
        shard_keys(selector, &exists)
    }
}

/// A recall in a header.
///
/// # Errors
/// [`Fault::BadRequest`].
pub fn recall(text: &str) -> Result<f64> {
    let number = text.trim().parse().ok().filter(|recall| *recall > 0.0 && *recall <= 1.0);
    number.ok_or_else(|| ServiceError::request(format!("{RECALL}: expected a number above 0 and at most 1, not `{text}`")))
}

/// Whether a header asks for explanations.
///
/// # Errors
/// [`Fault::BadRequest`].
pub fn wish(text: &str) -> Result<bool> {
    match text.trim() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(ServiceError::request(format!("{EXPLAIN}: expected true or false, not `{text}`"))),
    }
}

fn decoded(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        return percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned().into();
    }
    percent_decode_str(text).decode_utf8_lossy()
}

fn bad_query(message: String) -> ServiceError {
    ServiceError::new(Fault::BadRequest, format!("Deserialize error in query parameters: {message}"))
}
