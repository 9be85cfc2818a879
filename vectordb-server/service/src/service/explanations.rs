//! How queries were answered, for callers who ask for it beside the answer.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use vectordb_core::Explanation;

use crate::shards::ShardId;

/// Explanations of the queries of one request, as JSON, in the order in which they were answered. Clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Explanations(Arc<Mutex<Vec<Value>>>);

impl Explanations {
    /// Adds what each shard said of a query.
    pub(super) fn add(&self, shards: &[(ShardId, Explanation)]) {
        let told = |(id, explanation): &(ShardId, Explanation)| {
            json!({
                "shard_id": id,
                "searches": explanation.searches,
                "advice": explanation.advice,
                "elapsed_secs": explanation.elapsed.as_secs_f64(),
                "fetching_secs": explanation.fetching.as_secs_f64(),
            })
        };
        self.0.lock().push(shards.iter().map(told).collect());
    }

    /// For each query a list of what its shards said; takes it.
    pub fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock())
    }
}
