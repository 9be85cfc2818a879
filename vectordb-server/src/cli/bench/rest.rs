//! The server over REST.

use std::time::Instant;

use serde_json::Value;

use super::questions::Questions;
use super::report::Took;
use super::upload::{Batch, Store};
use super::{Bench, Side};
use crate::cli::client::{Client, encoded};
use crate::cli::failure::Failure;

/// A connection, and what is asked over it.
pub(super) struct Rest<'q> {
    client: Client,
    path: String,
    bodies: &'q [Vec<u8>],
}

impl<'q> Rest<'q> {
    pub(super) fn new(arguments: &Bench, questions: &'q Questions) -> Result<Self, Failure> {
        let path = format!("/collections/{}/points/query", encoded(&arguments.collection));
        Ok(Self { client: arguments.server.client()?, path, bodies: &questions.bodies })
    }
}

impl Side for Rest<'_> {
    fn ask(&mut self, question: usize) -> Result<Took, Failure> {
        timed(&self.client, "POST", &self.path, &self.bodies[question])
    }
}

/// A connection over which points are stored.
pub(super) struct RestStore {
    client: Client,
    path: String,
}

impl RestStore {
    pub(super) fn new(arguments: &Bench) -> Result<Self, Failure> {
        let path = format!("/collections/{}/points?wait=true", encoded(&arguments.collection));
        Ok(Self { client: arguments.server.client()?, path })
    }
}

impl Store for RestStore {
    fn store(&mut self, batch: Batch) -> Result<Took, Failure> {
        timed(&self.client, "PUT", &self.path, &batch.json()?)
    }
}

/// Sends a request and reads the answer; what led to the request is not timed.
fn timed(client: &Client, method: &str, path: &str, body: &[u8]) -> Result<Took, Failure> {
    let started = Instant::now();
    let (_, own_secs) = client.timed::<Value>(method, path, body)?;
    Ok(Took { secs: started.elapsed().as_secs_f64(), own_secs })
}
