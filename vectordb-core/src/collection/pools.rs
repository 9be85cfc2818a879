//! Threads for searches and for jobs, started when they are first needed.

use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};
use crate::storage::priority;

/// The threads of a database.
#[derive(Debug)]
pub(crate) struct Pools {
    threads: usize,
    search: OnceLock<ThreadPool>,
    build: OnceLock<ThreadPool>,
}

impl Pools {
    /// So many threads for each kind of work; 0 means as many as there are processors.
    pub(crate) fn new(threads: usize) -> Self {
        Self { threads, search: OnceLock::new(), build: OnceLock::new() }
    }

    /// Threads that answer searches.
    pub(super) fn search(&self) -> Result<&ThreadPool> {
        self.get(&self.search, |builder| builder.thread_name(|number| format!("vectordb-search-{number}")))
    }

    /// Threads that build graphs; they give way to everything else.
    pub(super) fn build(&self) -> Result<&ThreadPool> {
        self.get(&self.build, |builder| {
            builder.thread_name(|number| format!("vectordb-build-{number}")).start_handler(|_| priority::lower_this_thread(priority::LATER))
        })
    }

    fn get<'a>(&self, pool: &'a OnceLock<ThreadPool>, name: impl Fn(ThreadPoolBuilder) -> ThreadPoolBuilder) -> Result<&'a ThreadPool> {
        if let Some(pool) = pool.get() {
            return Ok(pool);
        }
        let built = name(ThreadPoolBuilder::new().num_threads(self.threads)).build();
        let built = built.map_err(|error| Error::Internal { what: error.to_string() })?;
        Ok(pool.get_or_init(|| built))
    }
}
