//! What is stored, batch by batch.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::Bench;
use super::grpc::GrpcStore;
use super::report::{Figures, Report, Seen, Took};
use super::rest::RestStore;
use crate::cli::failure::Failure;
use crate::cli::npy;
use crate::cli::output::count_bar;

/// A connection over which points are stored.
pub(super) trait Store {
    /// Stores points and waits until they are there.
    fn store(&mut self, batch: Batch) -> Result<Took, Failure>;
}

/// Points of consecutive numbers.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) first: u64,
    pub(super) vectors: Vec<Vec<f32>>,
    /// One for each vector, or none at all.
    pub(super) payloads: Vec<Map<String, Value>>,
    /// The name of the vector, where it has one.
    pub(super) name: Option<String>,
}

impl Batch {
    /// As the body of a request.
    pub(super) fn json(&self) -> Result<Vec<u8>, Failure> {
        let point = |(row, vector): (usize, &Vec<f32>)| {
            let vector = self.name.as_ref().map_or_else(|| json!(vector), |name| json!({name: vector}));
            json!({"id": self.first + row as u64, "vector": vector, "payload": self.payloads.get(row)})
        };
        let points: Vec<Value> = self.vectors.iter().enumerate().map(point).collect();
        serde_json::to_vec(&json!({"points": points})).map_err(|error| Failure::new(error.to_string()))
    }
}

/// Files that are read batch by batch, whoever asks for the next.
struct Source {
    table: npy::Table<BufReader<File>>,
    payloads: Option<Lines<BufReader<File>>>,
    next: u64,
}

impl Source {
    fn open(arguments: &Bench, vectors: &Path) -> Result<Self, Failure> {
        let lines = |path: &Path| {
            let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
            Ok::<_, Failure>(BufReader::new(file).lines())
        };
        Ok(Self { table: npy::open(vectors)?, payloads: arguments.payloads.as_deref().map(lines).transpose()?, next: 0 })
    }

    /// The next points; none when all were given.
    fn batch(&mut self, arguments: &Bench) -> Result<Option<Batch>, Failure> {
        let count = u64::from(arguments.batch).min(self.table.rows - self.next);
        if count == 0 {
            return Ok(None);
        }
        let mut batch = Batch { first: self.next, name: arguments.vector.clone(), ..Batch::default() };
        for _ in 0..count {
            batch.vectors.push(self.table.vector()?);
            if let Some(lines) = &mut self.payloads {
                let line = lines.next().ok_or_else(|| Failure::new("there are fewer payloads than vectors"))?;
                let line = line.map_err(|error| Failure::new(error.to_string()))?;
                batch.payloads.push(serde_json::from_str(&line).map_err(|error| Failure::new(format!("a payload: {error}")))?);
            }
        }
        self.next += count;
        Ok(Some(batch))
    }
}

/// Stores all vectors of a file.
pub(super) fn run(arguments: &Bench, file: &Path) -> Result<Report, Failure> {
    let source = Mutex::new(Source::open(arguments, file)?);
    let rows = source.lock().unwrap_or_else(PoisonError::into_inner).table.rows;
    let bar = count_bar("storing", rows);
    let started = Instant::now();
    let work = || stored(arguments, &source, &|points| bar.inc(points));
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.clients).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    if let Some(error) = seen.iter().find_map(|seen| seen.error.as_ref()) {
        return Err(Failure::new(error.clone()));
    }
    let requests: usize = seen.iter().map(|seen| seen.times.len()).sum();
    // The last batch may be smaller than the others.
    let each = rows as f64 / requests.max(1) as f64;
    Ok(Report::new(arguments.door(), arguments.clients, Figures::of(seen, seconds, each), None))
}

/// One client's work, until all is stored or something fails.
fn stored(arguments: &Bench, source: &Mutex<Source>, done: &dyn Fn(u64)) -> Seen {
    let mut seen = Seen::default();
    let connected = match &arguments.grpc {
        Some(uri) => GrpcStore::new(arguments, uri).map(|store| Box::new(store) as Box<dyn Store>),
        None => RestStore::new(arguments).map(|store| Box::new(store) as Box<dyn Store>),
    };
    let all = connected.and_then(|mut store| {
        loop {
            let batch = source.lock().unwrap_or_else(PoisonError::into_inner).batch(arguments)?;
            let Some(batch) = batch else { return Ok(()) };
            let points = batch.vectors.len() as u64;
            seen.times.push(store.store(batch)?);
            done(points);
        }
    });
    if let Err(error) = all {
        seen.errors += 1;
        seen.error = Some(Failure::to_string(&error));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bodies_of_requests() {
        let payload = json!({"n": 1}).as_object().cloned().expect("an object");
        let batch = Batch { first: 7, vectors: vec![vec![1.0, 0.5]], payloads: vec![payload], name: None };
        let body: Value = serde_json::from_slice(&batch.json().expect("JSON")).expect("JSON");
        assert_eq!(body, json!({"points": [{"id": 7, "vector": [1.0, 0.5], "payload": {"n": 1}}]}));
        let named = Batch { name: Some("a".to_owned()), payloads: Vec::new(), ..batch };
        let body: Value = serde_json::from_slice(&named.json().expect("JSON")).expect("JSON");
        assert_eq!(body, json!({"points": [{"id": 7, "vector": {"a": [1.0, 0.5]}, "payload": null}]}));
    }
}
