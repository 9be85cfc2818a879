//! The engine in this process, without a server around it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use vectordb_core::{Collection, Database, QueryRequest};

use super::questions::Questions;
use super::report::Took;
use super::{Bench, Side};
use crate::cli::failure::Failure;

/// A collection that is read beside the server that writes it.
#[derive(Clone)]
pub(super) struct Engine {
    /// Holds it open.
    _db: Database,
    collection: Collection,
    requests: Arc<[QueryRequest]>,
}

impl Engine {
    pub(super) fn open(path: &Path, arguments: &Bench, questions: &Questions) -> Result<Self, Failure> {
        let db = Database::open_read_only(path)?;
        let collection = db.get(&arguments.collection)?;
        if collection.config().shard_number > 1 {
            return Err(Failure::new(format!("{} has several shards, and the engine knows none", arguments.collection)));
        }
        Ok(Self { _db: db, collection, requests: questions.requests.clone().into() })
    }
}

impl Side for Engine {
    fn ask(&mut self, question: usize) -> Result<Took, Failure> {
        let request = &self.requests[question];
        let started = Instant::now();
        self.collection.query_points(request)?;
        let secs = started.elapsed().as_secs_f64();
        Ok(Took { secs, own_secs: secs })
    }
}
